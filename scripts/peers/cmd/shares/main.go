// Command shares says in a line each what the profiles of a peer, which run.sh --pprof takes,
// spend their time on: the figure of a test that belongs into the message of a commit that
// changes it.
//
//	go run ./cmd/shares DIR/*.pb.gz
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/pprof/profile"
)

// share is what a sample belongs to.
type share uint8

const (
	writing   share = iota // a frame to the device, and all that the kernel does with it there and then
	reading                // frames of the device
	copying                // memory to memory, in the process
	protocol               // package tcp
	rest                   // of portico, or all of another stack
	work                   // the application's own, net/http included
	memory                 // allocating and collecting
	switching              // goroutines and threads, waiting and waking
	numShares
)

var titles = [numShares]string{"writing to the device", "reading it", "copies", "package tcp", "the rest of the stack", "application", "memory", "scheduling"}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: shares FILE...   profiles of peers, as run.sh --pprof DIR leaves them")
		os.Exit(2)
	}
	fmt.Printf("| profile | cores | %s |\n|---|---|%s\n", strings.Join(titles[:], " | "), strings.Repeat("---|", int(numShares)))
	for _, name := range os.Args[1:] {
		if err := row(os.Stdout, name); err != nil {
			fmt.Fprintf(os.Stderr, "shares: %v\n", err)
			os.Exit(1)
		}
	}
}

// row writes the row of the profile in a file.
func row(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return fmt.Errorf("%s is no profile: %w", name, err)
	}
	sums, total := divide(p)
	if total == 0 || p.DurationNanos == 0 {
		return fmt.Errorf("%s has no samples", name)
	}
	fmt.Fprintf(w, "| %s | %.2f |", strings.TrimSuffix(filepath.Base(name), ".pb.gz"), float64(total)/float64(p.DurationNanos))
	for _, n := range sums {
		fmt.Fprintf(w, " %.0f %% |", 100*float64(n)/float64(total))
	}
	fmt.Fprintln(w)
	return nil
}

// divide adds up the time of the samples, in nanoseconds, by what they belong to.
func divide(p *profile.Profile) (sums [numShares]int64, total int64) {
	for _, s := range p.Sample {
		n := s.Value[len(s.Value)-1]
		total += n
		sums[shareOf(stackOf(s))] += n
	}
	return sums, total
}

// stackOf are the functions of a sample, the innermost first.
func stackOf(s *profile.Sample) (names []string) {
	for _, at := range s.Location {
		for _, l := range at.Line {
			if l.Function != nil {
				names = append(names, l.Function.Name)
			}
		}
	}
	return names
}

// shareOf looks at the functions of a stack, the innermost first: at what they are for, and else
// at whose the innermost is that is not of the runtime or a package below all others.
func shareOf(stack []string) share {
	for i, name := range stack {
		switch {
		case i == 0 && strings.HasPrefix(name, "runtime.memmove"):
			return copying
		case isAny(name, "unix.Writev", "os.(*File).Write", "main.writev"):
			return writing
		case isAny(name, "unix.Readv", "os.(*File).Read", "main.(*vnetEndpoint).read"):
			return reading
		case isAny(name, "runtime.mallocgc", "runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart", "runtime.gcAssistAlloc", "runtime.growslice"):
			return memory
		case isAny(name, "runtime.mcall", "runtime.schedule", "runtime.gopark", "runtime.goready", "runtime.ready", "runtime.futex", "runtime.mstart", "runtime.sysmon", "runtime.goschedImpl"):
			return switching
		}
	}
	for _, name := range stack {
		switch pkg := packageOf(name); {
		case pkg == stackModule+"/tcp":
			return protocol
		case strings.HasPrefix(pkg, harness), pkg == "main", strings.HasPrefix(pkg, "net/"):
			return work
		case strings.HasPrefix(pkg, stackModule), strings.HasPrefix(pkg, "gvisor.dev/"), strings.HasPrefix(pkg, "golang.zx2c4.com/"):
			return rest
		}
	}
	return switching
}

const (
	stackModule = "github.com/a644562b/portico"
	harness     = stackModule + "/scripts/peers"
)

// isAny reports whether a function is one of those named, or inside one.
func isAny(name string, of ...string) bool {
	for _, o := range of {
		if at := strings.Index(name, o); at >= 0 && (at == 0 || name[at-1] == '/') {
			if end := name[at+len(o):]; end == "" || end[0] == '.' {
				return true
			}
		}
	}
	return false
}

// packageOf is the import path of a function as the runtime names it.
func packageOf(name string) string {
	slash := strings.LastIndexByte(name, '/') + 1
	if dot := strings.IndexByte(name[slash:], '.'); dot >= 0 {
		return name[:slash+dot]
	}
	return name
}

// Command bench measures portico beside other stacks in rounds and prints one Markdown
// table: every figure that the project has a target for, ours beside theirs.
// scripts/bench builds it and runs it.
//
// A ratio is that of two measurements of the same test in the same round, which stand seconds
// apart; the table has its median over the rounds, with the least and the greatest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/a644562b/portico/scripts/peers/internal/result"
)

// What the command ends with.
const (
	exitMissed = 1 // --gate: a target was missed by more than the noise
	exitFailed = 2
)

func main() {
	status, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		status = exitFailed
	}
	os.Exit(status)
}

func run() (int, error) {
	rounds := flag.Int("rounds", 5, "rounds to measure; 0: only the table of what --raw has")
	seconds := flag.Int("seconds", 2, "each measurement")
	tests := flag.String("tests", "*", "globs of tests, separated by commas")
	labels := flag.String("peers", "all", "labels of the others, separated by commas")
	tries := flag.Int("tries", 2, "a test is measured so many times at most while others use the machine; 0: once, without waiting for quiet")
	raw := flag.String("raw", "", "`file` that lines of JSON are appended to; rounds that it has already count too")
	gate := flag.Bool("gate", false, "end with status 1 if a target is missed by more than the noise")
	script := flag.String("script", "scripts/peers/run.sh", "run.sh")
	bin := flag.String("bin", "scripts/peers/bin", "`directory` of the programs")
	flag.Parse()
	if *rounds < 0 || *seconds < 1 || *tries < 0 {
		return 0, errors.New("--rounds and --tries must be 0 or more, --seconds 1 or more")
	}
	b := &bench{script: *script, seconds: *seconds, tries: *tries}
	var err error
	if b.bin, err = filepath.Abs(*bin); err != nil {
		return 0, err
	}
	if b.groups, err = chosen(*tests); err != nil {
		return 0, err
	}
	if b.peers, err = choosePeers(*labels, flag.Args()); err != nil {
		return 0, err
	}
	if err := b.earlier(*raw); err != nil {
		return 0, err
	}
	if err := b.measure(*rounds); err != nil {
		return 0, err
	}
	if len(b.lines) == 0 {
		return 0, errors.New("no measurements: give --rounds, or a --raw file that has some")
	}
	t := newTable(b.lines)
	fmt.Print(t.markdown())
	if far := t.far(); *gate && len(far) > 0 {
		fmt.Fprintf(os.Stderr, "missed by more than the noise:\n  %s\n", strings.Join(far, "\n  "))
		return exitMissed, nil
	}
	return 0, nil
}

// earlier reads what the file has and opens it for more.
func (b *bench) earlier(name string) (err error) {
	if name == "" {
		return nil
	}
	if b.lines, err = result.Read(name, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b.out, err = os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	return err
}

// measure adds rounds behind those that there are.
func (b *bench) measure(rounds int) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if b.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	last := 0
	for i := range b.lines {
		last = max(last, b.lines[i].Round)
	}
	for r := last + 1; r <= last+rounds; r++ {
		if err := b.round(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

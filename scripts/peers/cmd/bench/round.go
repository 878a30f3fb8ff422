package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/a644562b/portico/scripts/peers/internal/result"
)

// bench is what all measurements have in common.
type bench struct {
	script, bin string // run.sh, and the directory of the programs
	dir         string // for logs
	seconds     int
	tries       int // how often a test is measured at most while others use the machine
	peers       []peer
	groups      []group
	out         *os.File // lines are appended to; nil: none
	lines       []result.Line
}

// round measures every test once with every peer. All peers of a group stand ready side by side,
// so that those that are held against each other are measured within seconds; who is first
// goes round.
func (b *bench) round(ctx context.Context, number int) error {
	turn := number
	for i := range b.groups {
		if err := b.group(ctx, number, &turn, &b.groups[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) group(ctx context.Context, number int, turn *int, g *group) error {
	var drivers []*driver
	defer func() {
		for _, d := range drivers {
			d.stop()
		}
	}()
	for _, p := range b.peers {
		if slices.Contains(g.absent, p.label) {
			continue
		}
		d, err := b.start(ctx, number, g, p)
		if err != nil {
			return err
		}
		drivers = append(drivers, d)
	}
	for _, test := range g.tests {
		if test == verified && number > 1 {
			continue
		}
		lines, err := b.test(ctx, rotated(drivers, *turn), test)
		if err != nil {
			return err
		}
		*turn++
		b.tell(number, g.point(test), lines)
		if err := b.keep(lines); err != nil {
			return err
		}
	}
	return nil
}

// rotated are the drivers in an order that begins with another one each turn.
func rotated(d []*driver, turn int) []*driver {
	n := turn % len(d)
	return slices.Concat(d[n:], d[:n])
}

// test measures all peers in turn, and again while others used the machine.
func (b *bench) test(ctx context.Context, drivers []*driver, test string) (lines []result.Line, err error) {
	for try := 1; ; try++ {
		if b.tries > 0 {
			b.quiet(ctx)
		}
		lines = lines[:0]
		noisy := false
		for _, d := range drivers {
			l, err := d.measure(test)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				return nil, err
			}
			lines = append(lines, l)
			noisy = noisy || l.Foreign >= result.Noisy
		}
		if !noisy || try >= b.tries {
			return lines, nil
		}
	}
}

// quiet waits a while until nothing else uses the machine.
func (b *bench) quiet(ctx context.Context) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "load"), "-mode", "quiet", "-harness", strconv.Itoa(os.Getpid()), "-dur", "20s")
	cmd.Run() // that it does not become quiet shows in the measurement
}

func (b *bench) tell(round int, point string, lines []result.Line) {
	words := make([]string, len(lines))
	for i := range lines {
		words[i] = lines[i].Label + " " + brief(&lines[i])
	}
	fmt.Fprintf(os.Stderr, "round %d, %s: %s\n", round, point, strings.Join(words, ", "))
}

// brief is the figure of a measurement that is looked at first.
func brief(l *result.Line) string {
	switch {
	case !l.OK():
		return "FAILED: " + l.ErrSample
	case l.Mode == "upload" || l.Mode == "download":
		return fmt.Sprintf("%.2f Gbit/s", l.Gbps)
	case l.Mode == "idle":
		return fmt.Sprintf("%.0f bytes", l.RSSGCConn)
	case l.Mode == "verify":
		return "right"
	}
	return fmt.Sprintf("%.0f/s", l.Rate)
}

func (b *bench) keep(lines []result.Line) error {
	b.lines = append(b.lines, lines...)
	if b.out == nil {
		return nil
	}
	enc := json.NewEncoder(b.out)
	for i := range lines {
		if err := enc.Encode(&lines[i]); err != nil {
			return err
		}
	}
	return nil
}

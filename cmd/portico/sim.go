package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/a644562b/portico/internal/sim"
	"github.com/spf13/cobra"
)

// simDefault is the path of `portico sim` without a scenario.
const simDefault = `rate 100mbit
rtt 40ms
queue 1bdp
`

func newSim() *cobra.Command {
	f := &simFlags{}
	cmd := &cobra.Command{
		Use:   "sim [SCENARIO]",
		Short: "run TCP over a simulated path, and show what came of it",
		Long: `Run portico's TCP over a simulated path in virtual time, and show what came of it:
goodput, retransmissions that were needed and spurious ones, timeouts, round trips, the
queue, fairness. The same scenario, flags and seed give the same output, to the byte.

SCENARIO is the name of one that comes with portico (--list), a file, or - for standard
input. Without one it is a path of 100 Mbit/s and 40 ms with one flow for 30 s. Flags say
the same things as the lines of a scenario, and replace what it says.

A scenario is lines of text; # begins a comment; what names no direction (down or up)
applies to both:

` + simUsage(),
		Example: `  portico sim lossy
  portico sim --rate 20mbit --rtt 40ms --loss 1% --bytes 100MB --cc newreno
  portico sim --flows 4 --cc cubic,newreno --queue 20ms --time 60s --plot fair.svg
  portico sim --reorder 2%:5ms --rate-at 10s=20mbit --blackhole 5s..7s --pcap bad.pcapng
  portico sim satellite --show > mine.txt; portico sim mine.txt --seed 7 --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneArg("SCENARIO")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runSim(cmd, f, args) },
	}
	f.register(cmd)
	return cmd
}

// simUsage is the lines that a scenario may have, with what they say.
func simUsage() string {
	var b strings.Builder
	for _, u := range sim.Usage() {
		fmt.Fprintf(&b, "  %s\n", u[0])
		for _, line := range wrap(u[1], 82) {
			fmt.Fprintf(&b, "      %s\n", line)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// wrap breaks a text into lines of at most n characters.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && len(line)+1+len(w) > n {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + w)
	}
	return append(lines, line)
}

func runSim(cmd *cobra.Command, f *simFlags, args []string) error {
	if f.list {
		return listScenarios(cmd.OutOrStdout())
	}
	name, text, err := simText(cmd, args)
	if err != nil {
		return err
	}
	if f.show {
		_, err := io.WriteString(cmd.OutOrStdout(), text)
		return err
	}
	sc, err := sim.Parse(name, text)
	if err != nil {
		return usagef(cmd, "%w", err)
	}
	if err := f.apply(cmd, sc); err != nil {
		return err
	}
	if err := sc.Validate(); err != nil {
		return usagef(cmd, "%w", err)
	}
	return f.run(cmd, sc)
}

// simText finds the scenario that is asked for.
func simText(cmd *cobra.Command, args []string) (name, text string, err error) {
	if len(args) == 0 {
		return "default path", simDefault, nil
	}
	name = args[0]
	if name == "-" {
		b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
		return "standard input", string(b), err
	}
	if slices.Contains(sim.Names(), name) {
		text, err = sim.NamedText(name)
		return name, text, err
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return "", "", usagef(cmd, "%q is neither a file nor a scenario: there are %s", name, strings.Join(sim.Names(), ", "))
	}
	if err != nil {
		return "", "", usagef(cmd, "cannot read the scenario: %w", err)
	}
	return filepath.Base(name), string(b), nil
}

// listScenarios writes the names of the scenarios that come with portico, and what they
// are.
func listScenarios(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, name := range sim.Names() {
		text, err := sim.NamedText(name)
		if err != nil {
			return err
		}
		for i, line := range wrap(sim.Summary(text), 76) {
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(out, "%-12s %s\n", name, line)
		}
	}
	return out.Flush()
}

// run runs the scenario and writes everything that is asked for.
func (f *simFlags) run(cmd *cobra.Command, sc *sim.Scenario) (err error) {
	opt := sim.Options{Observe: true}
	if f.plot != "" {
		opt.Trace = new(sim.Trace)
	}
	if f.pcap != "" {
		p, err := newSimCapture(f.pcap)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.close()) }()
		opt.Packets = p.packet
	}
	rep, err := sim.Run(sc, opt)
	if err != nil {
		return err
	}
	if f.plot != "" {
		if err := writePlot(f.plot, opt.Trace, rep); err != nil {
			return err
		}
	}
	if f.asJSON {
		return writeJSON(cmd.OutOrStdout(), rep)
	}
	return rep.Text(cmd.OutOrStdout())
}

// plotFormats are what a plot can be written as, by the ending of the file's name.
var plotFormats = []string{".svg", ".png"}

func writePlot(file string, t *sim.Trace, rep *sim.Report) (err error) {
	w, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("cannot write the plot: %w", err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	figure := t.Figure(rep)
	if strings.EqualFold(filepath.Ext(file), ".png") {
		return figure.PNG(w)
	}
	return figure.SVG(w)
}

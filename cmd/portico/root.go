package main

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// newRoot is the whole command line.
func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "portico",
		Short: "a TCP/IP host in user space on a TUN interface",
		Long: `portico is a TCP/IP host in user space: an address on a TUN interface behind which
no kernel answers, but this program. It shows what happens on the wire.`,
		Example: `  portico demo                     the whole story in one go
  sudo portico up                  serve on 10.77.0.2 and fd77::2
  curl http://10.77.0.2/           talk to it
  sudo portico ss -ti              see its connections
  sudo portico stat                see its counters
  sudo portico trace 1             see the life of one`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
				return usagef(cmd, "there is no command %q: did you mean %q?", args[0], like[0])
			}
			return usagef(cmd, "there is no command %q", args[0])
		},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SuggestionsMinimumDistance = 2
	root.AddCommand(newUp(), newSS(), newStat(), newTrace(), newFetch(), newPing(), newTraceroute(), newDemo(), newSim(), newVersion())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd.CommandPath(), plainFlagError(err)} })
	return root
}

// plainFlagError says what is wrong with a number without naming the function that found out.
func plainFlagError(err error) error {
	number := (*strconv.NumError)(nil)
	if !errors.As(err, &number) {
		return err
	}
	return errors.New(strings.Replace(err.Error(), number.Error(), "that is no number, or out of range", 1))
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef(cmd, "%s takes no argument, and %q is one", cmd.CommandPath(), args[0])
	}
	return nil
}

// oneArg wants exactly one, which is called name.
func oneArg(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usagef(cmd, "%s is missing: %s", name, cmd.UseLine())
		case len(args) > 1:
			return usagef(cmd, "%s takes one %s, and %q is another", cmd.CommandPath(), name, args[1])
		}
		return nil
	}
}

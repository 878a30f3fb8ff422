package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/demo"
	"github.com/spf13/cobra"
)

// demoTime bounds the demo. It takes a second or two.
const demoTime = 30 * time.Second

// The values of --wire. The last is how the demo starts itself in a namespace.
const (
	wireAuto      = "auto"
	wireTUN       = "tun"
	wirePipe      = "pipe"
	wireInsideTUN = "inside"
)

// demoFlags are the flags of `portico demo`.
type demoFlags struct {
	asJSON bool
	wire   string
}

func newDemo() *cobra.Command {
	f := &demoFlags{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "show the life of a connection, from the handshake to the last segment",
		Long: `Show the life of a connection: curl fetches a page from portico, and every segment is
drawn with the state of both ends; so is a connection that loses a segment and whose
reader pauses; then one request is taken apart in the seven layers of OSI. It needs no
argument and changes nothing on this machine: with privileges it
makes a network namespace of its own with a TUN in it, without it connects two of its
own stacks by a pipe in memory and uses Go's http client.`,
		Example: `  portico demo
  portico demo --wire pipe         without a TUN, whatever the privileges
  portico demo --json | jq '.ladders[0].phases[].title'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, f) },
	}
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "as JSON")
	cmd.Flags().StringVar(&f.wire, "wire", wireAuto, "auto, tun or pipe: what to connect by")
	return cmd
}

func runDemo(cmd *cobra.Command, f *demoFlags) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), demoTime)
	defer cancel()
	switch f.wire {
	case wireAuto, wireTUN:
		err := demo.InNamespace(ctx, f.inside(), cmd.OutOrStdout())
		var unable *demo.UnableError
		if !errors.As(err, &unable) || f.wire == wireTUN {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "portico: no TUN (%v): two stacks on a pipe in memory instead\n", unable)
		return f.show(ctx, cmd, demo.OnPipe)
	case wirePipe:
		return f.show(ctx, cmd, demo.OnPipe)
	case wireInsideTUN:
		err := f.show(ctx, cmd, demo.OnTUN)
		var unable *demo.UnableError
		if errors.As(err, &unable) {
			report(cmd.ErrOrStderr(), err)
			return &silentError{demo.ExitUnable}
		}
		return err
	}
	return usagef(cmd, "--wire %q is none of auto, tun, pipe", f.wire)
}

// show plays the demo and writes its story.
func (f *demoFlags) show(ctx context.Context, cmd *cobra.Command, play func(context.Context) (*demo.Story, error)) error {
	story, err := play(ctx)
	if err != nil {
		return err
	}
	if f.asJSON {
		return writeJSON(cmd.OutOrStdout(), story)
	}
	return story.WriteText(cmd.OutOrStdout())
}

// inside is the command line of the demo that runs in a namespace.
func (f *demoFlags) inside() []string {
	args := []string{"demo", "--wire", wireInsideTUN}
	if f.asJSON {
		args = append(args, "--json")
	}
	return args
}

package main

import (
	"context"
	"io"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/api"
	"github.com/a644562b/portico/cmd/portico/internal/nstat"
	"github.com/spf13/cobra"
)

// statFlags are the flags of `portico stat`.
type statFlags struct {
	filter  nstat.Filter
	asJSON  bool
	watch   time.Duration
	address string
}

func newStat() *cobra.Command {
	f := &statFlags{}
	cmd := &cobra.Command{
		Use:   "stat [PATTERN...]",
		Short: "print the counters of the running daemon, in the manner of nstat(8)",
		Long: `Print the counters of the running daemon, in the manner of nstat(8) and with its names:
those of the SNMP tables (RFC 4293, 4113, 4022) as Linux has them. What Linux has no name
for begins with Portico, and what was dropped, by reason, with PorticoDrop.

A PATTERN is one of the shell; case does not matter. Counters that are 0 are left out.

The values count from the start of the daemon: unlike nstat, portico keeps no history
between two calls. With --watch it prints again and again what was added meanwhile, and
how much that is a second, until it is interrupted.`,
		Example: `  portico stat                     what is not 0
  portico stat 'Tcp*' 'Icmp*'      of these protocols only
  portico stat 'PorticoDrop*'      what was dropped, and why
  portico stat --watch 1s          what happens now
  portico stat --all --json | jq .portico.TcpRetransSegs`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.filter.Patterns = args
			return stat(cmd, f)
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&f.filter.Zeros, "all", "a", false, "those that are 0 too")
	fl.BoolVarP(&f.asJSON, "json", "j", false, "as JSON, in the shape of nstat -j")
	fl.DurationVarP(&f.watch, "watch", "w", 0, "what was added, every `duration`, until interrupted")
	addAPIFlag(cmd, &f.address)
	return cmd
}

// leastWatch keeps a watcher from being what it watches.
const leastWatch = 10 * time.Millisecond

func stat(cmd *cobra.Command, f *statFlags) error {
	if err := f.filter.Check(); err != nil {
		return usagef(cmd, "%w", err)
	}
	if cmd.Flags().Changed("watch") && f.watch < leastWatch {
		return usagef(cmd, "--watch %v is too short: choose %v or more", f.watch, leastWatch)
	}
	client, err := newClient(cmd, f.address)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if f.watch != 0 {
		return f.follow(cmd.Context(), client.Stats, out)
	}
	all, err := client.Stats(cmd.Context())
	if err != nil {
		return err
	}
	selected, err := f.filter.Select(all)
	if err != nil {
		return err
	}
	if f.asJSON {
		return nstat.WriteJSON(out, selected)
	}
	return nstat.Write(out, selected)
}

// follow prints every f.watch what was added since it last did, until ctx ends: that is its
// end in order.
func (f *statFlags) follow(ctx context.Context, ask func(context.Context) ([]api.Counter, error), out io.Writer) error {
	before, err := ask(ctx)
	if err != nil {
		return err
	}
	at := time.Now()
	tick := time.NewTicker(f.watch)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		elapsed := time.Since(at)
		at = at.Add(elapsed)
		selected, err := f.filter.Select(nstat.Since(before, now))
		if err != nil {
			return err
		}
		before = now
		if f.asJSON {
			err = nstat.WriteJSON(out, selected)
		} else {
			err = nstat.WriteRates(out, selected, elapsed)
		}
		if err != nil {
			return err
		}
	}
}

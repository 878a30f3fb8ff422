package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/api"
	"github.com/a644562b/portico/cmd/portico/internal/ladder"
	"github.com/spf13/cobra"
)

func newTrace() *cobra.Command {
	var (
		asJSON  bool
		style   ladder.Text
		address string
	)
	cmd := &cobra.Command{
		Use:   "trace [CONN]",
		Short: "draw the life of a connection of the running daemon",
		Long: `Draw the life of a connection of the running daemon as a ladder: one row a segment,
with the state of both ends after it. CONN is the number of a connection or the
peer's address:port, of which the newest is taken. Without CONN, list what can be
traced: the open connections and the last 64 that have ended.`,
		Example: `  portico trace                    what can be traced
  portico trace 3                  connection 3
  portico trace 10.77.0.1:40112    the newest with that peer
  portico trace 3 --json           the same for programs`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneArg("CONN")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := newClient(cmd, address)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return listTraces(cmd.Context(), client, cmd.OutOrStdout(), asJSON)
			}
			l, err := client.Trace(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), l)
			}
			return l.WriteText(cmd.OutOrStdout(), style)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&style.All, "all", false, "every segment that was recorded, long runs too")
	addAPIFlag(cmd, &address)
	return cmd
}

// listTraces writes what can be traced.
func listTraces(ctx context.Context, client *api.Client, w io.Writer, asJSON bool) error {
	traces, err := client.Traces(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(w, traces)
	}
	out := bufio.NewWriter(w)
	ends := len("Local Address:Port") + 2
	for _, t := range traces {
		ends = max(ends, len(t.Local.String()), len(t.Remote.String()))
	}
	row := fmt.Sprintf("%%6s %%-12s %%-%[1]ds %%-%[1]ds %%8s %%8s %%10s", ends)
	line := func(cells ...any) { fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf(row, cells...), " ")) }
	line("CONN", "State", "Local Address:Port", "Peer Address:Port", "Segments", "Again", "Last event")
	for _, t := range traces {
		line(fmt.Sprint(t.Serial), t.State, t.Local.String(), t.Remote.String(),
			fmt.Sprint(t.Totals.SegmentsIn+t.Totals.SegmentsOut), fmt.Sprint(t.Totals.Retransmissions), ago(t.Idle))
	}
	return out.Flush()
}

// ago is a time since something, to the millisecond or the second.
func ago(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

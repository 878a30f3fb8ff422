package main

import (
	"encoding/json"
	"io"

	"github.com/a644562b/portico/cmd/portico/internal/api"
	"github.com/a644562b/portico/cmd/portico/internal/sockstat"
	"github.com/spf13/cobra"
)

func newSS() *cobra.Command {
	var (
		filter  sockstat.Filter
		asJSON  bool
		address string
	)
	cmd := &cobra.Command{
		Use:   "ss",
		Short: "list the sockets of the running daemon, in the manner of ss(8)",
		Long: `List the sockets of the running daemon, in the manner of ss(8): without -l or -a
those that have a peer. For a listener, Recv-Q is how many connections wait to be
accepted and Send-Q how many may.`,
		Example: `  portico ss                       connections
  portico ss -lnt                  TCP listeners, ports as numbers
  portico ss -tai                  all TCP sockets, with what TCP knows of each
  portico ss -a --json | jq '.connections[].remote'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := newClient(cmd, address)
			if err != nil {
				return err
			}
			sockets, err := client.Sockets(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), filter.Select(sockets))
			}
			return sockstat.Write(cmd.OutOrStdout(), sockets, filter)
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&filter.TCP, "tcp", "t", false, "TCP sockets")
	fl.BoolVarP(&filter.UDP, "udp", "u", false, "UDP sockets")
	fl.BoolVarP(&filter.Listening, "listening", "l", false, "only sockets that wait for a peer")
	fl.BoolVarP(&filter.All, "all", "a", false, "all sockets")
	fl.BoolVarP(&filter.Numeric, "numeric", "n", false, "ports as numbers")
	fl.BoolVarP(&filter.Internals, "info", "i", false, "a second line with what TCP knows")
	fl.BoolVar(&asJSON, "json", false, "as JSON")
	addAPIFlag(cmd, &address)
	return cmd
}

// addAPIFlag gives cmd the flag that says where the daemon is.
func addAPIFlag(cmd *cobra.Command, address *string) {
	cmd.Flags().StringVar(address, "api", "", "`address` of the daemon's socket (default "+api.DefaultAddress()+")")
}

// newClient is a client of the daemon at address, or where one is to be expected.
func newClient(cmd *cobra.Command, address string) (*api.Client, error) {
	if address == "" {
		address = api.FindAddress()
	}
	path, err := api.ParseAddress(address)
	if err != nil {
		return nil, usagef(cmd, "--api: %w", err)
	}
	return api.NewClient(path), nil
}

// writeJSON writes v for programs, indented for the people who look too.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

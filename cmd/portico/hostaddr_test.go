package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// The host's side follows from --addr where --host-addr does not name it: else packets to
// portico would go elsewhere.
func TestHostGetsAnAddressInTheNetworkOfAddr(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", "10.77.0.1/24,fd77::1/64"},
		{"--addr 10.9.0.2/24", "10.9.0.1/24"},
		{"--addr 10.9.0.1/24", "10.9.0.2/24"},
		{"--addr 10.9.0.77/16,10.9.0.1/16,fd09::5/64", "10.9.0.2/16,fd09::1/64"},
		{"--addr 10.9.0.2/31", "10.9.0.3/31"},
		{"--addr fd09::/127", "fd09::1/127"},
		{"--addr 10.9.0.5/30", "10.9.0.6/30"},
		{"--addr fe80::1/64", "fe80::2/64"},
		{"--addr 10.9.0.2/24 --host-addr none", ""},
		{"--addr 10.9.0.2/24 --host-addr 10.8.0.1/24", "10.8.0.1/24"},
		{"--addr 10.9.0.2/32", "leaves the host no address in its network: give it one with --host-addr"},
		{"--addr 10.9.0.1/30,10.9.0.2/30", "leaves the host no address in its network: give it one with --host-addr"},
	} {
		cmd := &cobra.Command{}
		f := addNetFlags(cmd, "tun0", 77)
		if err := cmd.ParseFlags(strings.Fields(c.line)); err != nil {
			t.Fatal(err)
		}
		cfg, err := f.config(cmd)
		got := (&prefixes{list: cfg.HostAddrs}).String()
		if err != nil {
			got = err.Error()
		}
		if got != c.want && !(err != nil && strings.HasSuffix(got, c.want)) {
			t.Errorf("%q: %s, want %s", c.line, got, c.want)
		}
	}
}

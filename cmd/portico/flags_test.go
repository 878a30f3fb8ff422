package main

import (
	"testing"

	"github.com/spf13/cobra"

	"github.com/a644562b/portico/link/tun"
)

func TestFlagsOfTheTUN(t *testing.T) {
	for _, tc := range []struct {
		args    []string
		offload tun.OffloadMode
		noBig   bool
	}{
		{nil, tun.OffloadAuto, false},
		{[]string{"--offload", "off"}, tun.OffloadOff, false},
		{[]string{"--no-big-tcp"}, tun.OffloadAuto, true},
	} {
		cmd := &cobra.Command{}
		f := addNetFlags(cmd, "tun0", 77)
		if err := cmd.ParseFlags(tc.args); err != nil {
			t.Fatal(err)
		}
		cfg, err := f.config(cmd)
		if err != nil || cfg.Offload != tc.offload || cfg.NoBigTCP != tc.noBig {
			t.Errorf("%q: offload %v, NoBigTCP %v, %v", tc.args, cfg.Offload, cfg.NoBigTCP, err)
		}
	}
}

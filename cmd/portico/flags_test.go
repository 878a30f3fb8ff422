package main

import (
	"testing"

	"github.com/spf13/cobra"

	"github.com/a644562b/portico/link/tun"
	"github.com/a644562b/portico/stack"
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

func TestWhenSYNCookiesAnswer(t *testing.T) {
	if flag := newUp().Flags().Lookup("syncookies"); flag == nil || flag.DefValue != "full" {
		t.Errorf("--syncookies is %+v by default", flag)
	}
	for word, want := range map[string]stack.SYNCookies{
		"full": stack.SYNCookiesWhenFull, "always": stack.SYNCookiesAlways, "never": stack.SYNCookiesNever,
	} {
		if got, err := (&upFlags{cookies: word}).synCookies(newUp()); got != want || err != nil {
			t.Errorf("%s: %v, %v", word, got, err)
		}
	}
}

package tun

import (
	"strings"
	"testing"
)

func TestOpenRefusesConfigAndNamesTheRemedy(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"MTU below the least", Config{MTU: 575}, "choose 576 to 65535"},
		{"MTU above the largest", Config{MTU: 65536}, "choose 576 to 65535"},
		{"negative MTU", Config{MTU: -1}, "choose 576 to 65535"},
		{"negative queues", Config{Queues: -1}, "choose 1 to 256"},
		{"too many queues", Config{Queues: 257}, "choose 1 to 256"},
		{"unknown offload mode", Config{Offload: 3}, "choose OffloadAuto, OffloadOn or OffloadOff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Open(tt.cfg)
			if err == nil {
				d.Close()
				t.Fatal("Open succeeded")
			}
			checkErrorLine(t, err, tt.want)
		})
	}
}

// checkErrorLine holds an error against what a person needs: one line, and what to
// change.
func checkErrorLine(t *testing.T, err error, remedy string) {
	t.Helper()
	if msg := err.Error(); !strings.Contains(msg, remedy) || strings.Contains(msg, "\n") {
		t.Errorf("error %q: want one line with %q", msg, remedy)
	}
}

func TestOffloadModeNames(t *testing.T) {
	for mode, want := range map[OffloadMode]string{OffloadAuto: "auto", OffloadOn: "on", OffloadOff: "off", 9: "OffloadMode(9)"} {
		if got := mode.String(); got != want {
			t.Errorf("OffloadMode %d is called %q, want %q", uint8(mode), got, want)
		}
	}
}

package node

import (
	"log/slog"
	"testing"

	"github.com/a644562b/portico/link/tun"
)

func TestTheDeviceIsWhatTheNodeIsTold(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	cfg := Config{TUN: "tun7", MTU: 1400, Queues: 3, Offload: tun.OffloadOn, NoBigTCP: true, Logger: log}
	want := tun.Config{Name: "tun7", MTU: 1400, Queues: 3, Offload: tun.OffloadOn, NoBigTCP: true, Logger: log}
	if got := cfg.device(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

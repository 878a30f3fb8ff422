//go:build e2e

package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
)

// What the host's administrator does to the TUN under a running daemon, and what the daemon
// does for the host's side of it.

func TestE2EConnectionsOutliveATUNThatGoesDown(t *testing.T) {
	d := startUp(t)
	c := dialKernel(t, "tcp", "10.77.0.2:7")
	c.SetDeadline(time.Now().Add(patience))
	echo := func(s string) {
		t.Helper()
		got := make([]byte, len(s))
		if _, err := c.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil || string(got) != s {
			t.Fatalf("echo of %q: %q, %v", s, got, err)
		}
	}
	echo("before")
	nstest.IP(t, "link set dev tun0 down")
	d.expect("the device is down")
	nstest.IP(t, "link set dev tun0 up")
	d.expect("the device is up again")
	echo("after")
}

func TestE2EDaemonSaysThatItsTUNIsGone(t *testing.T) {
	d := startUp(t)
	nstest.IP(t, "link delete dev tun0")
	err := <-d.ended
	d.ended = nil
	if err == nil || err.Error() != "exit status 1" {
		t.Errorf("the daemon ended with %v", err)
	}
	if !strings.Contains(d.said.String(), "portico: the TUN tun0 failed: ") || !strings.Contains(d.said.String(), "somebody deleted the interface") {
		t.Errorf("the daemon said:\n%s", d.said.String())
	}
}

//go:build e2e

package main

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestE2EMarksAreThoseOfTheFlags: everything that the daemon sends, connections, resets and
// datagrams, has the TTL and the code point that it was started with, as tshark reads them.
func TestE2EMarksAreThoseOfTheFlags(t *testing.T) {
	need(t, "curl", "curl")
	need(t, "tshark", "tshark")
	file := filepath.Join(t.TempDir(), "wire.pcapng")
	d := startUp(t, "--pcap", file, "--ttl", "9", "--dscp", "46")
	for _, host := range both {
		output(t, nil, "curl", "-q", "-sS", "-o", "/dev/null", "http://"+host+"/bytes/100000")
		c := dialKernel(t, "udp", host+":7")
		c.SetDeadline(time.Now().Add(patience))
		c.Write([]byte("x"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		net.DialTimeout("tcp", net.JoinHostPort(strings.Trim(host, "[]"), "81"), patience)
	}
	d.stop()
	for family, fields := range map[string][]string{
		"10.77.0.2": {"-Y", "ip.src == 10.77.0.2 && (tcp || udp)", "-e", "ip.ttl", "-e", "ip.dsfield.dscp"},
		"fd77::2":   {"-Y", "ipv6.src == fd77::2 && (tcp || udp)", "-e", "ipv6.hlim", "-e", "ipv6.tclass.dscp"},
	} {
		out := output(t, nil, "tshark", append([]string{"-n", "-r", file, "-T", "fields"}, fields...)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) < 10 {
			t.Errorf("%s: only %d packets", family, len(lines))
		}
		for _, l := range lines {
			if l != "9\t46" {
				t.Errorf("%s: a packet has %q, want TTL 9 and DSCP 46", family, l)
			}
		}
	}
}

//go:build e2e

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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

// Whatever addresses are asked for, the host can reach portico at them.
func TestE2EHostReachesEveryAddr(t *testing.T) {
	need(t, "nc", "netcat-openbsd")
	for flags, targets := range map[string]string{
		"--addr 10.9.0.1/30,fd09::1/126":                                   "10.9.0.1 fd09::1",
		"--addr 10.9.0.4/31":                                               "10.9.0.4",
		"--addr 10.9.0.2/24,10.10.0.2/24":                                  "10.9.0.2 10.10.0.2",
		"--addr 10.9.0.2/24,fd09::2/64 --host-addr 10.8.0.1/24":            "10.9.0.2",
		"--addr 10.9.0.2/32 --host-addr 10.8.0.1/32":                       "10.9.0.2",
		"--addr fd09::2/128 --host-addr fd08::1/128":                       "fd09::2",
		"--addr fe80::9/64":                                                "fe80::9%tun0",
		"--addr 10.9.0.2/24,10.11.0.2/24 --host-addr 10.9.0.1/24":          "10.9.0.2 10.11.0.2",
		"--addr 10.9.0.2/24 --mtu 576":                                     "10.9.0.2",
		"--addr 10.9.0.2/24,fd09::2/64 --host-addr 10.9.0.1/24,fd09::1/64": "10.9.0.2 fd09::2",
	} {
		t.Run(flags, func(t *testing.T) {
			d := startUp(t, strings.Fields(flags)...)
			for _, host := range strings.Fields(targets) {
				// Not by a socket of ours: package net remembers the index of a zone for a minute.
				if text := output(t, nil, "nc", "-w", "30", host, "13"); len(text) == 0 {
					t.Errorf("no time of day from %s", host)
				}
			}
			d.stop()
		})
	}
}

// Who collects logs as JSON gets nothing else.
func TestE2EJSONLogIsJSONThroughout(t *testing.T) {
	d := startUp(t, "--log-format", "json")
	d.stop()
	lines := strings.Split(strings.TrimSpace(d.said.String()), "\n")
	for _, line := range lines {
		var entry struct{ Msg, Device string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "" {
			t.Errorf("%s: %v", line, err)
		}
		if line == lines[0] && (entry.Msg != "ready" || entry.Device != "tun0" || !strings.Contains(line, `"10.77.0.2/24"`)) {
			t.Errorf("the first line is %s", line)
		}
	}
	if len(lines) < 2 {
		t.Errorf("%d lines", len(lines))
	}
}

// What ends with its TUN says so, and not that some connection is closed.
func TestE2ECommandsSayThatTheirTUNIsGone(t *testing.T) {
	need(t, "ip", "iproute2")
	l, err := net.Listen("tcp", ":8000") // that answers nobody
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct{ line, under string }{
		{"ping -c 0 -i 0.01 10.78.0.1", "icmp_seq="},
		{"traceroute -w 60 10.78.0.9", "traceroute to "},
		{"fetch -v http://10.78.0.1:8000/", "> User-Agent"},
	} {
		name, flags, _ := strings.Cut(c.line, " ")
		cmd := exec.Command(porticoPath, append([]string{name, "--tun", "gone0"}, strings.Fields(flags)...)...)
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = write, write
		err = cmd.Start()
		write.Close()
		if err != nil {
			t.Fatal(err)
		}
		said := bufio.NewReader(read)
		for line := ""; !strings.Contains(line, c.under); {
			if line, err = said.ReadString('\n'); err != nil {
				t.Fatalf("%s: never under way: %v", c.line, err)
			}
		}
		nstest.IP(t, "link delete dev gone0")
		rest, _ := io.ReadAll(said)
		read.Close()
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(string(rest), "the TUN gone0 failed: ") ||
			!strings.Contains(string(rest), "somebody deleted the interface") || strings.Contains(string(rest), "closed") {
			t.Errorf("%s: exit %d\n%s", c.line, code, rest)
		}
	}
}

// A command that comes to nothing leaves the files that it was to write as they were.
func TestE2EFilesOutliveACommandThatFails(t *testing.T) {
	startUp(t)
	capture, body := filepath.Join(t.TempDir(), "wire.pcapng"), filepath.Join(t.TempDir(), "body")
	for _, path := range []string{capture, body} {
		if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{
		"up --tun tun0 --addr 10.9.0.2/24 --pcap " + capture,
		"fetch --tun tun0 --pcap " + capture + " -o " + body + " http://10.78.0.1/",
		"ping --tun tun0 --pcap " + capture + " 10.78.0.1",
		"fetch -o " + body + " http://10.78.0.1:1/",
	} {
		if said, err := exec.Command(porticoPath, strings.Fields(args)...).CombinedOutput(); err == nil {
			t.Errorf("portico %s came to something:\n%s", args, said)
		}
	}
	for _, path := range []string{capture, body} {
		if got, err := os.ReadFile(path); err != nil || string(got) != "kept" {
			t.Errorf("%s has %q, %v", path, got, err)
		}
	}
}

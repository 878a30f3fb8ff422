//go:build e2e

package main

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/a644562b/portico/internal/nstest"
)

// What a newcomer types to see whether a host is there: ping, traceroute, curl -6. Each
// must do what it does with any host.

// linkLocal is the address that the daemon has beside its default ones, with the zone that
// the kernel wants to hear.
const linkLocal = "fe80::2%tun0"

// Every size of ping is answered with what was sent, also where it takes fragments.
func TestE2EPingOfEverySize(t *testing.T) {
	need(t, "ping", "iputils-ping")
	need(t, "tshark", "tshark")
	file := filepath.Join(t.TempDir(), "ping.pcapng")
	d := startUp(t, "--pcap", file)
	const mtu, header4, header6 = 1500, 20 + 8, 40 + 8
	sent := 0
	ping := func(host, mode string, size int) {
		t.Helper()
		sent++
		// ping compares what comes back with the pattern.
		got := output(t, nil, "ping", "-n", "-c", "1", "-W", "30", "-M", mode, "-p", "c0ffee", "-s", fmt.Sprint(size), host)
		if !strings.Contains(got, "1 received") || !strings.Contains(got, fmt.Sprintf("\n%d bytes from", size+8)) ||
			strings.Contains(got, "wrong data") || strings.Contains(got, "truncated") {
			t.Errorf("ping -M %s -s %d %s:\n%s", mode, size, host, got)
		}
	}
	for _, size := range []int{0, 1, 56, mtu - header4, mtu - header4 + 1, 8000, 65507} {
		ping("10.77.0.2", "want", size)
	}
	for _, size := range []int{0, 1, 56, mtu - header6, mtu - header6 + 1, 8000, 65487, 65527} {
		ping("fd77::2", "want", size)
	}
	ping("10.77.0.2", "do", mtu-header4)
	ping("fd77::2", "do", mtu-header6)
	ping("10.77.0.2", "dont", 65507)
	ping(linkLocal, "want", 8000)
	for host, size := range map[string]int{"10.77.0.2": mtu - header4 + 1, "fd77::2": mtu - header6 + 1} {
		got, err := exec.Command("ping", "-n", "-c", "1", "-W", "30", "-M", "do", "-s", fmt.Sprint(size), host).CombinedOutput()
		if err == nil || !strings.Contains(string(got), "essage too long, mtu") { // older ones: "Message"
			t.Errorf("ping -M do -s %d %s: %v\n%s", size, host, err, got)
		}
	}
	d.stop()
	echoesAreExact(t, file, sent)
}

// echoesAreExact lets tshark put the fragments of a capture together: each of so many
// requests must have one reply, with the same data, identifier and number.
func echoesAreExact(t *testing.T, file string, want int) {
	t.Helper()
	got := output(t, nil, "tshark", "-n", "-r", file, "-Y", "(icmp.type in {0, 8} || icmpv6.type in {128, 129}) && !icmp.resp_not_found",
		"-T", "fields", "-e", "icmp.type", "-e", "icmpv6.type", "-e", "icmp.ident", "-e", "icmpv6.echo.identifier", "-e", "data.data")
	requests, replies := make(map[string]int), 0
	lines := bufio.NewScanner(strings.NewReader(got))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), "\t", 3)
		switch what := fields[2]; fields[0] + fields[1] {
		case "8", "128":
			requests[what]++
		default:
			replies++
			if requests[what]--; requests[what] < 0 {
				t.Errorf("a reply that no request has asked for: %.200q", what)
			}
		}
	}
	if err := lines.Err(); err != nil || len(requests) == 0 || replies != want {
		t.Errorf("%d replies to requests of %d kinds, want %d (%v)", replies, len(requests), want, err)
	}
}

// To traceroute the daemon is one hop away, by every kind of probe. A port that nobody
// listens on and one that is open are both arrivals.
func TestE2ETracerouteSeesOneHop(t *testing.T) {
	need(t, "traceroute", "traceroute")
	startUp(t)
	// One run with datagrams from each source, for ICMP errors are limited by destination.
	for _, args := range []string{"", "-I", "-T -p 80", "-T -p 81"} {
		for _, host := range []string{"10.77.0.2", "fd77::2", linkLocal} {
			tracerouteSeesOneHop(t, host, strings.Fields(args)...)
		}
	}
}

func tracerouteSeesOneHop(t *testing.T, host string, args ...string) {
	t.Helper()
	got := output(t, nil, "traceroute", append(append([]string{"-n", "-m", "2", "-w", "10"}, args...), host)...)
	lines := strings.Split(strings.TrimSpace(got), "\n")
	hop := strings.Fields(lines[len(lines)-1])
	// "1  10.77.0.2  0.1 ms  0.1 ms  0.1 ms", without a star or a !X.
	if len(lines) != 2 || len(hop) != 8 || hop[0] != "1" || hop[1] != host || hop[3] != "ms" || hop[5] != "ms" || hop[7] != "ms" {
		t.Errorf("traceroute %v %s:\n%s", args, host, got)
	}
}

// Six datagrams at once to closed ports are as many as the kernel of another host answers;
// the daemon answers no fewer.
func TestE2ETracerouteIsAnsweredAsByTheKernel(t *testing.T) {
	need(t, "traceroute", "traceroute")
	startUp(t)
	nstest.NewFarHost(t)
	const burst = 6
	for _, host := range []string{"10.77.0.2", "10.88.9.2", "fd77::2", "fd88:9::2"} {
		got := output(t, nil, "traceroute", "-n", "-m", "1", "-w", "10", "-N", fmt.Sprint(burst), "-q", fmt.Sprint(burst), host)
		if answers := strings.Count(got, " ms"); answers != burst {
			t.Errorf("of %d at once %d are answered:\n%s", burst, answers, got)
		}
	}
}

// hosts counts what anotherHost has made up.
var hosts atomic.Uint32

// anotherHost is the flag of addresses that the kernel has not heard of for long.
func anotherHost() string {
	n := 10 + hosts.Add(1)%240
	return fmt.Sprintf("--addr=10.78.0.%d/24,fd78::%d/64", n, n)
}

// curl over IPv6, to the address that one gives and to the link-local one.
func TestE2ECurlOverIPv6(t *testing.T) {
	need(t, "curl", "curl")
	d := startUp(t)
	for _, host := range []string{"fd77::2", linkLocal} {
		text := output(t, nil, "curl", "-q", "-6", "-sS", "--max-time", "60", "http://["+host+"]/")
		if !strings.Contains(text, "portico     "+host+", port 80") {
			t.Errorf("%s: the page is\n%s", host, text)
		}
		body := output(t, nil, "curl", "-q", "-6", "-sS", "--max-time", "60", "http://["+host+"]/bytes/1000000")
		if len(body) != 1_000_000 {
			t.Errorf("%s: %d bytes", host, len(body))
		}
	}
	tun, err := net.InterfaceByName("tun0")
	if err != nil {
		t.Fatal(err)
	}
	// By number, for package net remembers names, and each test has a tun0 of its own.
	c := dialKernel(t, "tcp", fmt.Sprintf("[fe80::2%%%d]:7", tun.Index))
	if got := d.portico("trace", c.LocalAddr().String()); !strings.Contains(got, "three-way handshake") {
		t.Errorf("trace %v:\n%s", c.LocalAddr(), got)
	}
}

// portico's own ping and traceroute, to the router and to the host behind it. Each time it is
// another host, for the router limits the errors to each.
func TestE2EPorticoPingsAndTracesBeyondARouter(t *testing.T) {
	nstest.NewFarHost(t)
	for _, w := range []struct {
		router, far, nowhere string
		most                 string // bytes that a ping may have
	}{
		{"10.78.0.1", "10.88.9.2", "10.99.0.1", "65507"},
		{"fd78::1", "fd88:9::2", "fd99::1", "65527"},
	} {
		nstest.IP(t, "route add prohibit "+w.nowhere)
		t.Cleanup(func() { nstest.IP(t, "route del prohibit "+w.nowhere) })
		for _, c := range []struct {
			line string
			code int
			want string // as an expression
		}{
			{"ping -c 2 -i 0.01 -W 30 " + w.router, exitOK, `64 bytes from ROUTER: icmp_seq=2 ttl=64 time=[0-9.]+ ms\n(.|\n)*2 received`},
			{"ping -c 2 -i 0.01 -W 30 -s MOST " + w.far, exitOK, `655.. bytes from FAR: icmp_seq=2 ttl=63 time=[0-9.]+ ms\n(.|\n)*2 received`},
			{"ping -c 1 -W 30 -s 0 -t 2 " + w.far, exitOK, `8 bytes from FAR: icmp_seq=1 ttl=63`},
			{"ping -c 1 -W 30 -t 1 " + w.far, exitFailed, `From ROUTER icmp_seq=1 time exceeded\n(.|\n)*1 packets transmitted, 0 received`},
			{"ping -c 1 -W 30 " + w.nowhere, exitFailed, `From ROUTER icmp_seq=1 administratively prohibited\n`},
			{"traceroute -w 30 " + w.router, exitOK, `^traceroute to ROUTER .*, 30 hops max, .*\n 1  ROUTER(  [0-9.]+ ms){3}\n$`},
			{"traceroute -w 30 -q 2 " + w.far, exitOK, `\n 1  ROUTER(  [0-9.]+ ms){2}\n 2  FAR(  [0-9.]+ ms){2}\n$`},
			{"traceroute -w 30 -q 1 " + w.nowhere, exitOK, `\n 1  ROUTER  [0-9.]+ ms !X\n$`},
			{"traceroute -w 30 -m 1 -q 1 " + w.far, exitFailed, `\n 1  ROUTER  [0-9.]+ ms\n$`},
		} {
			cmd := exec.Command(porticoPath, append(strings.Fields(strings.Replace(c.line, "MOST", w.most, 1)), anotherHost())...)
			got, _ := cmd.CombinedOutput()
			want := strings.NewReplacer("ROUTER", regexp.QuoteMeta(w.router), "FAR", regexp.QuoteMeta(w.far)).Replace(c.want)
			if code := cmd.ProcessState.ExitCode(); code != c.code || !regexp.MustCompile(want).Match(got) {
				t.Errorf("portico %s: exit %d\n%s\nwant exit %d and %s", c.line, code, got, c.code, want)
			}
		}
	}
	// The kernel answers from its link-local address once it has made sure of it.
	everybody := regexp.MustCompile(`64 bytes from (fe80::[0-9a-f:]+%\w+|fd78::1): icmp_seq=1 `)
	if got := output(t, nil, porticoPath, "ping", "-c", "1", "-W", "30", "ff02::1"); !everybody.MatchString(got) {
		t.Errorf("ping to all nodes of the link:\n%s", got)
	}
	tooLong := exec.Command(porticoPath, "ping", "-s", "65508", "10.78.0.1")
	if out, _ := tooLong.CombinedOutput(); tooLong.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), "choose at most 65507") {
		t.Errorf("a ping that no packet of IPv4 holds: %s", out)
	}
}

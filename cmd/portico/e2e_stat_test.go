//go:build e2e

package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tally are counters by name.
type tally map[string]int64

// grown is by how much a counter has grown since before.
func (now tally) grown(before tally, names ...string) (n int64) {
	for _, name := range names {
		n += now[name] - before[name]
	}
	return n
}

// kernelTally asks nstat for the counters of this namespace, without its history.
func kernelTally(t *testing.T) tally {
	t.Helper()
	return readTally(t, "kernel", output(t, nil, "nstat", "--json", "--ignore", "--zeros", "--noupdate"))
}

// tally asks the daemon.
func (d *daemon) tally() tally {
	d.t.Helper()
	return readTally(d.t, "portico", d.portico("stat", "--json", "--all"))
}

func readTally(t *testing.T, source, text string) tally {
	t.Helper()
	var all map[string]tally
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all[source]) < 100 {
		t.Fatalf("%v, %d counters of %s in %.200s", err, len(all[source]), source, text)
	}
	return all[source]
}

// quiet waits until the daemon has no connection that is not over.
func (d *daemon) quiet() {
	d.t.Helper()
	for limit := time.Now().Add(patience); strings.Contains(d.portico("ss", "-ta"), "10.77.0.1:"); {
		if time.Now().After(limit) {
			d.t.Fatalf("connections are left:\n%s", d.portico("ss", "-ta"))
		}
		<-time.After(10 * time.Millisecond)
	}
}

// What the kernel has sent portico has received, and the other way round, by the counters
// of both: pings, some in fragments, a page, datagrams, and what nobody is there for.
func TestE2EStatAgreesWithTheKernelsNstat(t *testing.T) {
	need(t, "nstat", "iproute2")
	need(t, "curl", "curl")
	need(t, "ping", "iputils-ping")
	d := startUp(t)
	kernelBefore, before := kernelTally(t), d.tally()

	pings(t, 3, "10.77.0.2")
	pings(t, 2, "-s", "3000", "10.77.0.2") // three fragments each way
	pings(t, 4, "fd77::2")
	output(t, nil, "curl", "-q", "-sS", "http://10.77.0.2/")
	u := dialKernel(t, "udp", "10.77.0.2:7")
	u.SetDeadline(time.Now().Add(patience))
	for range 5 {
		u.Write([]byte("hello"))
		if _, err := io.ReadFull(u, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	closed := dialKernel(t, "udp", "10.77.0.2:11")
	closed.SetDeadline(time.Now().Add(patience))
	closed.Write([]byte("x"))
	if _, err := closed.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed UDP port: %v", err)
	}
	if _, err := net.DialTimeout("tcp", "10.77.0.2:11", patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed TCP port: %v", err)
	}
	d.quiet()
	kernel, portico := kernelTally(t), d.tally()

	for name, want := range map[string]int64{
		"IcmpInEchos": 5, "IcmpOutEchoReps": 5, "IcmpMsgInType8": 5, "IcmpOutDestUnreachs": 1,
		"Icmp6InEchos": 4, "Icmp6OutEchoReplies": 4,
		"IpReasmReqds": 6, "IpReasmOKs": 2, "IpFragOKs": 2, "IpFragCreates": 6, "IpReasmFails": 0,
		"UdpInDatagrams": 5, "UdpOutDatagrams": 5, "UdpNoPorts": 1, "UdpInErrors": 0,
		"TcpPassiveOpens": 1, "TcpActiveOpens": 0, "TcpOutRsts": 1, "TcpCurrEstab": 0, "TcpRetransSegs": 0, "TcpInErrs": 0,
		"IpInHdrErrors": 0, "IpOutDiscards": 0, "PorticoDropUdpClosedPort": 1, "PorticoDropTcpClosedPort": 1,
	} {
		if got := portico.grown(before, name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if n := kernel.grown(kernelBefore, "TcpRetransSegs"); n != 0 {
		t.Errorf("the kernel has sent %d segments twice", n)
	}
	for ours, theirs := range map[string]string{
		"IcmpInEchos": "IcmpOutEchos", "IcmpOutEchoReps": "IcmpInEchoReps", "IcmpOutDestUnreachs": "IcmpInDestUnreachs",
		"Icmp6InEchos": "Icmp6OutEchos", "Icmp6OutEchoReplies": "Icmp6InEchoReplies",
		"IpReasmReqds": "IpFragCreates", "IpFragCreates": "IpReasmReqds", "IpReasmOKs": "IpFragOKs", "IpFragOKs": "IpReasmOKs",
		"UdpOutDatagrams": "UdpInDatagrams", "TcpPassiveOpens": "TcpActiveOpens", "TcpInSegs": "TcpOutSegs",
	} {
		got, want := portico.grown(before, ours), kernel.grown(kernelBefore, theirs)
		if ours == "TcpPassiveOpens" {
			want -= kernel.grown(kernelBefore, "TcpAttemptFails") // the closed port
		}
		if got != want {
			t.Errorf("%s of portico is %d, %s of the kernel %d", ours, got, theirs, want)
		}
	}
	// The namespace sends IPv4 to nobody else. The kernel counts datagrams before they are
	// cut into fragments.
	sent := kernel.grown(kernelBefore, "IpOutRequests", "IpFragCreates") - kernel.grown(kernelBefore, "IpFragOKs")
	if got := portico.grown(before, "IpInReceives"); got != sent {
		t.Errorf("portico has received %d packets of IPv4, the kernel has sent %d", got, sent)
	}
}

// pings sends so many pings, each of its own: for the last of several ping waits no longer than
// for those before.
func pings(t *testing.T, n int, args ...string) {
	t.Helper()
	for range n {
		output(t, nil, "ping", append([]string{"-n", "-c", "1", "-W", "30"}, args...)...)
	}
}

func TestE2EStatIsReadByPeople(t *testing.T) {
	need(t, "ping", "iputils-ping")
	d := startUp(t)
	pings(t, 2, "10.77.0.2")
	text := d.portico("stat", "icmp*echo*")
	if want := "#portico\nIcmpInEchos                     2\nIcmpOutEchoReps                 2\n"; text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	cmd := exec.Command(porticoPath, "stat", "--api", "unix://"+d.socket, "Icmp*Typo")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "no counter is called Icmp*Typo") {
		t.Errorf("%v: %s", err, out)
	}
}

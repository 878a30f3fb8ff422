package stack

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
)

// The kernel pings us with as much as a packet holds, cut and not to be cut.
func TestKernelPingsUsWithEverySize(t *testing.T) {
	nstest.Require(t)
	s, _ := kernelNeighbour(t)
	for _, test := range []struct {
		host, mode string
		size       int
	}{
		{"10.77.9.2", "want", 0}, {"10.77.9.2", "want", 56}, {"10.77.9.2", "do", 1472}, {"10.77.9.2", "want", 1473},
		{"10.77.9.2", "dont", 8000}, {"10.77.9.2", "want", 65507},
		{"fd77:9::2", "want", 0}, {"fd77:9::2", "want", 56}, {"fd77:9::2", "do", 1452}, {"fd77:9::2", "want", 1453},
		{"fd77:9::2", "want", 8000}, {"fd77:9::2", "want", 65507},
	} {
		// The pattern is verified by ping: what came back wrong would be told. It is one request,
		// for which ping waits as long as it is told: for the last of several it waits no
		// longer than two round trips of those before.
		out, err := exec.Command("ping", "-n", "-c", "1", "-W", "20", "-M", test.mode, "-p", "c0ffee",
			"-s", strconv.Itoa(test.size), test.host).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "1 received") || strings.Contains(string(out), "wrong data") || strings.Contains(string(out), "truncated") {
			t.Errorf("ping -M %s -s %d %s: %v\n%s", test.mode, test.size, test.host, err, out)
		}
	}
	for reason, n := range s.Stats().Drops {
		if strings.HasPrefix(reason, "ip_") || strings.HasPrefix(reason, "transmit") {
			t.Errorf("%d drops for %s", n, reason)
		}
	}
}

// The kernel asks who is on the link: we are, by our link-local address.
func TestKernelPingsAllNodes(t *testing.T) {
	nstest.Require(t)
	kernelNeighbour(t)
	// It asks on until two answers have come, however late they are.
	out, err := exec.Command("ping", "-n", "-6", "-L", "-c", "2", "-i", "0.01", "-w", "20", "ff02::1%tunstack").CombinedOutput()
	ours, all := strings.Count(string(out), "bytes from fe80::2%tunstack"), strings.Count(string(out), "bytes from ")
	if err != nil || ours < 2 || ours != all || strings.Contains(string(out), "DUP") {
		t.Errorf("ping: %v\n%s", err, out)
	}
}

// We ping the kernel with as much.
func TestWePingTheKernelWithEverySize(t *testing.T) {
	nstest.Require(t)
	s, _ := kernelNeighbour(t)
	for _, host := range []string{"10.77.9.1", "fd77:9::1"} {
		for _, size := range []int{0, 56, 1452, 1472, 1473, 8000, 65507} {
			pong, err := s.Ping(t.Context(), netip.MustParseAddr(host), size, noise(size))
			if err != nil || pong.Bytes != size {
				t.Errorf("%d bytes to %s: %+v, %v", size, host, pong, err)
			}
		}
	}
}

// A flood to closed ports: the kernel hears a few errors of it and no more than one a second
// from then on.
func TestFloodToClosedPortsIsAnsweredWithinTheRate(t *testing.T) {
	nstest.Require(t)
	s, _ := kernelNeighbour(t)
	closed := func(s *Stack) uint64 {
		st := s.Stats()
		return st.UDP.NoPorts + st.UDP6.NoPorts
	}
	for _, test := range []struct{ host, file, counter string }{
		{"10.77.9.2", "/proc/net/snmp", "Icmp InDestUnreachs"},
		{"fd77:9::2", "/proc/net/snmp6", "Icmp6InDestUnreachs"},
	} {
		before, begun := kernelCounter(t, test.file, test.counter), time.Now()
		seen := closed(s)
		const flood = 5000
		sock, err := net.ListenPacket("udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		neighbour := netip.MustParseAddr(strings.TrimSuffix(test.host, "2") + "1")
		for i := range flood {
			sock.WriteTo([]byte("x"), &net.UDPAddr{IP: net.ParseIP(test.host), Port: 20000 + i})
			if i%100 != 99 {
				continue
			}
			// A round trip, so that the queue of the TUN never runs over, and what we had to say
			// has arrived at the end.
			if _, err := s.Ping(t.Context(), neighbour, i, nil); err != nil {
				t.Fatal(err)
			}
		}
		sock.Close()
		told := kernelCounter(t, test.file, test.counter) - before
		most := 6 + int(time.Since(begun)/time.Second) + 1
		if told < 1 || told > most {
			t.Errorf("%d errors to %s, want 1 to %d", told, test.host, most)
		}
		if n := closed(s) - seen; n != flood {
			t.Errorf("%d of %d datagrams arrived", n, flood)
		}
	}
}

// kernelCounter reads a counter of the namespace: "Icmp InDestUnreachs" from a table of
// /proc/net/snmp, or a name of /proc/net/snmp6.
func kernelCounter(t *testing.T, file, name string) int {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table, column, split := strings.Cut(name, " ")
	var names []string
	for _, line := range strings.Split(string(b), "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case !split && fields[0] == name:
			n, _ := strconv.Atoi(fields[1])
			return n
		case split && fields[0] == table+":" && names == nil:
			names = fields
		case split && fields[0] == table+":":
			for i, n := range names {
				if n == column {
					v, _ := strconv.Atoi(fields[i])
					return v
				}
			}
		}
	}
	t.Fatalf("no %s in %s", name, file)
	return 0
}

// A router on the way, the kernel, whose further link becomes narrower twice while
// datagrams pass: whoever sent the one that did not fit is told, and from then on they
// arrive, whole.
func TestUDPFollowsAPathThatShrinks(t *testing.T) {
	nstest.Require(t)
	s, _ := kernelNeighbour(t)
	far := nstest.NewFarHost(t)
	echoFrom(t, far)
	for _, family := range []struct {
		far    netip.Addr
		header int
	}{{nstest.Far4, 28}, {nstest.Far6, 48}} {
		c, err := s.Dial("udp", netip.AddrPortFrom(family.far, 7).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		got := make([]byte, 65536)
		echo := func(n int) error {
			payload := noise(n)
			if _, err := c.Write(payload); err != nil {
				return err
			}
			m, err := c.Read(got)
			if err == nil && !bytes.Equal(got[:m], payload) {
				t.Errorf("%d bytes came back as %d others", n, m)
			}
			return err
		}
		setMTU(t, far, 1500)
		if err := echo(1500 - family.header); err != nil {
			t.Fatalf("before: %v", err)
		}
		for _, mtu := range []int{1400, 1280} {
			setMTU(t, far, mtu)
			if err := echo(mtu + 1 - family.header); !errors.Is(err, syscall.EMSGSIZE) {
				t.Fatalf("the first beyond %d to %s: %v, want EMSGSIZE", mtu, family.far, err)
			}
			for _, n := range []int{mtu - family.header, mtu + 1 - family.header, 1500 - family.header, 1501 - family.header, 20000} {
				if err := echo(n); err != nil {
					t.Fatalf("%d bytes to %s over %d: %v", n, family.far, mtu, err)
				}
			}
		}
	}
}

// echoFrom is a socket at the far host that echoes datagrams to port 7.
func echoFrom(t *testing.T, far *nstest.Host) {
	t.Helper()
	var sock net.PacketConn
	var err error
	far.Do(func() { sock, err = net.ListenPacket("udp", ":7") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := sock.ReadFrom(b)
			if err != nil {
				return
			}
			sock.WriteTo(b[:n], from)
		}
	}()
}

// setMTU makes the link between the router and the far host as narrow as that.
func setMTU(t *testing.T, far *nstest.Host, mtu int) {
	t.Helper()
	nstest.IP(t, fmt.Sprintf("link set %s mtu %d", nstest.NearLink, mtu))
	far.IP(fmt.Sprintf("link set %s mtu %d", nstest.FarLink, mtu))
}

//go:build e2e

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/cmd/portico/internal/serve"
	"github.com/a644562b/portico/internal/nstest"
)

// A path with a router on it, the kernel, whose way on is narrower than the links of both
// ends: portico on the TUN, and the kernel of another namespace.

// router is where the tests of paths stand: portico before it, far behind it.
type router struct {
	t    *testing.T
	n    *node.Node
	far  *nstest.Host
	file string // the capture of portico's device
}

// startRouter makes a host in this very process, which writes down what passes its device,
// and another behind the kernel.
func startRouter(t *testing.T) *router {
	t.Helper()
	r := &router{t: t, file: filepath.Join(t.TempDir(), "path.pcapng")}
	file, err := os.Create(r.file)
	if err != nil {
		t.Fatal(err)
	}
	r.n, err = node.Open(node.Config{
		Addrs:     []netip.Prefix{netip.MustParsePrefix("10.79.0.2/24"), netip.MustParsePrefix("fd79::2/64")},
		HostAddrs: []netip.Prefix{netip.MustParsePrefix("10.79.0.1/24"), netip.MustParsePrefix("fd79::1/64")},
		Capture:   file,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.n.Stack.Close()
		file.Close()
	})
	r.far = nstest.NewFarHost(t)
	return r
}

// way is one family's way between portico and the far host.
type way struct {
	name         string
	portico, far netip.Addr
	header       int // of IP and TCP without options
}

var ways = []way{
	{"IPv4", netip.MustParseAddr("10.79.0.2"), nstest.Far4, 40},
	{"IPv6", netip.MustParseAddr("fd79::2"), nstest.Far6, 60},
}

// narrow lets the router pass on packets of at most mtu bytes, in either direction.
func (r *router) narrow(w way, mtu int) {
	r.t.Helper()
	if w.far.Is4() {
		nstest.IP(r.t, fmt.Sprintf("route replace 10.88.9.0/24 dev %s mtu lock %d", nstest.NearLink, mtu))
		nstest.IP(r.t, fmt.Sprintf("route replace 10.79.0.0/24 dev %s mtu lock %d", r.n.Name, mtu))
		return
	}
	nstest.IP(r.t, fmt.Sprintf("-6 route replace fd88:9::/64 dev %s proto kernel metric 256 mtu lock %d", nstest.NearLink, mtu))
	nstest.IP(r.t, fmt.Sprintf("-6 route replace fd79::/64 dev %s proto kernel metric 256 mtu lock %d", r.n.Name, mtu))
}

// silence lets the router drop packets that are too big without a word.
func (r *router) silence() {
	r.t.Helper()
	for _, command := range []string{
		"add table inet hole",
		"add chain inet hole out { type filter hook output priority 0 ; }",
		"add rule inet hole out icmp type destination-unreachable counter drop",
		"add rule inet hole out icmpv6 type packet-too-big counter drop",
	} {
		output(r.t, nil, "nft", command)
	}
	r.t.Cleanup(func() { output(r.t, nil, "nft", "delete table inet hole") })
}

// packet is what tshark says of a packet.
type packet struct {
	src    netip.Addr
	port   int // that it comes from, 0 unless it is a TCP segment
	length int // with its IP header
	tooBig bool
}

// packets ends portico and returns what passed its device.
func (r *router) packets() (list []packet) {
	r.t.Helper()
	r.n.Stack.Close()
	fields := []string{"ip.src", "ipv6.src", "tcp.srcport", "frame.len", "icmp.type", "icmpv6.type"}
	args := []string{"-n", "-r", r.file, "-Y", "tcp.len > 0 || icmp.type == 3 || icmpv6.type == 2", "-T", "fields", "-E", "occurrence=f"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	for line := range strings.Lines(output(r.t, nil, "tshark", args...)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		p := packet{tooBig: f[4]+f[5] != ""}
		var err error
		if p.src, err = netip.ParseAddr(f[0] + f[1]); err != nil {
			r.t.Fatalf("%q: %v", line, err)
		}
		if p.length, err = strconv.Atoi(f[3]); err != nil {
			r.t.Fatalf("%q: %v", line, err)
		}
		if !p.tooBig {
			p.port, _ = strconv.Atoi(f[2])
		}
		list = append(list, p)
	}
	return list
}

// lengths are the lengths of the segments with data from an address and a port.
func lengths(list []packet, src netip.Addr, port int) (lengths []int) {
	for _, p := range list {
		if p.src == src && p.port == port {
			lengths = append(lengths, p.length)
		}
	}
	return lengths
}

// told counts what the router says to a family.
func told(list []packet, w way) (n int) {
	for _, p := range list {
		if p.tooBig && p.src.Is4() == w.portico.Is4() {
			n++
		}
	}
	return n
}

// serveDigests answers each block of data on the connections of l by its digest. A block
// begins with its length.
func serveDigests(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			var length uint64
			for binary.Read(c, binary.BigEndian, &length) == nil {
				h := sha256.New()
				if _, err := io.CopyN(h, c, int64(length)); err != nil {
					return
				}
				c.Write(h.Sum(nil))
			}
		}()
	}
}

// exchange sends a block of n bytes and compares the digest that comes back.
func exchange(c net.Conn, n int) error {
	block := make([]byte, n)
	new(serve.Pattern).Read(block)
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(append(binary.BigEndian.AppendUint64(nil, uint64(n)), block...)); err != nil {
		return err
	}
	got := make([]byte, sha256.Size)
	if _, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("no digest: %w", err)
	}
	if want := sha256.Sum256(block); !bytes.Equal(got, want[:]) {
		return fmt.Errorf("other bytes arrived than were sent")
	}
	return nil
}

func port(c net.Conn) int { return int(netip.MustParseAddrPort(c.LocalAddr().String()).Port()) }

// connections opens n connections from portico to the far host and one the other way.
func (r *router) connections(w way, n int) (ours []net.Conn, theirs net.Conn) {
	r.t.Helper()
	var l net.Listener
	var err error
	r.far.Do(func() { l, err = net.Listen("tcp", netip.AddrPortFrom(w.far, 9000).String()) })
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	go serveDigests(l)
	for range n {
		c, err := r.n.Stack.Dial("tcp", l.Addr().String())
		if err != nil {
			r.t.Fatal(err)
		}
		ours = append(ours, c)
	}
	here, err := r.n.Stack.Listen("tcp", netip.AddrPortFrom(w.portico, 9000).String())
	if err != nil {
		r.t.Fatal(err)
	}
	go serveDigests(here)
	r.far.Do(func() { theirs, err = net.DialTimeout("tcp", here.Addr().String(), patience) })
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

const block = 1 << 20

// The path becomes narrow while connections stand. Both ends go on with segments that fit;
// of portico's connections one must find out, and the others know.
func TestE2ETCPFollowsAPathThatShrinks(t *testing.T) {
	need(t, "tshark", "tshark")
	r := startRouter(t)
	const mtu = 1400
	type ports struct{ first, idle, later, theirs int }
	used := make(map[string]ports)
	for _, w := range ways {
		ours, theirs := r.connections(w, 2)
		do := func(c net.Conn, what string) {
			t.Helper()
			if err := exchange(c, block); err != nil {
				t.Fatalf("%s, %s: %v", w.name, what, err)
			}
		}
		do(ours[0], "out before")
		do(theirs, "in before")
		r.narrow(w, mtu)
		do(ours[0], "out")
		do(theirs, "in")
		do(ours[1], "out, which was idle")
		later, err := r.n.Stack.Dial("tcp", ours[0].RemoteAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		do(later, "out, made later")
		used[w.name] = ports{port(ours[0]), port(ours[1]), port(later), port(theirs)}
	}
	seen := r.packets()
	for _, w := range ways {
		p := used[w.name]
		first, theirs := lengths(seen, w.portico, p.first), lengths(seen, w.far, p.theirs)
		for what, sizes := range map[string][]int{"portico": first, "the kernel": theirs} {
			before, after := sizes[:len(sizes)/4], sizes[len(sizes)*3/4:]
			if largest(before) != 1500 || largest(after) != mtu {
				t.Errorf("%s: %s sent %d bytes at most, and later %d; want 1500, then %d", w.name, what, largest(before), largest(after), mtu)
			}
		}
		for what, port := range map[string]int{"the idle one": p.idle, "the later one": p.later} {
			if sizes := lengths(seen, w.portico, port); largest(sizes) != mtu || len(sizes) < block/mtu {
				t.Errorf("%s: %s sent %d packets of %d bytes at most, want %d", w.name, what, len(sizes), largest(sizes), mtu)
			}
		}
		if told(seen, w) == 0 {
			t.Errorf("%s: the router has not said anything", w.name)
		}
	}
}

func largest(list []int) (n int) {
	for _, v := range list {
		n = max(n, v)
	}
	return n
}

// The router is silent: what is too big vanishes. Portico finds out by probes (RFC 4821),
// and the kernel does where it has been told to.
func TestE2ETCPFindsItsWayThroughABlackHole(t *testing.T) {
	need(t, "tshark", "tshark")
	need(t, "nft", "nftables")
	r := startRouter(t)
	r.silence()
	const mtu = 1400
	var err error
	r.far.Do(func() { err = os.WriteFile("/proc/sys/net/ipv4/tcp_mtu_probing", []byte("1"), 0) })
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		what string
		err  error
	}
	results, running := make(chan result), 0
	ports := make(map[string]int)
	for _, w := range ways {
		r.narrow(w, mtu)
		ours, theirs := r.connections(w, 1)
		ports[w.name] = port(ours[0])
		for what, c := range map[string]net.Conn{w.name + " out": ours[0], w.name + " in": theirs} {
			running++
			go func() { results <- result{what, exchange(c, 4*block)} }()
		}
	}
	for range running {
		if got := <-results; got.err != nil {
			t.Errorf("%s: %v", got.what, got.err)
		}
	}
	seen := r.packets()
	for _, w := range ways {
		sizes := lengths(seen, w.portico, ports[w.name])
		// The search ends within 8 bytes of what the path carries.
		last := largest(sizes[len(sizes)*3/4:])
		if largest(sizes) != 1500 || last > mtu || last < mtu-8 {
			t.Errorf("%s: portico sent packets of up to %d bytes, at last of %d; want 1500 and %d to %d", w.name, largest(sizes), last, mtu-8, mtu)
		}
		if told(seen, w) != 0 {
			t.Errorf("%s: the router has said something", w.name)
		}
	}
}

// Datagrams and pings of the kernel's through a path that shrinks: those that do not fit are
// lost until both ends have heard of it, and then they come in fragments, whole.
func TestE2EKernelsDatagramsThroughAPathThatShrinks(t *testing.T) {
	r := startRouter(t)
	for _, w := range ways {
		sock, err := r.n.Stack.ListenPacket("udp", netip.AddrPortFrom(w.portico, 7).String())
		if err != nil {
			t.Fatal(err)
		}
		go echoDatagrams(sock)
		var c net.Conn
		r.far.Do(func() { c, err = net.Dial("udp", sock.LocalAddr().String()) })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		whole := make([]byte, 1500-w.header+12) // UDP's header is 12 bytes shorter than TCP's
		new(serve.Pattern).Read(whole)
		// echoed sends it, and a marker behind it, and reports whether it came back before
		// the marker did. What the kernel is told of it meanwhile, the next call returns.
		echoed := func() (ok bool) {
			t.Helper()
			write := func(b []byte) {
				t.Helper()
				_, err := c.Write(b)
				if errors.Is(err, syscall.EMSGSIZE) {
					_, err = c.Write(b)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			write(whole)
			write([]byte("marker"))
			got := make([]byte, 2000)
			for {
				n, err := c.Read(got)
				switch {
				case errors.Is(err, syscall.EMSGSIZE):
					continue
				case err != nil:
					t.Fatalf("%s: %v", w.name, err)
				case string(got[:n]) == "marker":
					return ok
				case !bytes.Equal(got[:n], whole):
					t.Fatalf("%s: %d bytes came back that differ", w.name, n)
				}
				ok = true
			}
		}
		if !echoed() {
			t.Fatalf("%s: not through the wide path either", w.name)
		}
		r.narrow(w, 1400)
		// The router stops one of the kernel's, then one of portico's; then both know.
		for try, want := range []bool{false, false, true, true} {
			if got := echoed(); got != want {
				t.Errorf("%s: number %d through the narrow path: echoed is %v", w.name, try+1, got)
			}
		}
		// Likewise with pings, through one that is narrower still: the first meets an error,
		// and those behind it an answer as soon as portico has heard, too.
		r.narrow(w, 1300)
		ping := func() (string, error) {
			return r.far.Run("ping", "-n", "-c", "1", "-w", "30", "-i", "0.01", "-M", "want", "-p", "c0ffee", "-s", "1340", w.portico.String())
		}
		if got, err := ping(); err == nil || !strings.Contains(got, " errors") {
			t.Errorf("%s, the first ping: %v\n%s", w.name, err, got)
		}
		if got, err := ping(); err != nil || strings.Contains(got, "wrong data") {
			t.Errorf("%s, further pings: %v\n%s", w.name, err, got)
		}
	}
}

// echoDatagrams sends back what comes, until the socket is closed. Errors about what it
// has sent are no reason to end.
func echoDatagrams(sock net.PacketConn) {
	b := make([]byte, 65536)
	for {
		n, from, err := sock.ReadFrom(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err == nil:
			sock.WriteTo(b[:n], from)
		}
	}
}

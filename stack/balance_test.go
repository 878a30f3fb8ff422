package stack

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

// balanced verifies that every packet that came is in one of the counters of what may become
// of it, and every one that was to be sent too (see IPStats).
func balanced(t *testing.T, st Stats) {
	t.Helper()
	for name, c := range map[string]*IPStats{"IPv4": &st.IP, "IPv6": &st.IP6} {
		came := c.InReceives + c.ReasmOKs
		went := c.InHdrErrors + c.InTruncatedPkts + c.InAddrErrors + c.ReasmReqds + c.InUnknownProtos + c.InDiscards + c.InDelivers
		if came != went {
			t.Errorf("%s: of %d packets the fate of %d is known: %+v", name, came, went, *c)
		}
		asked := c.OutRequests + c.FragCreates
		left := c.FragOKs + c.FragFails + c.OutDiscards + c.OutTransmits
		if asked != left {
			t.Errorf("%s: of %d packets to be sent the fate of %d is known: %+v", name, asked, left, *c)
		}
		byECN := c.InNoECTPkts + c.InECT0Pkts + c.InECT1Pkts + c.InCEPkts
		if broken := c.InHdrErrors + c.InTruncatedPkts + c.InAddrErrors + c.InDiscards; byECN > c.InReceives || byECN+broken < c.InReceives {
			t.Errorf("%s: %d packets by ECN: %+v", name, byECN, *c)
		}
	}
	delivered := st.IP.InDelivers + st.IP6.InDelivers
	udp := func(c *UDPStats) uint64 { return c.InDatagrams + c.NoPorts + c.InErrors + c.IgnoredMulti }
	// A datagram to a group counts for each socket that hears it.
	if heard := st.TCP.InSegs + udp(&st.UDP) + udp(&st.UDP6) + st.ICMP.InMsgs + st.ICMP6.InMsgs + st.Device.IGMPIn; heard < delivered {
		t.Errorf("of %d packets delivered the fate of %d is known: %+v", delivered, heard, st)
	}
	for name, m := range map[string]struct {
		msgs, errors uint64
		types        map[uint8]uint64
	}{
		"ICMP in": {st.ICMP.InMsgs, st.ICMP.InErrors, st.ICMP.InType}, "ICMP out": {st.ICMP.OutMsgs, 0, st.ICMP.OutType},
		"ICMPv6 in": {st.ICMP6.InMsgs, st.ICMP6.InErrors, st.ICMP6.InType}, "ICMPv6 out": {st.ICMP6.OutMsgs, 0, st.ICMP6.OutType},
	} {
		sum := m.errors
		for _, n := range m.types {
			sum += n
		}
		if sum != m.msgs {
			t.Errorf("%s: %d messages, %d by type and in error", name, m.msgs, sum)
		}
	}
}

// accounted verifies that what two hosts have counted of a wire between them is what the
// wire has: all that one sent was lost or was received by the other, and each has a fate.
// Nothing is under way any more.
func accounted(t *testing.T, a, b *Stack, wireA, wireB *impair.Device) {
	t.Helper()
	for _, end := range []struct {
		name     string
		from, to *Stack
		wire     *impair.Device
	}{{"there", a, b, wireA}, {"back", b, a, wireB}} {
		from, to := end.from.Stats(), end.to.Stats()
		wire, _ := end.wire.Stats()
		if sent := from.IP.OutTransmits + from.IP6.OutTransmits; sent != wire.Packets {
			t.Errorf("%s: %d packets were sent, the wire took %d", end.name, sent, wire.Packets)
		}
		// A bit of the version may have been flipped.
		came := to.IP.InReceives + to.IP6.InReceives + to.Drops["ip_version"]
		if came != wire.Passed || came != wire.Packets+wire.Duplicated-wire.Lost-wire.QueueDrops-wire.Refused {
			t.Errorf("%s: %d packets came, the wire says %+v", end.name, came, wire)
		}
		if octets := to.IP.InOctets + to.IP6.InOctets; wire.Packets == wire.Passed && wire.Duplicated == 0 && octets != from.IP.OutOctets+from.IP6.OutOctets {
			t.Errorf("%s: %d bytes came", end.name, octets)
		}
		balanced(t, to)
	}
}

// segmentsOf is a Config.Observe that counts the segments which connections are given, behind
// a wire that leaves no super-segment whole.
func segmentsOf(n *atomic.Uint64) func(ConnID) tcp.Observer {
	return func(ConnID) tcp.Observer {
		return func(e *tcp.Event) {
			if e.Kind == tcp.EventSegmentIn {
				n.Add(1)
			}
		}
	}
}

// Two hosts do everything at once over wires that are bad in another way for each seed. At
// the end every packet is where it belongs, by protocol.
func TestEveryPacketHasItsCounters(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { everythingOverABadWire(t, seed) })
		})
	}
}

func everythingOverABadWire(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	wire := pipe.Config{Queues: 1 + rnd.IntN(2), MTU: []int{1280, 1500, 9000}[rnd.IntN(3)]}
	if rnd.IntN(2) == 0 {
		wire.Caps = link.Caps{Checksum: true, TSO4: true, TSO6: true, USO: true}
	}
	near, far := pipe.New(wire)
	wireA, errA := impair.Wrap(near, badness(rnd), impair.Config{})
	wireB, errB := impair.Wrap(far, badness(rnd), impair.Config{})
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	var segments atomic.Uint64
	client, server := clientConfig(), serverConfig()
	client.TCP, server.TCP = badWireParams(rnd), badWireParams(rnd)
	server.Observe = segmentsOf(&segments)
	h := newHostsOn(t, wireA, wireB, client, server)
	defer h.close()
	x := &exchanges{t: t, h: h, rnd: rnd}
	x.serve()
	x.everything()
	<-time.After(time.Hour) // TIME-WAIT, and what waits for the rest of its fragments
	synctest.Wait()
	accounted(t, h.client, h.server, wireA, wireB)
	x.verify(&segments)
}

// exchanges are the users of two hosts.
type exchanges struct {
	t    *testing.T
	h    *hosts
	rnd  *rand.Rand
	echo *UDPConn // of the server, at port 7
	mute *UDPConn // of the server, at port 9: nobody reads it

	echoed atomic.Uint64 // datagrams that the server has read
	heard  atomic.Uint64 // datagrams that the client has read
}

// serve starts what the server offers: echoes over TCP and UDP, and a socket without a
// reader that soon is full.
func (x *exchanges) serve() {
	l := x.h.listen(x.t, "tcp", ":7")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	x.echo = x.socket(x.h.server, ":7")
	x.mute = x.socket(x.h.server, ":9")
	x.mute.SetReadBuffer(4096)
	go func() {
		b := make([]byte, 65535)
		for {
			n, from, err := x.echo.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			x.echoed.Add(1)
			x.echo.WriteToUDPAddrPort(b[:n], from)
		}
	}()
}

func (x *exchanges) socket(s *Stack, address string) *UDPConn {
	p, err := s.ListenPacket("udp", address)
	if err != nil {
		x.t.Fatal(err)
	}
	return p.(*UDPConn)
}

// everything lets the client do all that it can think of, and returns when it is done.
func (x *exchanges) everything() {
	u := x.socket(x.h.client, ":0")
	go func() {
		b := make([]byte, 65535)
		for {
			if _, _, err := u.ReadFromUDPAddrPort(b); err != nil {
				return
			}
			x.heard.Add(1)
		}
	}()
	for range 30 {
		to := []netip.Addr{server4, server6}[x.rnd.IntN(2)]
		data := make([]byte, []int{0, 10, 1000, 5000, 20000}[x.rnd.IntN(5)])
		switch x.rnd.IntN(7) {
		case 0, 1:
			u.WriteToUDPAddrPort(data, ap(to, 7))
		case 2:
			u.WriteToUDPAddrPort(data, ap(to, 9))
		case 3:
			u.WriteToUDPAddrPort(data, ap(to, 10)) // nobody
		case 4:
			ctx, cancel := context.WithTimeout(x.t.Context(), 5*time.Second)
			x.h.client.Ping(ctx, to, 1, data)
			cancel()
		case 5:
			x.transfer(net.JoinHostPort(to.String(), "7"), data)
		case 6:
			if c, err := x.h.client.Dial("tcp", net.JoinHostPort(to.String(), "8")); err == nil { // nobody
				x.t.Error("a closed port is open")
				c.Close()
			}
		}
	}
}

// transfer sends data over a connection and reads it again.
func (x *exchanges) transfer(address string, data []byte) {
	c, err := x.h.client.Dial("tcp", address)
	if err != nil {
		x.t.Error(err)
		return
	}
	if err := exchange(c.(*Conn), c, data, data); err != nil {
		x.t.Error(err)
	}
}

// verify compares the counters with what the users have seen.
func (x *exchanges) verify(segments *atomic.Uint64) {
	t, st, cl := x.t, x.h.server.Stats(), x.h.client.Stats()
	udp := func(c *UDPStats) uint64 { return c.InDatagrams + c.NoPorts + c.InErrors + c.IgnoredMulti }
	delivered := st.IP.InDelivers + st.IP6.InDelivers
	if n := st.TCP.InSegs + udp(&st.UDP) + udp(&st.UDP6) + st.ICMP.InMsgs + st.ICMP6.InMsgs + st.Device.IGMPIn; n != delivered {
		t.Errorf("of %d packets delivered the protocols know %d", delivered, n)
	}
	waiting := uint64(x.mute.queue.len())
	if got := st.UDP.InDatagrams + st.UDP6.InDatagrams; got != x.echoed.Load()+waiting {
		t.Errorf("%d datagrams were delivered, %d read, %d wait", got, x.echoed.Load(), waiting)
	}
	if got := cl.UDP.InDatagrams + cl.UDP6.InDatagrams; got != x.heard.Load() {
		t.Errorf("the client: %d datagrams were delivered, %d read", got, x.heard.Load())
	}
	if got := st.UDP.OutDatagrams + st.UDP6.OutDatagrams; got != x.echoed.Load() {
		t.Errorf("%d datagrams were sent, %d echoed", got, x.echoed.Load())
	}
	if drops := st.UDP.RcvbufErrors + st.UDP6.RcvbufErrors; drops != st.Drops["udp_queue_full"] {
		t.Errorf("%d datagrams found no room: %v", drops, st.Drops)
	}
	if st.ICMP.OutEchoReps != st.ICMP.InEchos || st.ICMP6.OutEchoReplies != st.ICMP6.InEchos {
		t.Errorf("%d and %d replies to %d and %d echoes", st.ICMP.OutEchoReps, st.ICMP6.OutEchoReplies, st.ICMP.InEchos, st.ICMP6.InEchos)
	}
	stray := st.Drops["tcp_closed_port"] + st.Drops["tcp_not_for_listen"] + st.Drops["tcp_backlog_full"]
	if n := st.TCP.InErrs + stray + segments.Load(); n != st.TCP.InSegs {
		t.Errorf("of %d segments %d were in error, %d for nobody and %d for connections", st.TCP.InSegs, st.TCP.InErrs, stray, segments.Load())
	}
	if n := st.TCP.CurrEstab + cl.TCP.CurrEstab; n != 0 {
		t.Errorf("%d connections are established when all are closed", n)
	}
	if opens := st.TCP.PassiveOpens; opens < cl.TCP.ActiveOpens-cl.TCP.AttemptFails {
		t.Errorf("%d opened, %d of %d were taken", cl.TCP.ActiveOpens, opens, cl.TCP.ActiveOpens-cl.TCP.AttemptFails)
	}
}

// datagramsIn and datagramsOut are those of both families.
func datagramsIn(st Stats) uint64  { return st.UDP.InDatagrams + st.UDP6.InDatagrams }
func datagramsOut(st Stats) uint64 { return st.UDP.OutDatagrams + st.UDP6.OutDatagrams }

package stack

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/tcp"
)

// Requirements of RFC 9293 that show only where a stack meets its wire.

// callFrom starts a call from a port of the stack to a port of the wire's end, takes its
// SYN and gives the call up.
func (w *wire) callFrom(port uint16, to netip.AddrPort) heardTCP {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := Dialer{Stack: w.s, LocalAddr: &net.TCPAddr{Port: int(port)}}
	ended := make(chan error)
	go func() {
		_, err := d.DialContext(ctx, "tcp", to.String())
		ended <- err
	}()
	h := w.heard()
	cancel()
	<-ended
	if len(h) != 1 || !h[0].SYN || h[0].ACK {
		w.t.Fatalf("a call begins with %v", h)
	}
	return h[0]
}

// TestInitialNumbersOnTheWire: MUST-8, MUST-9, SHLD-1, RFC 6528: for one four-tuple they
// grow by 250,000 a second; those of another tell nothing about them.
func TestInitialNumbersOnTheWire(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, _ netip.Addr) {
		to := ap(client, 80)
		first := w.callFrom(5000, to).Seq
		for range 5 {
			<-time.After(time.Second)
			next := w.callFrom(5000, to).Seq
			if d := next - first; d != 250_000 {
				t.Errorf("the initial number has moved by %d in a second, want 250,000", d)
			}
			first = next
		}
		// Neighbours: differences of what a counter, or a hash without a key, would yield.
		diffs := make(map[uint32]int)
		last := w.callFrom(6000, to).Seq
		for port := uint16(6001); port < 6200; port++ {
			seq := w.callFrom(port, to).Seq
			diffs[(seq-last)>>20]++ // to a millionth of the space
			last = seq
		}
		for d, n := range diffs {
			if n > 3 {
				t.Errorf("%d of 200 neighbouring ports are about %d·2^20 apart", n, d)
			}
		}
	})
}

// timestampOf is the TSval of a segment.
func timestampOf(t *testing.T, s *layers.TCP) uint32 {
	t.Helper()
	i := slices.IndexFunc(s.Options, func(o layers.TCPOption) bool { return o.OptionType == layers.TCPOptionKindTimestamps })
	if i < 0 {
		t.Fatalf("a segment without timestamps: %v", s.Options)
	}
	b := s.Options[i].OptionData
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// TestTimestampsDoNotTellTheUptime: RFC 7323, 5.4 and 7: each four-tuple has an offset of
// its own, and the same at each call, so that its clock never steps back.
func TestTimestampsDoNotTellTheUptime(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, _ netip.Addr) {
		to := ap(client, 80)
		first := timestampOf(t, w.callFrom(5000, to).TCP)
		<-time.After(3 * time.Second)
		if d := timestampOf(t, w.callFrom(5000, to).TCP) - first; d != 3000 {
			t.Errorf("the clock of one four-tuple has moved by %d in 3 s, want 3000", d)
		}
		seen := make(map[uint32]bool)
		for port := uint16(6000); port < 6100; port++ {
			seen[timestampOf(t, w.callFrom(port, to).TCP)>>16] = true
		}
		if len(seen) < 90 {
			t.Errorf("the clocks of 100 four-tuples lie in %d places: they tell how long we are up", len(seen))
		}
	})
}

// TestListenDisturbsNoConnection: MUST-41: whether it succeeds or not.
func TestListenDisturbsNoConnection(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		l := h.listen(t, "tcp", ":80")
		client := h.dial(t, "tcp", "10.77.0.2:80")
		server := accept(t, l)
		if _, err := h.server.Listen("tcp", ":80"); err == nil {
			t.Fatal("two listen at one port")
		}
		mustWrite(t, client, "one")
		wantRead(t, server, "one")
		l.Close()
		l = h.listen(t, "tcp", ":80")
		defer l.Close()
		mustWrite(t, client, "two")
		wantRead(t, server, "two")
		mustWrite(t, server, "three")
		wantRead(t, client, "three")
		h.dial(t, "tcp", "10.77.0.2:80").Close() // and the new one is a listener
		accept(t, l).Close()
		client.Close()
		server.Close()
	})
}

// TestListenOnThePortOfAHandshake: MUST-42: while a connection at that port is in SYN-SENT,
// and while it is in SYN-RECEIVED after SYNs have crossed; each goes its way.
func TestListenOnThePortOfAHandshake(t *testing.T) {
	for _, crossed := range []bool{false, true} {
		withWire(t, serverConfig(), func(t *testing.T, w *wire) {
			r := w.newRemote(ap(client4, 80), ap(server4, 5000))
			d := Dialer{Stack: w.s, LocalAddr: &net.TCPAddr{Port: 5000}}
			result := make(chan net.Conn)
			go func() {
				c, err := d.Dial("tcp", "10.77.0.1:80")
				if err != nil {
					t.Error(err)
				}
				result <- c
			}()
			r.hear("S 0")
			if crossed {
				r.say("S 0")
				r.hear("SA 0 1")
			}
			l, err := w.s.Listen("tcp", ":5000")
			if err != nil {
				t.Fatalf("crossed %v: %v", crossed, err)
			}
			defer l.Close()
			other := w.newRemote(ap(client4, 81), ap(server4, 5000))
			other.say("S 0")
			other.hear("SA 0 1")
			other.say("A 1 1")
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer accepted.Close()
			if crossed {
				r.say("A 1 1")
				r.hear()
			} else {
				r.say("SA 0 1")
				r.hear("A 1 1")
			}
			c := <-result
			defer c.Close()
			r.say("PA 1 1", "x")
			wantRead(t, c, "x")
		})
	}
}

// TestAddressOfTheFirstSegmentStays: MUST-44, MUST-45: of several addresses one is chosen
// before the first SYN, or answered by, and all segments have it, to the last.
func TestAddressOfTheFirstSegmentStays(t *testing.T) {
	cfg := Config{Addrs: prefixes("10.77.0.2/24", "10.77.0.3/24", "10.78.0.2/24", "fd77::2/64", "fd77::3/64", "fd78::2/64")}
	for _, c := range []struct{ local, remote, source string }{
		{"10.77.0.3", "10.77.0.1", "10.77.0.3"},
		{"10.78.0.2", "10.77.0.1", "10.78.0.2"},
		{"", "10.78.0.1", "10.78.0.2"},
		{"fd77::3", "fd77::1", "fd77::3"},
		{"", "fd78::1", "fd78::2"},
	} {
		withWire(t, cfg, func(t *testing.T, w *wire) {
			peer, source := netip.MustParseAddr(c.remote), netip.MustParseAddr(c.source)
			d := Dialer{Stack: w.s, LocalAddr: &net.TCPAddr{Port: 5000, IP: net.ParseIP(c.local)}}
			result := make(chan net.Conn)
			go func() {
				conn, err := d.Dial("tcp", ap(peer, 80).String())
				if err != nil {
					t.Error(err)
				}
				result <- conn
			}()
			r := w.newRemote(ap(peer, 80), ap(source, 5000)) // hear compares the addresses
			r.hear("S 0")
			r.say("SA 0 1")
			r.hear("A 1 1")
			conn := <-result
			mustWrite(t, conn, "data")
			r.hear("A 1 1 (4)")
			<-time.After(time.Second)
			w.heard()
			r.say("PA 1 5", "data")
			<-time.After(time.Second)
			r.hear("A 5 5")
			conn.Close()
			r.hear("RA 5 5")
		})
	}
	// As the side that is called.
	withWire(t, cfg, func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for i, local := range []string{"10.77.0.2", "10.77.0.3", "10.78.0.2", "fd77::3", "fd78::2"} {
			local := netip.MustParseAddr(local)
			peer := client4
			if local.Is6() {
				peer = client6
			}
			r := w.opened(peer, local, uint16(1000+i))
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if got := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != local {
				t.Errorf("accepted at %v, want %v", got, local)
			}
			mustWrite(t, conn, "data")
			r.hear("A 1 1 (4)")
			r.say("A 1 5")
			conn.Close()
			r.hear("FA 5 1")
		}
	})
}

// withIPOptions puts options of IPv4 into a packet.
func withIPOptions(b []byte, options ...layers.IPv4Option) []byte {
	p := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
	ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	ip.Options = options
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, gopacket.Payload(ip.Payload))
	if err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// TestIPOptionsAreIgnored: MUST-50: what we do not understand; and by RFC 7126 a source
// route that has come to its end, whose reverse is not used (MUST-53 is declined).
func TestIPOptionsAreIgnored(t *testing.T) {
	for name, option := range map[string]layers.IPv4Option{
		"unknown":      {OptionType: 94, OptionLength: 4, OptionData: []byte{1, 2}},
		"record route": {OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}},
		"timestamp":    {OptionType: 68, OptionLength: 8, OptionData: []byte{5, 0, 0, 0, 0, 0}},
		"router alert": {OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				l, err := w.s.Listen("tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				r := w.newRemote(ap(client4, 1000), ap(server4, 80))
				w.raw(withIPOptions(r.segment("S 0"), option))
				h := w.heard()
				if len(h) != 1 || !h[0].SYN || !h[0].ACK || len(h[0].ip4.Options) != 0 {
					t.Fatalf("a SYN with an IP option is answered by %v", h)
				}
				r.iss = h[0].Seq
				w.raw(withIPOptions(r.segment("A 1 1"), option))
				w.raw(withIPOptions(r.segment("PA 1 1", "hello"), option))
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				wantRead(t, conn, "hello")
			})
		})
	}
}

// TestSourceQuenchChangesNothing: MUST-55, RFC 6633: neither while connecting nor later.
func TestSourceQuenchChangesNothing(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		r, c := w.served(client4, server4, 1000)
		mustWrite(t, c, "data")
		quoted := <-w.sent
		before := c.Info()
		for range 10 {
			w.raw(packet(client4, server4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(4, 0)}, gopacket.Payload(quoted)))
		}
		w.want()
		if after := c.Info(); after.Cwnd != before.Cwnd || after.Ssthresh != before.Ssthresh {
			t.Errorf("the window was %d, %d and is %d, %d", before.Cwnd, before.Ssthresh, after.Cwnd, after.Ssthresh)
		}
		mustWrite(t, c, "more")
		r.hear("A 5 1 (4)")
	})
}

// TestSYNToManyIsDropped: MUST-57: a SYN to a broadcast or multicast address earns neither
// SYN,ACK nor RST, whether somebody listens or not.
func TestSYNToManyIsDropped(t *testing.T) {
	for _, listening := range []bool{false, true} {
		withWire(t, serverConfig(), func(t *testing.T, w *wire) {
			if listening {
				l, err := w.s.Listen("tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
			}
			for _, dst := range []string{"255.255.255.255", "10.77.0.255", "10.77.0.0", "224.0.0.1", "239.1.2.3", "ff02::1", "ff02::1:ff00:2", "ff0e::1"} {
				to := netip.MustParseAddr(dst)
				from := client4
				if to.Is6() {
					from = client6
				}
				w.raw(tcpPacket(ap(from, 1000), ap(to, 80), "S", 1, 0, ""))
				w.want()
			}
			noConns(t, w.s)
		})
	}
}

// TestSYNFromNobodyIsDropped: MUST-63: a SYN from an address that no host has earns nothing.
func TestSYNFromNobodyIsDropped(t *testing.T) {
	for _, listening := range []bool{false, true} {
		withWire(t, serverConfig(), func(t *testing.T, w *wire) {
			if listening {
				l, err := w.s.Listen("tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
			}
			for _, src := range []string{"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.9.9.9", "240.0.0.1", "255.255.255.255",
				"10.77.0.255", "10.77.0.2", "::", "::1", "ff02::1", "ff0e::5", "fd77::2"} {
				from, to := netip.MustParseAddr(src), server4
				if from.Is6() {
					to = server6
				}
				w.raw(tcpPacket(ap(from, 1000), ap(to, 80), "S", 1, 0, ""))
				w.want()
			}
			noConns(t, w.s)
		})
	}
}

// TestChallengesTellNothingOfAnotherConnection: RFC 5961, 7, without the side channel of
// CVE-2016-5696: whoever uses up the challenge ACKs of its own connection learns from the
// next nothing about another, and the other still has all of its own.
func TestChallengesTellNothingOfAnotherConnection(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		attacker, victim := w.opened(client, server, 1000), w.opened(client, server, 2000)
		challenged := func(r *remote, n int) (answers int) {
			for range n {
				r.say("R 100")
				answers += len(w.heard())
			}
			return answers
		}
		alone := challenged(attacker, 50)
		if alone == 0 || alone > 10 {
			t.Errorf("%d challenge ACKs to 50 resets", alone)
		}
		if n := challenged(victim, 50); n != alone {
			t.Errorf("%d challenge ACKs on another connection, want as many as on the first, %d", n, alone)
		}
		<-time.After(5 * time.Second)
		challenged(victim, 7) // what the attacker would like to know
		if n := challenged(attacker, 50); n != alone {
			t.Errorf("%d challenge ACKs while another connection has had 7, want %d", n, alone)
		}
	})
}

// TestTTLIsThatOfTheConfig: MUST-49, of every segment, resets of no connection among them.
func TestTTLIsThatOfTheConfig(t *testing.T) {
	for _, c := range []struct{ set, want uint8 }{{0, 64}, {7, 7}, {255, 255}} {
		cfg := serverConfig()
		cfg.TTL = c.set
		withWire(t, cfg, func(t *testing.T, w *wire) {
			l, err := w.s.Listen("tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for i, port := range []uint16{80, 80, 81, 81} {
				client, server := pairOf(i%2 == 1)
				w.raw(tcpPacket(ap(client, 1000), ap(server, port), "S", 1, 0, ""))
				for _, s := range w.heard() {
					if s.ip4 != nil && s.ip4.TTL != c.want || s.ip6 != nil && s.ip6.HopLimit != c.want {
						t.Errorf("a TTL of %v %v, want %d", s.ip4, s.ip6, c.want)
					}
				}
			}
		})
	}
}

// TestDamagedSegmentLeavesNoTrace: MUST-3: one bit, wherever it is, and the segment does not
// count: nothing is read, answered or reset; the next copy is taken.
func TestDamagedSegmentLeavesNoTrace(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		r, conn := w.served(client, server, 1000)
		good := r.segment("PA 1 1", "hello")
		start := len(good) - 5 - tcp.HeaderLen
		for i := start + 4; i < len(good); i++ { // the ports would make it another connection's
			bad := slices.Clone(good)
			bad[i] ^= 1 << (i % 8)
			w.raw(bad)
			w.want()
		}
		<-time.After(time.Second)
		w.want()
		w.raw(good)
		wantRead(t, conn, "hello")
		<-time.After(time.Second)
		r.hear("A 1 6")
	})
}

// TestIdleConnectionIsSilent: MUST-25: two days without a segment, and both ends are there.
func TestIdleConnectionIsSilent(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		r, conn := w.served(client, server, 1000)
		<-time.After(48 * time.Hour)
		r.hear()
		r.say("PA 1 1", "still here")
		wantRead(t, conn, "still here")
	})
}

// TestDialTriesForThreeMinutesAtLeast: MUST-23: SYNs go on beyond 180 s, and the end is
// ETIMEDOUT (MUST-22).
func TestDialTriesForThreeMinutesAtLeast(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		start := time.Now()
		ended := make(chan error)
		go func() {
			_, err := w.s.Dial("tcp", "10.77.0.1:80")
			ended <- err
		}()
		synctest.Wait()
		<-time.After(180 * time.Second)
		select {
		case err := <-ended:
			t.Fatalf("given up within 180 s: %v", err)
		default:
		}
		wantErr(t, <-ended, syscall.ETIMEDOUT, "dial tcp 10.77.0.1:80: connect: connection timed out")
		if took := time.Since(start); took < 180*time.Second {
			t.Errorf("given up after %v", took)
		}
		if n := len(w.heard()); n != 8 {
			t.Errorf("%d SYNs", n)
		}
		noConns(t, w.s)
	})
}

package stack

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// udpSocket opens a socket on the stack of the wire.
func (w *wire) udpSocket(network, address string) *UDPConn {
	w.t.Helper()
	u, err := w.s.ListenPacket(network, address)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.(*UDPConn)
}

// one is the only packet that the stack has sent.
func (w *wire) one() gopacket.Packet {
	w.t.Helper()
	synctest.Wait()
	if len(w.sent) != 1 {
		w.t.Fatalf("%d packets sent, want 1", len(w.sent))
	}
	return w.next()
}

// next is the oldest packet that the stack has sent, with right sums.
func (w *wire) next() gopacket.Packet {
	w.t.Helper()
	b := <-w.sent
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		w.t.Fatalf("gopacket cannot read % x: %v", b, e.Error())
	}
	verifySums(w.t, p)
	return p
}

// ipFields are the TTL, the TOS and the don't fragment of a packet; IPv6 always has the
// last.
func ipFields(p gopacket.Packet) string {
	switch l := p.NetworkLayer().(type) {
	case *layers.IPv4:
		return fmt.Sprintf("ttl %d tos %#x df %v", l.TTL, l.TOS, l.Flags&layers.IPv4DontFragment != 0)
	case *layers.IPv6:
		return fmt.Sprintf("ttl %d tos %#x df true", l.HopLimit, l.TrafficClass)
	}
	return "no IP"
}

func TestReadMsgTellsWhatTheHeaderSaid(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		u := w.udpSocket("udp", ":5300")
		b := udpPacket(ap(client, 1000), ap(server, 5300), "0123456789")
		if server.Is4() {
			b[1] = 46<<2 | 1 // EF, ECT(1)
			b[10], b[11] = 0, 0
			binary.BigEndian.PutUint16(b[10:], ^plainSum(b[:20]))
		} else {
			b[0], b[1] = 0x60|(46<<2|1)>>4, (46<<2|1)&0xf<<4
		}
		w.raw(b)
		w.raw(b)
		part1, part2 := make([]byte, 4), make([]byte, 20)
		m := UDPMessage{Buffers: [][]byte{part1, part2}}
		if err := u.ReadMsg(&m); err != nil {
			t.Fatal(err)
		}
		if m.N != 10 || string(part1)+string(part2[:6]) != "0123456789" || m.Truncated ||
			m.Addr != ap(client, 1000) || m.Local != server || m.TTL != 61 || m.TOS != 46<<2|1 {
			t.Errorf("ReadMsg: %+v, %q %q", m, part1, part2)
		}
		m = UDPMessage{Buffers: [][]byte{part1}}
		if err := u.ReadMsg(&m); err != nil || m.N != 4 || !m.Truncated {
			t.Errorf("ReadMsg of a datagram that does not fit: %+v, %v", m, err)
		}
		w.want()
	})
}

func TestReadMsgUDPFlagsTruncation(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		u := w.udpSocket("udp", ":5300")
		for range 4 {
			w.raw(udpPacket(ap(client4, 1000), ap(server4, 5300), "0123456789"))
		}
		for _, test := range []struct{ room, n, flags int }{{10, 10, 0}, {9, 9, msgTrunc}, {0, 0, msgTrunc}} {
			n, oobn, flags, addr, err := u.ReadMsgUDP(make([]byte, test.room), make([]byte, 100))
			if n != test.n || oobn != 0 || flags != test.flags || err != nil || addr.String() != "10.77.0.1:1000" {
				t.Errorf("into %d bytes: n %d oobn %d flags %#x addr %v, %v", test.room, n, oobn, flags, addr, err)
			}
		}
		n, addr, err := u.ReadFromUDP(make([]byte, 20))
		if n != 10 || err != nil || addr.String() != "10.77.0.1:1000" {
			t.Errorf("ReadFromUDP = %d, %v, %v", n, addr, err)
		}
	})
}

func TestWriteMsgChoosesTheHeader(t *testing.T) {
	cfg := Config{Addrs: prefixes("10.77.0.2/24", "10.77.0.3/24", "fd77::2/64", "fd77::3/64")}
	for _, six := range []bool{false, true} {
		client, first := pairOf(six)
		second := first.Next()
		withWire(t, cfg, func(t *testing.T, w *wire) {
			u := w.udpSocket("udp", ":5300")
			send := func(m UDPMessage, want, fields string) {
				t.Helper()
				m.Buffers, m.Addr = [][]byte{[]byte("he"), nil, []byte("llo")}, ap(client, 1000)
				if err := u.WriteMsg(&m); err != nil || m.N != 5 {
					t.Fatalf("WriteMsg: %d, %v", m.N, err)
				}
				p := w.one()
				if got := describe(t, p.Data()); got != want {
					t.Errorf("sent %s, want %s", got, want)
				}
				if got := ipFields(p); got != fields {
					t.Errorf("sent with %s, want %s", got, fields)
				}
			}
			from := func(a netip.Addr) string { return fmt.Sprintf("%v>%v UDP 5300>1000 \"hello\"", a, client) }
			send(UDPMessage{}, from(first), "ttl 64 tos 0x0 df true")
			send(UDPMessage{Local: second, TTL: 9, TOS: 0x2e}, from(second), "ttl 9 tos 0x2e df true")
			u.SetTTL(3)
			u.SetTOS(0xb8)
			send(UDPMessage{}, from(first), "ttl 3 tos 0xb8 df true")
			send(UDPMessage{TTL: 255, TOS: 1}, from(first), "ttl 255 tos 0x1 df true")
			u.SetPathMTU(PathMTUDont)
			send(UDPMessage{}, from(first), fmt.Sprintf("ttl 3 tos 0xb8 df %v", six))

			m := UDPMessage{Addr: ap(client, 1000), Local: client}
			err := u.WriteMsg(&m)
			wantErr(t, err, syscall.EINVAL, fmt.Sprintf("write udp [::]:5300->%v: sendto: invalid argument", ap(client, 1000)))
			w.want()
		})
	}
}

func TestSettingsOutOfRangeAreEINVAL(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.server, "udp", ":5300")
		for what, err := range map[string]error{
			"the TTL is 0; it must be 1 to 255":                u.SetTTL(0),
			"the TTL is 256; it must be 1 to 255":              u.SetTTL(256),
			"the TOS is -1; it must be 0 to 255":               u.SetTOS(-1),
			"the mode is 4; it must be 0 to 3":                 u.SetPathMTU(4),
			"the segment size is 65536; it must be 0 to 65535": u.SetSegmentSize(65536),
		} {
			wantErr(t, err, syscall.EINVAL, "set udp [::]:5300: "+what+": setsockopt: invalid argument")
		}
		u.Close()
		wantErr(t, u.SetWriteBuffer(1), net.ErrClosed, "set udp [::]:5300: use of closed network connection")
	})
}

func TestNetsOtherCallsOfUDPConn(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.server, "udp", ":5300")
		c := h.dialUDP(t, "10.77.0.2:5300")
		b := make([]byte, 20)
		local := c.binding.addrPort()
		wrote := func(n, oobn int, err error) {
			t.Helper()
			if n != 2 || oobn != 0 || err != nil {
				t.Errorf("wrote %d, %d, %v", n, oobn, err)
			}
		}
		wrote(c.WriteMsgUDP([]byte("ab"), nil, nil))
		wrote(c.WriteMsgUDPAddrPort([]byte("cd"), nil, netip.AddrPort{}))
		for _, want := range []string{"ab", "cd"} {
			n, oobn, flags, from, err := u.ReadMsgUDPAddrPort(b, nil)
			if string(b[:n]) != want || oobn != 0 || flags != 0 || from != local || err != nil {
				t.Errorf("%q from %v, %v", b[:n], from, err)
			}
		}
		wrote(u.WriteMsgUDP([]byte("ef"), nil, net.UDPAddrFromAddrPort(local)))
		wrote(u.WriteMsgUDPAddrPort([]byte("gh"), nil, local))
		n, err := u.WriteToUDP([]byte("ij"), net.UDPAddrFromAddrPort(local))
		wrote(n, 0, err)
		for _, want := range []string{"ef", "gh", "ij"} {
			wantRead(t, c, want)
		}
		_, err = u.WriteToUDP([]byte("x"), nil)
		if want := "write udp [::]:5300: missing address"; err == nil || err.Error() != want {
			t.Errorf("WriteToUDP(nil): %v, want %s", err, want)
		}
		_, _, err = u.WriteMsgUDP([]byte("x"), nil, nil)
		if want := "write udp [::]:5300: missing address"; err == nil || err.Error() != want {
			t.Errorf("WriteMsgUDP to nobody: %v, want %s", err, want)
		}
		_, _, err = u.WriteMsgUDP([]byte("x"), []byte{1}, nil)
		wantErr(t, err, syscall.EINVAL, "write udp [::]:5300: sendmsg: invalid argument")
		_, _, err = c.WriteMsgUDP([]byte("x"), nil, net.UDPAddrFromAddrPort(local))
		if err == nil || !strings.HasSuffix(err.Error(), net.ErrWriteToConnected.Error()) {
			t.Errorf("WriteMsgUDP on a dialed socket: %v", err)
		}
	})
}

// TestDatagramLengthsAndChecksums is RFC 768, RFC 6935 and RFC 9868 seen from the wire: what
// is delivered, and the reason for what is not.
func TestDatagramLengthsAndChecksums(t *testing.T) {
	const header = 8
	for _, test := range []struct {
		name  string
		harm  func(udp []byte) []byte
		text  string // what is delivered over IPv4
		drop  string // or why not
		text6 string
		drop6 string
	}{
		{name: "as sent", harm: func(u []byte) []byte { return u }, text: "hello!", text6: "hello!"},
		{name: "no checksum", harm: func(u []byte) []byte { u[6], u[7] = 0, 0; return u }, text: "hello!", drop6: "udp_zero_checksum"},
		{name: "wrong checksum", harm: func(u []byte) []byte { u[7]++; return u }, drop: "udp_checksum", drop6: "udp_checksum"},
		{name: "length 7", harm: func(u []byte) []byte { u[5] = 7; return u }, drop: "udp_length", drop6: "udp_length"},
		{name: "length 0", harm: func(u []byte) []byte { u[5] = 0; return u }, drop: "udp_length", drop6: "udp_length"},
		{name: "longer than IP says", harm: func(u []byte) []byte { u[5]++; return u }, drop: "udp_length", drop6: "udp_length"},
		{name: "cut in its header", harm: func(u []byte) []byte { return u[:7] }, drop: "udp_short", drop6: "udp_short"},
		{name: "surplus behind", harm: func(u []byte) []byte { return append(u, "\x01\x02\x03"...) }, text: "hello!", text6: "hello!"},
	} {
		for _, six := range []bool{false, true} {
			t.Run(fmt.Sprint(test.name, " six ", six), func(t *testing.T) {
				client, server := pairOf(six)
				withWire(t, serverConfig(), func(t *testing.T, w *wire) {
					u := w.udpSocket("udp", ":5300")
					b := udpPacket(ap(client, 1000), ap(server, 5300), "hello!")
					hlen := len(b) - header - len("hello!")
					b = append(b[:hlen:hlen], test.harm(slices.Clone(b[hlen:]))...)
					if six {
						binary.BigEndian.PutUint16(b[4:], uint16(len(b)-hlen))
					} else {
						binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
						b[10], b[11] = 0, 0
						binary.BigEndian.PutUint16(b[10:], ^plainSum(b[:hlen]))
					}
					w.raw(b)
					text, drop := test.text, test.drop
					if six {
						text, drop = test.text6, test.drop6
					}
					if drop != "" {
						w.wantDrop(drop)
						return
					}
					buf := make([]byte, 20)
					n, from, err := u.ReadFromUDPAddrPort(buf)
					if err != nil || string(buf[:n]) != text || from != ap(client, 1000) {
						t.Errorf("read %q from %v, %v", buf[:n], from, err)
					}
					w.want()
				})
			})
		}
	}
}

func TestChecksumThatComesOutZeroIsSentAsOnes(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		u := w.udpSocket("udp", ":5300")
		// The payload is the checksum of the datagram that had zeros in its place.
		probe := udpPacket(ap(server4, 5300), ap(client4, 1000), "\x00\x00")
		if _, err := u.WriteToUDPAddrPort(probe[26:28], ap(client4, 1000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := binary.BigEndian.Uint16((<-w.sent)[26:]); got != 0xffff {
			t.Errorf("checksum %#04x on the wire", got)
		}
	})
}

// errorOf wraps a quoted packet in an ICMP error to the server.
func errorOf(six bool, typ, code uint8, quoted []byte) []byte {
	client, server := pairOf(six)
	if six {
		return packet(client, server, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)},
			gopacket.Payload(append(make([]byte, 4), quoted...)))
	}
	return packet(client, server, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code)}, gopacket.Payload(quoted))
}

// TestICMPErrorsReachTheDialedSocket holds the errors to those of Linux (udp_err and
// udpv6_err): what may pass by itself is not told.
func TestICMPErrorsReachTheDialedSocket(t *testing.T) {
	for _, test := range []struct {
		six       bool
		typ, code uint8
		want      syscall.Errno // 0: nothing is told
	}{
		{false, 3, 3, syscall.ECONNREFUSED},
		{false, 3, 2, syscall.ENOPROTOOPT},
		{false, 3, 0, 0}, // network unreachable
		{false, 3, 1, 0}, // host unreachable
		{false, 3, 13, syscall.EHOSTUNREACH},
		{false, 11, 0, 0}, // time exceeded
		{false, 12, 0, syscall.EPROTO},
		{false, 4, 0, 0}, // source quench, RFC 6633
		{true, 1, 4, syscall.ECONNREFUSED},
		{true, 1, 0, 0},
		{true, 1, 1, syscall.EACCES},
		{true, 1, 3, 0},
		{true, 3, 0, 0},
		{true, 4, 0, syscall.EPROTO},
		{true, 4, 1, syscall.EPROTO},
	} {
		t.Run(fmt.Sprintf("six %v type %d code %d", test.six, test.typ, test.code), func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				client, _ := pairOf(test.six)
				c, err := w.s.Dial("udp", ap(client, 5300).String())
				if err != nil {
					t.Fatal(err)
				}
				mustWrite(t, c, "question")
				sent := w.one().Data()
				// A quote of somebody else's datagram is not believed.
				other := slices.Clone(sent)
				hlen := len(other) - 8 - len("question")
				other[hlen+3]++
				w.raw(errorOf(test.six, test.typ, test.code, other))
				mustWrite(t, c, "again")
				w.one()
				w.raw(errorOf(test.six, test.typ, test.code, sent))
				_, err = c.Write([]byte("third"))
				if test.want == 0 {
					if err != nil {
						t.Errorf("Write: %v", err)
					}
					w.one()
					return
				}
				wantErr(t, err, test.want, fmt.Sprintf("write udp %v->%v: write: %v", c.LocalAddr(), c.RemoteAddr(), test.want))
				// Told once.
				mustWrite(t, c, "fourth")
				w.one()
			})
		})
	}
}

// TestPortsAreSharedAsOnLinux says for two sockets of one port with what they can be bound.
func TestPortsAreSharedAsOnLinux(t *testing.T) {
	type socket struct {
		addr, port bool
		host       string
	}
	for _, test := range []struct {
		first, second socket
		conflict      bool
	}{
		{socket{}, socket{}, true},
		{socket{addr: true}, socket{}, true},
		{socket{}, socket{addr: true}, true},
		{socket{addr: true}, socket{addr: true}, false},
		{socket{port: true}, socket{port: true}, false},
		{socket{addr: true}, socket{port: true}, true},
		{socket{addr: true, port: true}, socket{port: true}, false},
		{socket{addr: true}, socket{host: "10.77.0.2"}, true},
		{socket{addr: true}, socket{addr: true, host: "10.77.0.2"}, false},
	} {
		withHosts(t, func(t *testing.T, h *hosts) {
			open := func(s socket) (net.PacketConn, error) {
				lc := ListenConfig{Stack: h.server, ReuseAddr: s.addr, ReusePort: s.port}
				return lc.ListenPacket(context.Background(), "udp", s.host+":5300")
			}
			if _, err := open(test.first); err != nil {
				t.Fatal(err)
			}
			_, err := open(test.second)
			if got := err != nil; got != test.conflict {
				t.Errorf("%+v beside %+v: %v", test.second, test.first, err)
			}
			if err != nil {
				wantErr(t, err, syscall.EADDRINUSE, "listen udp "+test.second.host+":5300: bind: address already in use")
			}
		})
	}
}

func TestSharedPortServesTheSocketBoundLastOrByFlow(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		open := func(lc ListenConfig, address string) *UDPConn {
			lc.Stack = h.server
			u, err := lc.ListenPacket(context.Background(), "udp", address)
			if err != nil {
				t.Fatal(err)
			}
			return u.(*UDPConn)
		}
		open(ListenConfig{ReuseAddr: true}, ":5300")
		last := open(ListenConfig{ReuseAddr: true}, ":5300")
		c := h.dialUDP(t, "10.77.0.2:5300")
		mustWrite(t, c, "a")
		wantRead(t, last, "a")
		// An address beats a wildcard, whenever it was bound.
		one := open(ListenConfig{ReuseAddr: true}, "10.77.0.2:5300")
		open(ListenConfig{ReuseAddr: true}, ":5300")
		mustWrite(t, c, "b")
		wantRead(t, one, "b")
		one.Close()

		var group []*UDPConn
		for range 4 {
			group = append(group, open(ListenConfig{ReusePort: true}, ":5400"))
		}
		for range 64 {
			c := h.dialUDP(t, "10.77.0.2:5400")
			for range 3 {
				mustWrite(t, c, "x")
			}
			c.Close()
		}
		synctest.Wait()
		total := 0
		for i, u := range group {
			n := u.queue.len()
			total += n
			if n%3 != 0 {
				t.Errorf("socket %d has %d datagrams: a flow was not kept together", i, n)
			}
			if n == 0 || n > 3*40 {
				t.Errorf("socket %d has %d of 192 datagrams", i, n)
			}
		}
		if total != 192 {
			t.Errorf("%d of 192 datagrams arrived", total)
		}
	})
}

func TestBroadcastMayBeForbidden(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		u := w.udpSocket("udp4", ":5300")
		for _, to := range []string{"255.255.255.255", "10.77.0.255"} {
			dst := ap(netip.MustParseAddr(to), 1000)
			if _, err := u.WriteToUDPAddrPort([]byte("x"), dst); err != nil {
				t.Error(err)
			}
			w.one()
			u.SetBroadcast(false)
			_, err := u.WriteToUDPAddrPort([]byte("x"), dst)
			wantErr(t, err, syscall.EACCES, "write udp4 0.0.0.0:5300->"+to+":1000: sendto: permission denied")
			u.SetBroadcast(true)
		}
		w.want()
	})
}

func TestBatchesReadAndWrite(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.server, "udp", ":5300")
		c := h.listenPacket(t, h.client, "udp", ":1000")
		var out []UDPMessage
		for i := range 20 {
			out = append(out, UDPMessage{Buffers: [][]byte{[]byte(fmt.Sprint("message ", i))}, Addr: ap(server4, 5300)})
		}
		if n, err := c.WriteBatch(out); n != 20 || err != nil {
			t.Fatalf("WriteBatch = %d, %v", n, err)
		}
		synctest.Wait()
		in := make([]UDPMessage, 8)
		for i := range in {
			in[i].Buffers = [][]byte{make([]byte, 100)}
		}
		got := 0
		for _, want := range []int{8, 8, 4} {
			n, err := u.ReadBatch(in)
			if n != want || err != nil {
				t.Fatalf("ReadBatch = %d, %v, want %d", n, err, want)
			}
			for _, m := range in[:n] {
				if s := string(m.Buffers[0][:m.N]); s != fmt.Sprint("message ", got) || m.Addr != ap(client4, 1000) {
					t.Errorf("message %d is %q from %v", got, s, m.Addr)
				}
				got++
			}
		}
		// An error tells how far it went.
		out[2].Addr = ap(server4, 0)
		n, err := c.WriteBatch(out[:4])
		if n != 2 {
			t.Errorf("WriteBatch = %d", n)
		}
		wantErr(t, err, syscall.EINVAL, "write udp [::]:1000->10.77.0.2:0: sendto: invalid argument")
	})
}

// sink is a device that takes everything and delivers what a test hands to an engine.
type sink struct{ *pipe.Device }

func (s sink) Queues() []link.Queue { return []link.Queue{sinkQueue{s.Device.Queues()[0]}} }

type sinkQueue struct{ link.Queue }

func (sinkQueue) Write(frames []link.Frame) (int, error) { return len(frames), nil }

func TestAddrPortCallsAllocateNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for _, six := range []bool{false, true} {
		client, server := pairOf(six)
		a, b := pipe.New(pipe.Config{})
		defer b.Close()
		s := newStack(t, sink{a}, serverConfig())
		defer s.Close()
		p, err := s.ListenPacket("udp", ":5300")
		if err != nil {
			t.Fatal(err)
		}
		u := p.(*UDPConn)
		e := newEngine(s, &s.device, 0)
		question := udpPacket(ap(client, 1000), ap(server, 5300), strings.Repeat("q", 100))
		buf := make([]byte, 1500)
		m := UDPMessage{Buffers: [][]byte{buf}}
		trip := func() {
			for range 2 {
				e.frames[0].Data = e.blocks[0].B[:copy(e.blocks[0].B, question)]
				e.batch(1)
			}
			n, from, err := u.ReadFromUDPAddrPort(buf)
			if err != nil || !bytes.Equal(buf[:n], question[len(question)-100:]) {
				t.Fatalf("read %q, %v", buf[:n], err)
			}
			if _, err := u.WriteToUDPAddrPort(buf[:n], from); err != nil {
				t.Fatal(err)
			}
			m.Buffers[0] = buf
			if err := u.ReadMsg(&m); err != nil {
				t.Fatal(err)
			}
			m.Buffers[0], m.TTL = buf[:m.N], 0
			if err := u.WriteMsg(&m); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(500, trip); n != 0 {
			t.Errorf("%v: %v allocations for two datagrams there and back", server, n)
		}
	}
}

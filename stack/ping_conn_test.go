package stack

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/a644562b/portico/ip"
)

func listenPing(t *testing.T, s *Stack, network, address string) *PingConn {
	t.Helper()
	p, err := s.ListenPing(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEchoBothWays(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for network, addrs := range map[string][]string{
			"ip4:icmp":      {"10.77.0.2", "10.77.0.1", "127.0.0.1"},
			"ip6:ipv6-icmp": {"fd77::2", "fe80::2%pipe0", "fd77::1", "::1"},
		} {
			p := listenPing(t, h.client, network, "")
			for i, to := range addrs {
				dst := netip.MustParseAddr(to)
				if err := p.SendEcho(Echo{To: dst, Seq: uint16(i), Data: []byte("payload")}); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 4)
				r, err := p.ReceiveEcho(b)
				if want := (EchoReply{From: dst, Seq: uint16(i), Size: 7, TTL: 64}); err != nil || r != want || string(b) != "payl" {
					t.Errorf("%s: %+v %q, %v", to, r, b, err)
				}
			}
			p.Close()
		}
	})
}

// Sizes up to what a packet can be: in pieces there and back.
func TestEchoOfEverySize(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		p := listenPing(t, h.client, "ip4:icmp", "")
		for _, n := range []int{0, 1, 1472, 1473, 2953, 65506, 65507} {
			data := bytes.Repeat([]byte{0xa5, 1, 2}, n/3+1)[:n]
			if err := p.SendEcho(Echo{To: server4, Data: data}); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 65535)
			p.SetReadDeadline(time.Now().Add(time.Second))
			if r, err := p.ReceiveEcho(b); err != nil || r.Size != n || !bytes.Equal(b[:n], data) {
				t.Errorf("%d bytes: %+v, %v", n, r, err)
			}
		}
		err := p.SendEcho(Echo{To: server4, Data: make([]byte, 65508)})
		wantErr(t, err, syscall.EMSGSIZE, "write ip4:icmp 0.0.0.0: sendto: message too long")
	})
}

// Programs that use x/net/icmp find a socket as they know it.
func TestPingConnIsAPacketConn(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for _, tt := range []struct {
			network  string
			protocol int
			request  icmp.Type
			reply    icmp.Type
			to       netip.Addr
		}{
			{"ip4:icmp", 1, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply, server4},
			{"ip6:ipv6-icmp", 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, server6},
		} {
			p, err := h.client.ListenPacket(tt.network, "")
			if err != nil {
				t.Fatal(err)
			}
			b, _ := (&icmp.Message{Type: tt.request, Body: &icmp.Echo{ID: 1, Seq: 9, Data: []byte("data")}}).Marshal(nil)
			for _, addr := range []net.Addr{&net.IPAddr{IP: tt.to.AsSlice()}, &net.UDPAddr{IP: tt.to.AsSlice()}} {
				if n, err := p.WriteTo(b, addr); n != len(b) || err != nil {
					t.Fatalf("WriteTo = %d, %v", n, err)
				}
				buf := make([]byte, 100)
				n, from, err := p.ReadFrom(buf)
				if err != nil || from.String() != tt.to.String() || from.Network() != "ip" {
					t.Fatalf("from %v, %v", from, err)
				}
				m, err := icmp.ParseMessage(tt.protocol, buf[:n])
				if err != nil || m.Type != tt.reply {
					t.Fatalf("%+v, %v", m, err)
				}
				e := m.Body.(*icmp.Echo)
				if e.ID != int(p.(*PingConn).ID()) || e.Seq != 9 || string(e.Data) != "data" {
					t.Errorf("%+v", e)
				}
			}
			for _, bad := range [][]byte{nil, b[:7], append([]byte{13}, b[1:]...), append([]byte{b[0], 1}, b[2:]...)} {
				if _, err := p.WriteTo(bad, &net.IPAddr{IP: tt.to.AsSlice()}); !errors.Is(err, syscall.EINVAL) {
					t.Errorf("a message % x: %v", bad, err)
				}
			}
		}
	})
}

// Each socket has its identifier, hears only of that, and of replies to the address that it
// is bound to.
func TestPingSocketsDoNotHearEachOther(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		a, b := listenPing(t, w.s, "ip4:icmp", ""), listenPing(t, w.s, "ip4:icmp", "10.77.0.2")
		if a.ID() == b.ID() {
			t.Fatalf("both have %d", a.ID())
		}
		reply := func(id uint16, dst netip.Addr) {
			w.raw(packet(client4, dst, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(0, 0), Id: id, Seq: 5}, gopacket.Payload("x")))
		}
		reply(a.ID(), server4)
		b.SetReadDeadline(time.Now().Add(time.Second))
		if r, err := b.ReceiveEcho(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the other heard %+v, %v", r, err)
		}
		if r, err := a.ReceiveEcho(nil); err != nil || r.Seq != 5 || r.TTL != 61 || r.RTT != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		// An identifier of nobody, and one of the other family.
		for _, id := range []uint16{a.ID() ^ b.ID() ^ 1, listenPing(t, w.s, "ip6:58", "").ID()} {
			if id == a.ID() || id == b.ID() {
				continue
			}
			reply(id, server4)
		}
		if n := w.s.Stats().Drops["icmp_ignored"]; n == 0 {
			t.Error("replies to nobody were taken")
		}
		w.want()
	})
}

// What routers and hosts say about a request is told with who said it, once, and only for
// what was sent.
func TestErrorsReachThePingSocket(t *testing.T) {
	router := netip.MustParseAddr("10.77.0.254")
	about := func(typ, code uint8, id uint16, quoted []byte) []byte {
		return packet(router, server4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: 0, Seq: id}, gopacket.Payload(quoted))
	}
	for _, tt := range []struct {
		typ, code uint8
		mtu       uint16
		want      ICMPError
		text      string
	}{
		{11, 0, 0, ICMPError{Kind: ip.ErrorTimeExceeded, Errno: syscall.EHOSTUNREACH}, "time exceeded, says 10.77.0.254"},
		{3, 1, 0, ICMPError{Kind: ip.ErrorHost, Code: 1, Errno: syscall.EHOSTUNREACH}, "host unreachable, says 10.77.0.254"},
		{3, 0, 0, ICMPError{Kind: ip.ErrorNet, Errno: syscall.ENETUNREACH}, "network unreachable, says 10.77.0.254"},
		{3, 4, 576, ICMPError{Kind: ip.ErrorTooBig, Code: 4, MTU: 576, Errno: syscall.EMSGSIZE}, "packet too big, says 10.77.0.254"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				p := listenPing(t, w.s, "ip4:icmp", "")
				if err := p.SendEcho(Echo{To: client4, Seq: 7, TTL: 3, Data: make([]byte, 600)}); err != nil {
					t.Fatal(err)
				}
				sent := <-w.sent
				if sent[8] != 3 {
					t.Errorf("TTL %d", sent[8])
				}
				forged := append([]byte(nil), sent...)
				forged[27]++ // the sequence number
				w.raw(about(tt.typ, tt.code, tt.mtu, forged))
				w.raw(about(tt.typ, tt.code, tt.mtu, sent))
				_, err := p.ReceiveEcho(nil)
				wantErr(t, err, tt.want.Errno, "read ip4:icmp 0.0.0.0: "+tt.text)
				var got *ICMPError
				tt.want.From, tt.want.To, tt.want.Seq = router, client4, 7
				if !errors.As(err, &got) || *got != tt.want {
					t.Errorf("%+v, want %+v", got, tt.want)
				}
				p.SetReadDeadline(time.Now().Add(time.Second))
				if r, err := p.ReceiveEcho(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("and then %+v, %v", r, err)
				}
			})
		})
	}
}

func TestPingSocketRefusesAndEnds(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		for _, tt := range []struct{ network, address, text string }{
			{"ip4:tcp", "", "listen ip4:tcp: unknown network ip4:tcp"},
			{"ip4:icmp", "fd77::2", "listen ip4:icmp: address fd77::2: no suitable address found"},
			{"ip4:icmp", "name", "listen ip4:icmp: address name: no suitable address found"},
			{"ip4:icmp", "10.77.0.9", "listen ip4:icmp: bind: cannot assign requested address"},
		} {
			for _, listen := range []func() error{
				func() error { _, err := w.s.ListenPing(tt.network, tt.address); return err },
				func() error { _, err := w.s.ListenPacket(tt.network, tt.address); return err },
			} {
				if err := listen(); err == nil || err.Error() != tt.text {
					t.Errorf("%v, want %s", err, tt.text)
				}
			}
		}
		p := listenPing(t, w.s, "ip4:icmp", "10.77.0.2")
		for to, want := range map[string]error{"10.77.0.255": syscall.EACCES, "fd77::1": nil, "0.0.0.0": syscall.EDESTADDRREQ} {
			err := p.SendEcho(Echo{To: netip.MustParseAddr(to)})
			if err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("to %s: %v, want %v", to, err, want)
			}
		}
		for _, ttl := range []int{0, 256} {
			if err := p.SetTTL(ttl); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("TTL %d: %v", ttl, err)
			}
		}
		if err := p.SetTTL(9); err != nil {
			t.Error(err)
		}
		p.SendEcho(Echo{To: client4})
		if b := <-w.sent; b[8] != 9 {
			t.Errorf("TTL %d", b[8])
		}
		done := make(chan error)
		go func() { _, err := p.ReceiveEcho(nil); done <- err }()
		synctest.Wait()
		p.Close()
		wantErr(t, <-done, net.ErrClosed, "read ip4:icmp 10.77.0.2: use of closed network connection")
		wantErr(t, p.SendEcho(Echo{To: client4}), net.ErrClosed, "write ip4:icmp 10.77.0.2: use of closed network connection")
		wantErr(t, p.Close(), net.ErrClosed, "close ip4:icmp 10.77.0.2: use of closed network connection")
		wantErr(t, p.SetDeadline(time.Now()), net.ErrClosed, "set ip4:icmp: use of closed network connection")
	})
}

// What is not read is bounded, and told.
func TestPingQueueIsBounded(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		p := listenPing(t, w.s, "ip4:icmp", "")
		b := packet(client4, server4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(0, 0), Id: p.ID()}, gopacket.Payload(make([]byte, 1024)))
		for range 200 {
			w.raw(b)
		}
		want := 200 - defaultUDPBuffer/(1024+datagramOverhead)
		if n := w.s.Stats().Drops["ping_queue_full"]; n != uint64(want) {
			t.Errorf("%d dropped, want %d", n, want)
		}
	})
}

package stack

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// echoPacket makes an echo request.
func echoPacket(src, dst netip.Addr, id, seq uint16, data string) []byte {
	if dst.Is4() {
		return packet(src, dst, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: id, Seq: seq}, gopacket.Payload(data))
	}
	return packet(src, dst, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)},
		&layers.ICMPv6Echo{Identifier: id, SeqNumber: seq}, gopacket.Payload(data))
}

func TestEchoIsAnswered(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		w.raw(echoPacket(client, server, 7, 9, "hello"))
		want := `EchoReply 7/9 "hello"`
		if server.Is6() {
			want = `EchoReply "\x00\a\x00\thello"`
		}
		w.want(fmt.Sprintf("%v>%v ICMP %s", server, client, want))
	})
}

func TestClosedUDPPortIsUnreachable(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		w.raw(udpPacket(ap(client, 1000), ap(server, 9), "hello"))
		want := `DestinationUnreachable(Port) 0/0 "33 bytes"`
		if server.Is6() {
			want = `DestinationUnreachable(PortUnreachable) "57 bytes"`
		}
		w.want(fmt.Sprintf("%v>%v ICMP %s", server, client, want))
	})
}

func TestICMPErrorsAreRateLimited(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		b := udpPacket(ap(client4, 1000), ap(server4, 9), "x")
		for range 500 {
			w.raw(b)
		}
		const toOne = 6 // at once to one host, as on Linux
		if n := len(w.sent); n != toOne {
			t.Errorf("%d errors sent, want %d", n, toOne)
		}
		if n := w.s.Stats().Drops["icmp_rate_limited"]; n != 500-toOne {
			t.Errorf("%d counted as held back", n)
		}
		<-time.After(time.Second)
		w.raw(b)
		w.raw(b)
		if n := len(w.sent); n != toOne+1 {
			t.Errorf("%d errors sent a second later", n)
		}
		// What one host provoked is not held against another.
		w.raw(udpPacket(ap(netip.MustParseAddr("10.77.0.7"), 1000), ap(server4, 9), "x"))
		if n := len(w.sent); n != toOne+2 {
			t.Errorf("%d errors sent, one of them to another host", n)
		}
	})
}

// unreachable makes an ICMP error of the client about a packet.
func unreachable(code uint8, quoted []byte) []byte {
	return packet(client4, server4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, code)}, gopacket.Payload(quoted))
}

func TestPing(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for _, dst := range []netip.Addr{server4, server6, client4, client6, netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
			pong, err := h.client.Ping(t.Context(), dst, 3, []byte("payload"))
			if want := (Pong{RTT: 0, TTL: 64, From: dst, Bytes: 7}); err != nil || pong != want {
				t.Errorf("Ping(%v) = %+v, %v", dst, pong, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := h.client.Ping(ctx, netip.MustParseAddr("10.77.0.99"), 1, nil)
		wantErr(t, err, os.ErrDeadlineExceeded, "ping ip 10.77.0.99: i/o timeout")
		_, err = h.client.Ping(t.Context(), server4, 1, make([]byte, 65508))
		wantErr(t, err, syscall.EMSGSIZE, "ping ip 10.77.0.2: sendto: message too long")
		_, err = h.client.Ping(t.Context(), netip.MustParseAddr("10.77.0.255"), 1, nil)
		if err == nil || !strings.Contains(err.Error(), "not the address of one host") {
			t.Errorf("ping to broadcast: %v", err)
		}
		if n := len(h.client.pings.byID); n != 0 {
			t.Errorf("%d pings still wait", n)
		}
		go func() {
			synctest.Wait()
			h.client.Close()
		}()
		_, err = h.client.Ping(t.Context(), netip.MustParseAddr("10.77.0.99"), 1, nil)
		wantErr(t, err, net.ErrClosed, "ping ip 10.77.0.99: use of closed network connection")
	})
}

func TestICMPErrorEndsThePing(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		result := make(chan error, 1)
		go func() {
			_, err := w.s.Ping(t.Context(), client4, 1, []byte("x"))
			result <- err
		}()
		w.raw(unreachable(1, <-w.sent))
		if err := <-result; err == nil || err.Error() != "ping ip 10.77.0.1: host unreachable" {
			t.Errorf("Ping: %v", err)
		}
	})
}

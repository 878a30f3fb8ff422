package stack

import (
	"bytes"
	"context"
	"encoding/binary"
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

// RFC 1122, section 3.2.2.6: the type of service of the request, without what routers write
// into its ECN field.
func TestEchoReplyHasTheRequestsDSCP(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		b := echoPacket(client, server, 7, 9, "hello")
		if server.Is4() {
			b[1] = 0xbb
			b[10], b[11] = 0, 0
			binary.BigEndian.PutUint16(b[10:], ^plainSum(b[:20]))
		} else {
			b[0], b[1] = 0x6b, 0xb0
		}
		w.raw(b)
		b = <-w.sent
		tos := b[1]
		if server.Is6() {
			tos = b[0]<<4 | b[1]>>4
		}
		if tos != 0xb8 {
			t.Errorf("type of service %#x, want 0xb8", tos)
		}
	})
}

// RFC 6633 and RFC 6918, and what RFC 4443 knows as information of an unknown type; redirects,
// for we have one way out.
func TestObsoleteMessagesAreIgnored(t *testing.T) {
	for _, six := range []bool{false, true} {
		client, server := pairOf(six)
		types := []uint8{4, 5, 9, 10, 13, 14, 15, 16, 17, 18, 30, 200}
		if six {
			types = []uint8{133, 134, 136, 137, 139, 140, 200, 255}
		}
		for _, typ := range types {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				body := gopacket.Payload(udpPacket(ap(server, 1000), ap(client, 53), "x"))
				if six {
					w.raw(packet(client, server, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}, append(gopacket.Payload{0, 0, 0, 0}, body...)))
				} else {
					w.raw(packet(client, server, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, 0)}, body))
				}
				w.wantDrop("icmp_ignored")
			})
		}
	}
}

// RFC 1122, section 3.2.2: neither a closed port nor a fault nor pieces that do not come are
// told about when everybody was asked.
func TestNothingIsAnsweredAboutABroadcast(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		all := netip.MustParseAddr("10.77.0.255")
		w.raw(udpPacket(ap(client4, 1000), ap(all, 9), "x"))
		w.raw(packet(client4, all, unknown{}))
		w.raw(fragmentsOf(udpPacket(ap(client4, 1000), ap(all, 9), string(noise(3000))), 1, 1400)[0])
		broken := udpPacket(ap(client4, 1000), ap(all, 9), "")
		broken = append(append(bytes.Clone(broken[:20]), 7, 9, 4, 0), broken[20:]...)
		broken[0]++
		broken[3] += 4
		broken[10], broken[11] = 0, 0
		binary.BigEndian.PutUint16(broken[10:], ^plainSum(broken[:24]))
		w.raw(broken)
		<-time.After(2 * time.Minute)
		w.want()
		if d := w.s.Stats().Drops; d["ip_reassembly_timeout"] != 1 || d["ip_options"] != 1 || d["udp_closed_port"] != 1 {
			t.Errorf("drops %v", d)
		}
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

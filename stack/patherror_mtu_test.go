package stack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// router4 and router6 stand between the client and the server.
var (
	router4 = netip.MustParseAddr("10.99.0.1")
	router6 = netip.MustParseAddr("fd99::1")
)

// packetTooBig is a router's error about a packet that the server sent.
func packetTooBig(sent []byte, mtu int) []byte {
	quoted := gopacket.Payload(sent[:min(len(sent), 512)])
	if sent[0]>>4 == 4 {
		return packet(router4, server4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: uint16(mtu)}, quoted)
	}
	body := binary.BigEndian.AppendUint32(nil, uint32(mtu))
	return packet(router6, server6, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}, gopacket.Payload(append(body, quoted...)))
}

// A path that is narrower than our link: the next datagrams are cut to fit it, to this
// destination and no other, until it is forgotten ten minutes later.
func TestUDPFollowsThePathMTU(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		u, err := w.s.ListenPacket("udp", ap(server, 53).String())
		if err != nil {
			t.Fatal(err)
		}
		sock, header := u.(*UDPConn), 28
		if server.Is6() {
			header = 48
		}
		send := func(to netip.Addr, n int) []byte {
			payload := noise(n)
			if _, err := sock.WriteToUDPAddrPort(payload, ap(to, 1000)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			return payload
		}
		send(client, 1500-header)
		whole := <-w.sent
		if len(whole) != 1500 || server.Is4() && whole[6] != 0x40 {
			t.Fatalf("%d bytes, flags %#x", len(whole), whole[6])
		}
		w.raw(packetTooBig(whole, 1300))
		w.want()

		payload := send(client, 1500-header)
		if got := w.joined(1300); !bytes.Equal(got[8:], payload) {
			t.Error("another payload")
		}
		send(client, 1300-header)
		if whole := <-w.sent; len(whole) != 1300 || server.Is4() && whole[6] != 0x40 {
			t.Errorf("%d bytes, flags %#x", len(whole), whole[6])
		}
		other := client.Next().Next().Next()
		send(other, 1500-header)
		if whole := <-w.sent; len(whole) != 1500 {
			t.Errorf("%d bytes to another destination", len(whole))
		}
		// Who does not want to be cut is told.
		sock.SetPathMTU(PathMTUDo)
		if _, err := sock.WriteToUDPAddrPort(make([]byte, 1301-header), ap(client, 1000)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("one byte beyond the path: %v", err)
		}
		w.want()
		<-time.After(10 * time.Minute)
		send(client, 1500-header)
		if whole := <-w.sent; len(whole) != 1500 {
			t.Errorf("%d bytes ten minutes later", len(whole))
		}
	})
}

// An error about what nobody here sent changes nothing, nor does one about a width that
// no link has.
func TestForgedPacketTooBigIsIgnored(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		u, err := w.s.ListenPacket("udp", ap(server, 53).String())
		if err != nil {
			t.Fatal(err)
		}
		sock := u.(*UDPConn)
		payload := make([]byte, 1400)
		w.raw(packetTooBig(udpPacket(ap(server, 54), ap(client, 1000), string(payload)), 1280)) // no such socket
		w.raw(packetTooBig(udpPacket(ap(client, 53), ap(server, 1000), string(payload)), 1280)) // not from us
		w.raw(packetTooBig(udpPacket(ap(server, 53), ap(client, 1000), string(payload)), 67))
		if server.Is6() {
			w.raw(packetTooBig(udpPacket(ap(server, 53), ap(client, 1000), string(payload)), 1279)) // RFC 8021
		}
		if _, err := sock.WriteToUDPAddrPort(payload, ap(client, 1000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if b := <-w.sent; len(b) < 1400 {
			t.Errorf("a packet of %d bytes", len(b))
		}
		w.want()
	})
}

// Below 552 we do not go; there the routers may cut, and each packet has an identification
// of its own (RFC 6864).
func TestVeryNarrowPathIsLeftToTheRouters(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		u, err := w.s.ListenPacket("udp", ":53")
		if err != nil {
			t.Fatal(err)
		}
		sock := u.(*UDPConn)
		sock.WriteToUDPAddrPort(make([]byte, 1000), ap(client4, 1000))
		synctest.Wait()
		w.raw(packetTooBig(<-w.sent, 296))
		ids := map[uint16]bool{}
		for range 10 {
			sock.WriteToUDPAddrPort(make([]byte, 524), ap(client4, 1000))
			synctest.Wait()
			b := <-w.sent
			if len(b) != 552 || b[6] != 0 || b[7] != 0 {
				t.Errorf("%d bytes, flags and offset % x", len(b), b[6:8])
			}
			ids[binary.BigEndian.Uint16(b[4:])] = true
		}
		if len(ids) != 10 {
			t.Errorf("%d identifications for 10 packets", len(ids))
		}
	})
}

// So it is for TCP.
func TestVeryNarrowPathIsLeftToTheRoutersByTCP(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		w.handshake(ap(client4, 1000), ap(server4, 80), 100)
		c := accept(t, l.(*Listener))
		c.Write(make([]byte, 536))
		synctest.Wait()
		sent := <-w.sent
		if len(sent) != 576 || sent[6] != 0x40 {
			t.Fatalf("%d bytes, flags %#x", len(sent), sent[6])
		}
		w.raw(packetTooBig(sent, 296))
		b := <-w.sent
		if len(b) != 552 || b[6] != 0 {
			t.Errorf("%d bytes, flags %#x", len(b), b[6])
		}
	})
}

// An echo reply too big for its path goes in smaller pieces the next time.
func TestEchoReplyFollowsThePathMTU(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		data := string(noise(1400))
		w.raw(echoPacket(client6, server6, 7, 9, data))
		w.raw(packetTooBig(<-w.sent, 1280))
		w.raw(echoPacket(client6, server6, 7, 10, data))
		if reply := w.joined(1280); string(reply[8:]) != data {
			t.Error("another reply")
		}
	})
}

// RFC 6437: one label for all packets of a flow, another for each other flow, never none.
func TestFlowLabels(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		label := func() uint32 {
			t.Helper()
			synctest.Wait()
			b := <-w.sent
			if b[0]>>4 != 6 {
				t.Fatal("not IPv6")
			}
			return binary.BigEndian.Uint32(b) & 0xfffff
		}
		seen := map[uint32]bool{}
		fresh := func(l uint32) {
			t.Helper()
			if l == 0 || seen[l] {
				t.Errorf("label %#x is none or another flow's", l)
			}
			seen[l] = true
		}
		if _, err := w.s.Listen("tcp", ":80"); err != nil {
			t.Fatal(err)
		}
		for port := range uint16(5) {
			w.raw(tcpPacket(ap(client6, 1000+port), ap(server6, 80), "S", 100, 0, ""))
			first := label()
			fresh(first)
			<-time.After(1500 * time.Millisecond)
			if again := label(); again != first { // the SYN,ACK once more
				t.Errorf("labels %#x and %#x of one connection", first, again)
			}
			w.raw(tcpPacket(ap(client6, 1000+port), ap(server6, 80), "R", 101, 0, ""))
		}
		u, err := w.s.ListenPacket("udp", ":53")
		if err != nil {
			t.Fatal(err)
		}
		for port := range uint16(5) {
			sock := u.(*UDPConn)
			sock.WriteToUDPAddrPort(nil, ap(client6, 1000+port))
			first := label()
			fresh(first)
			sock.WriteToUDPAddrPort(make([]byte, 2000), ap(client6, 1000+port))
			for range 2 {
				if again := label(); again != first { // in fragments too
					t.Errorf("labels %#x and %#x of one flow", first, again)
				}
			}
		}
		w.raw(echoPacket(client6, server6, 7, 9, "x"))
		first := label()
		fresh(first)
		w.raw(echoPacket(client6, server6, 8, 9, "x"))
		if again := label(); again != first {
			t.Errorf("labels %#x and %#x to one host", first, again)
		}
	})
}

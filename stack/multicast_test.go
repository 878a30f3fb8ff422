package stack

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"
)

var (
	someGroup4 = netip.MustParseAddr("239.1.1.1")
	someGroup6 = netip.MustParseAddr("ff05::101")
)

func groupOf(six bool) netip.Addr {
	if six {
		return someGroup6
	}
	return someGroup4
}

// reports takes what the stack has sent, which must be reports about groups, and says how
// many there were.
func (w *wire) reports() int {
	w.t.Helper()
	synctest.Wait()
	n := len(w.sent)
	for range n {
		p := w.next()
		switch l := p.NetworkLayer().(type) {
		case *layers.IPv4:
			if l.Protocol != layers.IPProtocolIGMP || l.TTL != 1 || l.TOS != 0xc0 || l.DstIP.String() != "224.0.0.22" ||
				len(l.Options) == 0 || l.Options[0].OptionType != 148 {
				w.t.Errorf("no report: %v", p)
			}
		case *layers.IPv6:
			if l.HopLimit != 1 || l.DstIP.String() != "ff02::16" || !l.SrcIP.IsLinkLocalUnicast() || l.HopByHop == nil ||
				len(l.HopByHop.Options) == 0 || l.HopByHop.Options[0].OptionType != 5 ||
				p.Layer(layers.LayerTypeMLDv2MulticastListenerReport) == nil {
				w.t.Errorf("no report: %v", p)
			}
		}
	}
	return n
}

func TestGroupReachesTheSocketsThatJoinedIt(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		g := groupOf(server.Is6())
		open := func() *UDPConn {
			lc := ListenConfig{Stack: w.s, ReuseAddr: true}
			u, err := lc.ListenPacket(t.Context(), "udp", ":7777")
			if err != nil {
				t.Fatal(err)
			}
			return u.(*UDPConn)
		}
		first, second, third := open(), open(), open()
		w.raw(udpPacket(ap(client, 1000), ap(g, 7777), "nobody hears"))
		w.wantDrop("not_for_us")
		for _, u := range []*UDPConn{first, second} {
			if err := u.JoinGroup(g); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(2 * time.Second)
		if n := w.reports(); n != 2 { // and once more
			t.Errorf("%d reports of joining", n)
		}
		w.raw(udpPacket(ap(client, 1000), ap(g, 7777), "to all"))
		for _, u := range []*UDPConn{first, second} {
			m := UDPMessage{Buffers: [][]byte{make([]byte, 20)}}
			if err := u.ReadMsg(&m); err != nil || string(m.Buffers[0][:m.N]) != "to all" || m.Local != g {
				t.Errorf("read %q to %v, %v", m.Buffers[0][:m.N], m.Local, err)
			}
		}
		// One leaves, the other stays: nothing to tell. Then it closes.
		if err := first.LeaveGroup(g); err != nil {
			t.Fatal(err)
		}
		w.raw(udpPacket(ap(client, 1000), ap(g, 7777), "to one"))
		wantDatagram(t, second, "to one")
		if n := first.queue.len() + third.queue.len(); n != 0 {
			t.Errorf("%d datagrams for who is not in the group", n)
		}
		w.want()
		second.Close()
		<-time.After(2 * time.Second)
		if n := w.reports(); n != 2 {
			t.Errorf("%d reports of leaving", n)
		}
		third.Close()
		first.Close()
	})
}

func wantDatagram(t *testing.T, u *UDPConn, want string) {
	t.Helper()
	b := make([]byte, 100)
	n, _, err := u.ReadFromUDPAddrPort(b)
	if err != nil || string(b[:n]) != want {
		t.Errorf("read %q, %v, want %q", b[:n], err, want)
	}
}

func TestSourceFiltersOfASocket(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		g, other := groupOf(server.Is6()), client.Next().Next().Next()
		only, but := w.udpSocket("udp", ":7777"), w.udpSocket("udp", ":7778")
		for what, err := range map[string]error{
			"join from one": only.JoinSourceSpecificGroup(g, client),
			"join":          but.JoinGroup(g),
			"exclude":       but.ExcludeSourceSpecificGroup(g, client),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, from := range []netip.Addr{client, other} {
			w.raw(udpPacket(ap(from, 1000), ap(g, 7777), from.String()))
			w.raw(udpPacket(ap(from, 1000), ap(g, 7778), from.String()))
		}
		wantDatagram(t, only, client.String())
		wantDatagram(t, but, other.String())
		if n := only.queue.len() + but.queue.len(); n != 0 {
			t.Errorf("%d datagrams more", n)
		}
	})
}

func TestGroupErrorsAreThoseOfSetsockopt(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.server, "udp4", ":7777")
		check := func(err error, want syscall.Errno) {
			t.Helper()
			wantErr(t, err, want, "set udp4 0.0.0.0:7777: setsockopt: "+want.Error())
		}
		check(u.JoinGroup(server4), syscall.EINVAL)
		check(u.JoinGroup(someGroup6), syscall.EINVAL)
		check(u.LeaveGroup(someGroup4), syscall.EADDRNOTAVAIL)
		check(u.ExcludeSourceSpecificGroup(someGroup4, client4), syscall.EINVAL)
		u.JoinGroup(someGroup4)
		check(u.JoinGroup(someGroup4), syscall.EADDRINUSE)
		check(u.JoinSourceSpecificGroup(someGroup4, client4), syscall.EINVAL)
		check(u.IncludeSourceSpecificGroup(someGroup4, client4), syscall.EADDRNOTAVAIL)
	})
}

func TestSendingToAGroup(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for _, g := range []netip.Addr{someGroup4, someGroup6} {
			addr := net.UDPAddrFromAddrPort(ap(g, 7777))
			far, err := h.server.ListenMulticastUDP("udp", addr)
			if err != nil {
				t.Fatal(err)
			}
			near, err := h.client.ListenMulticastUDP("udp", addr)
			if err != nil {
				t.Fatal(err)
			}
			u := h.listenPacket(t, h.client, "udp", ":0")
			u.WriteTo([]byte("hello"), addr)
			m := UDPMessage{Buffers: [][]byte{make([]byte, 20)}}
			if err := far.ReadMsg(&m); err != nil || m.TTL != 1 || m.Local != g {
				t.Errorf("read %+v, %v", m, err)
			}
			wantDatagram(t, near, "hello")
			u.SetMulticastLoopback(false)
			u.SetMulticastTTL(7)
			u.WriteTo([]byte("hello"), addr)
			if err := far.ReadMsg(&m); err != nil || m.TTL != 7 {
				t.Errorf("read %+v, %v", m, err)
			}
			synctest.Wait()
			if n := near.queue.len(); n != 0 {
				t.Errorf("%d datagrams came back", n)
			}
			far.Close()
			near.Close()
		}
	})
}

func TestQueryFromTheLinkIsAnswered(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		u := w.udpSocket("udp", ":7777")
		u.JoinGroup(someGroup4)
		<-time.After(2 * time.Second)
		w.reports()
		body := []byte{0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0}
		sum := ^plainSum(body)
		body[2], body[3] = byte(sum>>8), byte(sum)
		query := func(ttl byte, options ...byte) {
			n := 20 + len(options)
			b := append([]byte{byte(4<<4 | n/4), 0, 0, byte(n + len(body)), 0, 0, 0, 0, ttl, 2, 0, 0, 10, 77, 0, 1, 224, 0, 0, 1}, options...)
			s := ^plainSum(b)
			b[10], b[11] = byte(s>>8), byte(s)
			w.raw(append(b, body...))
		}
		query(64, 148, 4, 0, 0)
		query(1)
		<-time.After(2 * time.Second)
		w.want()
		if n := w.s.Stats().Drops["group_message"]; n != 2 {
			t.Errorf("%d drops", n)
		}
		query(1, 148, 4, 0, 0)
		<-time.After(2 * time.Second)
		if n := w.reports(); n != 1 {
			t.Errorf("%d answers", n)
		}
	})
}

package stack

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/ip"
)

// A datagram to somebody else in fragments is put together and given to the handler, and
// what it answers leaves in fragments, from the address that was asked.
func TestForwardedDatagramsInFragments(t *testing.T) {
	echo := Forward{UDP: func(r *UDPRequest) {
		u, err := r.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer u.Close()
		b := make([]byte, 65536)
		n, err := u.Read(b)
		if err != nil {
			t.Error(err)
		}
		u.Write(b[:n])
	}}
	forwardWire(t, echo, func(t *testing.T, w *wire, from, to netip.AddrPort) {
		payload := noise(5000)
		pieces := fragmentsOf(udpPacket(from, to, string(payload)), 7, 1400)
		for i := range pieces {
			w.raw(pieces[len(pieces)-1-i])
		}
		whole := ip.NewReassembler(ip.ReassemblyLimits{})
		var answer *ip.Datagram
		for len(w.sent) > 0 {
			var h ip.Header
			b := <-w.sent
			if _, why := ip.Parse(b, &h); why != ip.DropFragment || h.Src != to.Addr() || h.Dst != from.Addr() {
				t.Fatalf("%v, sent %+v", why, h)
			}
			answer, _ = whole.Add(0, &h, b)
		}
		if answer == nil {
			t.Fatal("no answer, or not all of it")
		}
		want := fmt.Sprintf("%v>%v UDP 7777>1000 %q", to.Addr(), from.Addr(), payload)
		if text := describe(t, answer.Append(nil)); text != want {
			t.Errorf("answered %.60s…", text)
		}
	})
}

// Of pieces that are for nobody's handler nothing is kept, and of those that never become
// whole nobody is told on behalf of another.
func TestForwardedFragmentsThatStayAlone(t *testing.T) {
	for _, test := range []struct {
		name, reason string
		f            Forward
	}{
		{"no handler", "not_for_us", Forward{}},
		{"a handler", "ip_reassembly_timeout", Forward{UDP: func(r *UDPRequest) { r.Ignore() }}},
	} {
		t.Run(test.name, func(t *testing.T) {
			forwardWire(t, test.f, func(t *testing.T, w *wire, from, to netip.AddrPort) {
				w.raw(fragmentsOf(udpPacket(from, to, string(noise(3000))), 7, 1400)[0])
				<-time.After(5 * time.Minute)
				w.wantDrop(test.reason)
			})
		})
	}
}

// What ICMP errors say, by family: a closed port, and a packet too big for 1280 bytes.
func portError(src, dst netip.Addr, quoted []byte) []byte {
	if dst.Is4() {
		return icmpErrorFrom(src, dst, 3, 3, 0, quoted)
	}
	return icmpErrorFrom(src, dst, 1, 4, 0, quoted)
}

func tooBigError(src, dst netip.Addr, quoted []byte) []byte {
	quoted = quoted[:min(len(quoted), 512)]
	if dst.Is4() {
		return icmpErrorFrom(src, dst, 3, 4, 1280, quoted)
	}
	return icmpErrorFrom(src, dst, 2, 0, 1280, quoted)
}

// An ICMP error about what a handler has sent goes to the address that it sent from, which is
// not ours, and reaches it all the same: a port that is closed, a path that is narrow.
func TestErrorsReachTheForwardedFlow(t *testing.T) {
	var flows chan *UDPConn
	accept := Forward{UDP: func(r *UDPRequest) {
		u, err := r.Accept()
		if err != nil {
			t.Error(err)
		}
		flows <- u
	}}
	forwardWire(t, accept, func(t *testing.T, w *wire, from, to netip.AddrPort) {
		flows = make(chan *UDPConn, 1)
		w.raw(udpPacket(from, to, "hello"))
		u := <-flows
		defer u.Close()
		wantRead(t, u, "hello")
		mustWrite(t, u, string(noise(1400)))
		synctest.Wait()
		sent := <-w.sent
		w.raw(portError(from.Addr(), to.Addr(), sent))
		if _, err := u.Read(nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Read after port unreachable: %v", err)
		}
		w.raw(tooBigError(from.Addr().Next().Next(), to.Addr(), sent))
		if _, err := u.Read(nil); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("Read after packet too big: %v", err)
		}
		mustWrite(t, u, string(noise(1400)))
		w.wantPieces(2, 1280)
	})
}

// wantPieces verifies that the stack has sent n packets, none of them longer than most bytes.
func (w *wire) wantPieces(n, most int) {
	w.t.Helper()
	synctest.Wait()
	if len(w.sent) != n {
		w.t.Errorf("%d packets sent, want %d; drops %v", len(w.sent), n, w.s.Stats().Drops)
	}
	for len(w.sent) > 0 {
		if b := <-w.sent; len(b) > most {
			w.t.Errorf("a packet of %d bytes", len(b))
		}
	}
}

// Of TCP likewise: the connection that a handler has accepted sends what was too big again,
// in smaller segments.
func TestErrorsReachTheForwardedConnection(t *testing.T) {
	var conns chan *Conn
	accept := Forward{TCP: func(r *TCPRequest) {
		if c, err := r.Accept(); err == nil {
			conns <- c
		}
	}}
	forwardWire(t, accept, func(t *testing.T, w *wire, from, to netip.AddrPort) {
		conns = make(chan *Conn, 1)
		r := w.newRemote(from, to)
		r.options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 160}}} // 1440
		r.say("S 0")
		r.hear("SA 0 1")
		r.say("A 1 1")
		c := <-conns
		defer c.Close()
		mustWrite(t, c, string(noise(1440)))
		synctest.Wait()
		w.raw(tooBigError(from.Addr().Next().Next(), to.Addr(), <-w.sent))
		w.wantPieces(2, 1280)
	})
}

// What is nobody's here: an error about a flow that does not exist, though a socket of ours
// has its port; and all else that is told to others.
func TestICMPToOthersIsIgnored(t *testing.T) {
	all := Forward{TCP: func(r *TCPRequest) { r.Ignore() }, UDP: func(r *UDPRequest) { r.Ignore() }}
	for _, f := range []Forward{{}, all} {
		forwardWire(t, f, func(t *testing.T, w *wire, from, to netip.AddrPort) {
			w.udpSocket("udp", ":7777")
			flow := udpPacket(to, from, string(noise(1400)))
			w.raw(portError(from.Addr(), to.Addr(), flow))
			w.raw(tooBigError(from.Addr(), to.Addr(), flow))
			w.raw(echoPacket(from.Addr(), to.Addr(), 7, 9, "hello"))
			w.raw(packet(from.Addr(), to.Addr(), unknown{}))
			w.want()
			if n := w.s.Stats().Drops["not_for_us"]; n != 4 {
				t.Errorf("drops %v", w.s.Stats().Drops)
			}
			u, err := w.s.Dial("udp", from.String())
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, u, string(noise(1400)))
			w.wantPieces(1, 1500) // the path is as wide as before
		})
	}
}

package stack

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// remote is the other end of one connection of a stack, in the hands of a test. Numbers
// are relative: its own to its SYN, the stack's to the stack's.
type remote struct {
	w        *wire
	from, to netip.AddrPort // its own end, and the stack's
	irs, iss uint32         // its own initial number, and the stack's
	win      uint16
	options  []layers.TCPOption // of every segment that it sends
}

// newRemote is a peer that has said nothing yet.
func (w *wire) newRemote(from, to netip.AddrPort) *remote {
	return &remote{w: w, from: from, to: to, irs: 0xfffffe00, win: 65535}
}

// opened is a peer that has connected to port 80, where somebody listens.
func (w *wire) opened(client, server netip.Addr, port uint16) *remote {
	w.t.Helper()
	r := w.newRemote(ap(client, port), ap(server, 80))
	r.say("S 0")
	r.hear("SA 0 1")
	r.say("A 1 1")
	r.hear()
	return r
}

// served is such a peer and the connection that port 80 accepts from it; both end with the
// wire.
func (w *wire) served(client, server netip.Addr, port uint16) (*remote, *Conn) {
	w.t.Helper()
	l, err := w.s.Listen("tcp", ":80")
	if err != nil {
		w.t.Fatal(err)
	}
	return w.opened(client, server, port), accept(w.t, l.(*Listener))
}

// say sends a segment: flags of "SAFRPU", SEQ, ACK where there is one, and data.
func (r *remote) say(text string, data ...string) {
	r.w.t.Helper()
	r.w.raw(r.segment(text, data...))
}

func (r *remote) segment(text string, data ...string) []byte {
	var flags string
	var seq, ack int
	if n, _ := fmt.Sscanf(text, "%s %d %d", &flags, &seq, &ack); n < 2 {
		panic("no segment: " + text)
	}
	has := func(f string) bool { return strings.Contains(flags, f) }
	h := &layers.TCP{
		SrcPort: layers.TCPPort(r.from.Port()), DstPort: layers.TCPPort(r.to.Port()), Window: r.win,
		Seq: r.irs + uint32(int32(seq)), SYN: has("S"), ACK: has("A"), FIN: has("F"), RST: has("R"), PSH: has("P"), URG: has("U"),
		Options: r.options,
	}
	if h.ACK {
		h.Ack = r.iss + uint32(int32(ack))
	}
	return packet(r.from.Addr(), r.to.Addr(), h, gopacket.Payload(strings.Join(data, "")))
}

// hear verifies that the stack has sent exactly these segments to this peer, PSH left
// aside, and nothing to anybody else. The first SYN that it hears tells the stack's
// initial number.
func (r *remote) hear(segments ...string) {
	r.w.t.Helper()
	var got []string
	for _, s := range r.w.heard() {
		if s.src != r.to || s.dst != r.from {
			r.w.t.Fatalf("a segment from %v to %v", s.src, s.dst)
		}
		if s.SYN {
			r.iss = s.Seq
		}
		got = append(got, r.line(&s))
	}
	if strings.Join(got, ", ") != strings.Join(segments, ", ") {
		r.w.t.Fatalf("heard %q, want %q", got, segments)
	}
}

// line is a segment as say and hear write it.
func (r *remote) line(s *heardTCP) string {
	flags := ""
	for _, f := range []struct {
		set  bool
		name string
	}{{s.SYN, "S"}, {s.FIN, "F"}, {s.RST, "R"}, {s.ACK, "A"}, {s.URG, "U"}} {
		if f.set {
			flags += f.name
		}
	}
	text := fmt.Sprintf("%s %d", flags, int32(s.Seq-r.iss))
	if s.ACK {
		text += fmt.Sprintf(" %d", int32(s.Ack-r.irs))
	}
	if n := len(s.Payload); n > 0 {
		text += fmt.Sprintf(" (%d)", n)
	}
	return text
}

// heardTCP is a segment that the stack has sent.
type heardTCP struct {
	*layers.TCP
	src, dst netip.AddrPort
	ip4      *layers.IPv4
	ip6      *layers.IPv6
}

// heard takes the segments that the stack has sent.
func (w *wire) heard() (list []heardTCP) {
	w.t.Helper()
	synctest.Wait()
	for len(w.sent) > 0 {
		list = append(list, decode(w.t, <-w.sent))
	}
	return list
}

// decode lets gopacket read a packet with a segment of TCP.
func decode(t *testing.T, b []byte) heardTCP {
	t.Helper()
	describe(t, b) // lengths and checksums
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.Default)
	s := heardTCP{}
	s.ip4, _ = p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	s.ip6, _ = p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	var ok bool
	if s.TCP, ok = p.Layer(layers.LayerTypeTCP).(*layers.TCP); !ok {
		t.Fatalf("no segment of TCP: %v", p)
	}
	flow := p.NetworkLayer().NetworkFlow()
	addr := func(b []byte) netip.Addr { a, _ := netip.AddrFromSlice(b); return a }
	s.src = ap(addr(flow.Src().Raw()), uint16(s.SrcPort))
	s.dst = ap(addr(flow.Dst().Raw()), uint16(s.DstPort))
	return s
}

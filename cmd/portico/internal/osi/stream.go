package osi

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// maxStream bounds how many bytes of a direction are put together.
const maxStream = 4 << 20

// stream is one direction of a connection.
type stream struct {
	isn     uint32
	bytes   []byte // the data in order, as far as there is no gap
	packets []packet
}

// packet is one that carried data.
type packet struct {
	raw    []byte
	parsed gopacket.Packet
	tcp    *layers.TCP
	at     span // where its data lies in the stream
}

// collect puts the data from one end to the other together.
func collect(raw [][]byte, from, to netip.AddrPort) *stream {
	s := &stream{}
	seen := false
	for _, r := range raw {
		p, t := parse(r)
		if t == nil || !between(p, t, from, to) {
			continue
		}
		if t.SYN {
			s.isn, seen = t.Seq, true
		}
		if !seen || len(t.Payload) == 0 {
			continue
		}
		start := int(t.Seq - s.isn - 1) // a SYN takes one number
		end := start + len(t.Payload)
		if start > len(s.bytes) || end <= len(s.bytes) || end > maxStream {
			continue // beyond a gap, or sent again
		}
		s.bytes = append(s.bytes, t.Payload[len(s.bytes)-start:]...)
		s.packets = append(s.packets, packet{r, p, t, span{start, end}})
	}
	return s
}

// parse decodes an IP packet with TCP in it; nil if it is none.
func parse(raw []byte) (gopacket.Packet, *layers.TCP) {
	if len(raw) == 0 {
		return nil, nil
	}
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if raw[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(raw, first, gopacket.Default)
	t, _ := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	return p, t
}

// between reports whether a segment goes from one end to the other.
func between(p gopacket.Packet, t *layers.TCP, from, to netip.AddrPort) bool {
	flow := p.NetworkLayer().NetworkFlow()
	src, _ := netip.AddrFromSlice(flow.Src().Raw())
	dst, _ := netip.AddrFromSlice(flow.Dst().Raw())
	return netip.AddrPortFrom(src, uint16(t.SrcPort)) == from && netip.AddrPortFrom(dst, uint16(t.DstPort)) == to
}

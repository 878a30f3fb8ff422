package osi

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/google/gopacket/layers"
)

// transport takes the TCP header of a packet apart.
func (s *stream) transport(p *packet, carried string) Layer {
	t := p.tcp
	head := t.LayerContents()
	l := Layer{
		Number: 4, Name: "transport", Adds: len(head), Hex: hexDump(head),
		Text: []string{fmt.Sprintf("TCP: a header of %d bytes, which %s.", len(head), carried)},
	}
	add := func(name, format string, args ...any) {
		l.Fields = append(l.Fields, Field{name, fmt.Sprintf(format, args...)})
	}
	add("source port", "%d, the door that the sender goes out by", t.SrcPort)
	add("destination port", "%d, the door that it knocks at", t.DstPort)
	add("sequence number", "%d, the initial one + %d: the number of the first byte", t.Seq, t.Seq-s.isn)
	add("acknowledgment", "%d, the number expected next from the other side", t.Ack)
	add("data offset", "%d words of 4 bytes: where the data begins", t.DataOffset)
	add("flags", "%s", flagNames(t))
	add("window", "%d, to be scaled as the SYN said: room for that much", t.Window)
	add("checksum", "0x%04x over this header, the data and the two addresses", t.Checksum)
	add("urgent pointer", "%d", t.Urgent)
	for _, o := range t.Options {
		if o.OptionType != layers.TCPOptionKindNop && o.OptionType != layers.TCPOptionKindEndList {
			add("option", "%s", optionText(o))
		}
	}
	return l
}

func flagNames(t *layers.TCP) string {
	var names []string
	for _, f := range []struct {
		set  bool
		name string
	}{
		{t.SYN, "SYN"}, {t.FIN, "FIN"}, {t.RST, "RST"}, {t.PSH, "PSH (give it to the application)"},
		{t.ACK, "ACK (the acknowledgment counts)"}, {t.URG, "URG"}, {t.ECE, "ECE"}, {t.CWR, "CWR"},
	} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}

func optionText(o layers.TCPOption) string {
	if o.OptionType == layers.TCPOptionKindTimestamps && len(o.OptionData) == 8 {
		return fmt.Sprintf("timestamps %d, echoing %d: 10 bytes, and 2 to fill the word", be32(o.OptionData), be32(o.OptionData[4:]))
	}
	return fmt.Sprintf("%s %x", o.OptionType, o.OptionData)
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// network takes the IP header of a packet apart.
func network(p *packet) Layer {
	l := Layer{Number: 3, Name: "network"}
	add := func(name, format string, args ...any) {
		l.Fields = append(l.Fields, Field{name, fmt.Sprintf(format, args...)})
	}
	switch h := p.parsed.NetworkLayer().(type) {
	case *layers.IPv4:
		l.set("IPv4", h.LayerContents())
		add("version, length", "%d, %d words of 4 bytes", h.Version, h.IHL)
		add("total length", "%d bytes: this header and all above it", h.Length)
		add("identification", "%d; flags: %s", h.Id, cmp.Or(h.Flags.String(), "none"))
		add("time to live", "%d routers may pass it on", h.TTL)
		add("protocol", "%d, %s: whom to give it to", uint8(h.Protocol), h.Protocol)
		add("header checksum", "0x%04x over this header", h.Checksum)
		add("source", "%s, the house it comes from", h.SrcIP)
		add("destination", "%s, the house it goes to", h.DstIP)
	case *layers.IPv6:
		l.set("IPv6", h.LayerContents())
		add("version", "%d; flow label 0x%05x", h.Version, h.FlowLabel)
		add("payload length", "%d bytes: all above this header", h.Length)
		add("next header", "%d, %s: whom to give it to", uint8(h.NextHeader), h.NextHeader)
		add("hop limit", "%d routers may pass it on", h.HopLimit)
		add("source", "%s, the house it comes from", h.SrcIP)
		add("destination", "%s, the house it goes to", h.DstIP)
	}
	return l
}

func (l *Layer) set(name string, head []byte) {
	l.Adds, l.Hex = len(head), hexDump(head)
	l.Text = []string{fmt.Sprintf("%s: a header of %d bytes.", name, len(head))}
}

// Package osi takes one HTTP request and its answer apart into the seven layers of the OSI
// model, from the bytes that the application wrote to the bytes on the wire: what each
// layer added, its header in hex and field by field, decoded from the packets that were
// captured.
//
// gopacket decodes: the package is for people, and a second opinion on our own headers.
package osi

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Anatomy is a request and its answer.
type Anatomy struct {
	Client netip.AddrPort `json:"client"`
	Server netip.AddrPort `json:"server"`
	// Request goes down the layers at the client. Its Layers are 7 to 1.
	Request Message `json:"request"`
	// Answer is what came back, of which the upper layers have more to show.
	Answer Message `json:"answer"`
}

// Message is one HTTP message on its way.
type Message struct {
	Layers []Layer `json:"layers"`
	// AppBytes is the length of the message as the application wrote it, WireBytes that
	// of the packets that carried it, Packets their number.
	AppBytes  int `json:"app_bytes"`
	WireBytes int `json:"wire_bytes"`
	Packets   int `json:"packets"`
}

// Layer is what one layer did.
type Layer struct {
	Number int    `json:"number"` // 7 to 1
	Name   string `json:"name"`
	// Adds is how many bytes it put in front of what it was given, in the first packet;
	// layers 7 to 5 share the message among them.
	Adds int `json:"adds"`
	// Text says what there is to know, a line each.
	Text []string `json:"text"`
	// Hex is the header, as on the wire.
	Hex    string  `json:"hex,omitempty"`
	Fields []Field `json:"fields,omitempty"`
}

// Field is one field of a header.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Wire says what the packets crossed.
type Wire struct {
	Link     string // what layer 2 has to say
	Physical string // what layer 1 has
}

// The wires of the demo.
var (
	// TUN is a TUN interface.
	TUN = Wire{
		Link: "a TUN carries IP packets and no frames: there is no MAC address to write. " +
			"Ethernet would put 14 bytes in front and 4 behind.",
		Physical: "no cable and no radio: the kernel hands the bytes to portico through /dev/net/tun.",
	}
	// Pipe is package link/pipe.
	Pipe = Wire{
		Link:     "the wire is a pipe in memory: no frames, and so no MAC addresses.",
		Physical: "no cable and no radio: a queue in the memory of one process.",
	}
)

// ErrNoExchange is returned when the packets hold no complete request and answer.
var ErrNoExchange = errors.New("osi: no complete HTTP request and answer among the packets")

// TakeApart takes the last HTTP exchange of the connection between client and server
// apart. packets are IP packets in the order in which they crossed the wire.
func TakeApart(packets [][]byte, client, server netip.AddrPort, wire Wire) (*Anatomy, error) {
	up := collect(packets, client, server)
	down := collect(packets, server, client)
	ex, err := lastExchange(up.bytes, down.bytes)
	if err != nil {
		return nil, err
	}
	a := &Anatomy{Client: client, Server: server}
	if a.Request, err = a.message(up, ex.request, ex.requestLayers(), wire); err != nil {
		return nil, err
	}
	if a.Answer, err = a.message(down, ex.answer, ex.answerLayers(), wire); err != nil {
		return nil, err
	}
	return a, nil
}

// span is a range of bytes of a stream.
type span struct{ start, end int }

func (s span) len() int { return s.end - s.start }

// message describes the message at span of a stream: the upper layers are given, the
// lower ones are read off its first packet.
func (a *Anatomy) message(s *stream, at span, upper []Layer, wire Wire) (Message, error) {
	m := Message{Layers: upper, AppBytes: at.len()}
	var first *packet
	for i := range s.packets {
		p := &s.packets[i]
		if p.at.start < at.end && p.at.end > at.start {
			if first == nil {
				first = p
			}
			m.Packets++
			m.WireBytes += len(p.raw)
		}
	}
	if first == nil {
		return m, ErrNoExchange
	}
	carried := fmt.Sprintf("carries %d of the %d bytes", min(first.at.end, at.end)-max(first.at.start, at.start), at.len())
	if m.Packets == 1 {
		carried = fmt.Sprintf("carries all %d bytes in one segment", at.len())
	} else {
		carried += fmt.Sprintf("; %d segments carry them all, and this is the first", m.Packets)
	}
	m.Layers = append(m.Layers, s.transport(first, carried), network(first),
		Layer{Number: 2, Name: "data link", Text: []string{wire.Link}},
		Layer{Number: 1, Name: "physical", Text: []string{wire.Physical}})
	return m, nil
}

// hexDump writes bytes in groups of four.
func hexDump(b []byte) string {
	var sb strings.Builder
	for i, v := range b {
		if i > 0 && i%4 == 0 {
			sb.WriteByte(' ')
		}
		fmt.Fprintf(&sb, "%02x", v)
	}
	return sb.String()
}

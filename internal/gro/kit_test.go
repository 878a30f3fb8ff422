package gro

import (
	"bytes"
	"net"
	"testing"

	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/internal/wire"
	"github.com/a644562b/portico/link"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// segment describes a packet; gopacket writes it.
type segment struct {
	is4, fin, psh, ece, cwr, fragmentable bool
	tos, ttl                              uint8
	label                                 uint32 // the flow label of IPv6
	id                                    uint16
	seq, ack                              uint32
	window                                uint16
	options                               []layers.TCPOption
	payload                               []byte
}

// timestamps are the options of a segment that says val (RFC 7323).
func timestamps(val byte) []layers.TCPOption {
	return []layers.TCPOption{{OptionType: 1}, {OptionType: 1},
		{OptionType: 8, OptionLength: 10, OptionData: []byte{0, 0, 0, val, 5, 6, 7, 8}}}
}

// plain is a segment of n bytes of payload like any other in the middle of a stream.
func plain(is4 bool, n int) segment {
	return segment{is4: is4, ttl: 64, id: 7, seq: 1000, ack: 77, window: 512, options: timestamps(1), payload: pattern(n)}
}

// next is the segment that follows s, with n bytes.
func (s segment) next(n int) segment {
	s.seq += uint32(len(s.payload))
	s.id++
	s.cwr = false
	s.payload = pattern(n + int(s.seq&0xff))[s.seq&0xff:]
	return s
}

// pattern is n bytes in which no two places nearby look the same.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8*37)
	}
	return b
}

// packet is the packet with all lengths and checksums.
func (s segment) packet(t failer) []byte {
	t.Helper()
	tcp := &layers.TCP{SrcPort: 40000, DstPort: 80, Seq: s.seq, Ack: s.ack, ACK: true, Window: s.window,
		FIN: s.fin, PSH: s.psh, ECE: s.ece, CWR: s.cwr, Options: s.options}
	var ip gopacket.SerializableLayer
	if s.is4 {
		ip4 := &layers.IPv4{Version: 4, TTL: s.ttl, TOS: s.tos, Id: s.id, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolTCP,
			SrcIP: net.IPv4(10, 77, 0, 1).To4(), DstIP: net.IPv4(10, 77, 0, 2).To4()}
		if s.fragmentable {
			ip4.Flags = 0
		}
		ip = ip4
	} else {
		ip = &layers.IPv6{Version: 6, HopLimit: s.ttl, TrafficClass: s.tos, FlowLabel: s.label, NextHeader: layers.IPProtocolTCP,
			SrcIP: net.ParseIP("fd77::1"), DstIP: net.ParseIP("fd77::2")}
	}
	if err := tcp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)); err != nil {
		t.Fatalf("%v", err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp, gopacket.Payload(s.payload)); err != nil {
		t.Fatalf("%v", err)
	}
	return b.Bytes()
}

// resum puts the checksums of IPv4 and TCP right in a packet that was changed, where
// there are such headers; it looks for no more than their places.
func resum(b []byte) {
	at := wire.IP6HeaderLen
	pseudo := uint32(0)
	if b[0]>>4 == 4 {
		at = int(b[0]&0xf) * 4
		wire.Put16(b[wire.IP4Checksum:], 0)
		wire.Put16(b[wire.IP4Checksum:], ^slowSum(0, b[:at]))
		pseudo = uint32(slowSum(0, b[wire.IP4Addrs:wire.IP4HeaderLen]))
	} else {
		pseudo = uint32(slowSum(0, b[wire.IP6Addrs:wire.IP6HeaderLen]))
	}
	t := b[at:]
	wire.Put16(t[wire.TCPChecksum:], 0)
	wire.Put16(t[wire.TCPChecksum:], ^slowSum(pseudo+wire.ProtoTCP+uint32(len(t)), t))
}

// slowSum is the Internet checksum as RFC 1071 explains it.
func slowSum(sum uint32, b []byte) uint16 {
	for i, v := range b {
		if i%2 == 0 {
			sum += uint32(v) << 8
		} else {
			sum += uint32(v)
		}
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum>>16 + sum&0xffff)
}

// reader does what a queue does with packets that it reads one after another.
type reader struct {
	t      failer
	memory int // for each frame, in bytes
	train  Train
	frames []*link.Frame
}

func newReader(t failer) *reader { return &reader{t: t, memory: link.MaxFrame} }

// take reads a packet and reports whether it was joined to the one before.
func (r *reader) take(packet []byte, o link.Offload) bool {
	if header, room := r.train.Next(); room != nil && len(packet) >= header {
		copy(room, packet[header:])
		before := r.last()
		if len(packet)-header <= len(room) && r.train.Append(bytes.Clone(packet[:header]), len(packet)-header, o) {
			return true
		}
		if after := r.last(); len(before.Data) != len(after.Data) || !bytes.Equal(before.Data, after.Data) {
			r.t.Fatalf("the train has changed by a segment that does not continue it")
		}
	}
	r.train.Finish()
	// What lies behind the memory is not the frame's.
	memory := make([]byte, max(r.memory, len(packet))+1000)[:max(r.memory, len(packet))]
	f := &link.Frame{Data: memory[:copy(memory, packet)], Offload: o}
	r.train.Start(f, memory)
	r.frames = append(r.frames, f)
	return false
}

// last is a copy of the last frame as it is now.
func (r *reader) last() link.Frame {
	f := *r.frames[len(r.frames)-1]
	f.Data = bytes.Clone(f.Data)
	return f
}

// finish ends the reading and returns what was read.
func (r *reader) finish() []*link.Frame {
	r.train.Finish()
	return r.frames
}

// joined reads packets whose checksums nobody vouches for.
func joined(t failer, packets ...[]byte) []*link.Frame {
	r := newReader(t)
	for _, p := range packets {
		r.take(p, link.Offload{})
	}
	return r.finish()
}

// split are the packets that frames stand for.
func split(t failer, frames ...*link.Frame) (packets [][]byte) {
	t.Helper()
	for _, f := range frames {
		if err := gso.Split(f, func(p *link.Frame) { packets = append(packets, bytes.Clone(p.Data)) }); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return packets
}

// same compares packets bit by bit.
func same(t failer, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("packet %d of %d is\n%x, was\n%x", i, len(want), got[i], want[i])
		}
	}
}

var families = map[string]bool{"IPv4": true, "IPv6": false}

func bothFamilies(t *testing.T, f func(t *testing.T, is4 bool)) {
	for name, is4 := range families {
		t.Run(name, func(t *testing.T) { f(t, is4) })
	}
}

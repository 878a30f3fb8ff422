package stack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// wire is the far end of a stack's wire, in the hands of a test: packets are made and
// read by gopacket, which knows nothing of our code.
type wire struct {
	t    *testing.T
	s    *Stack
	dev  *pipe.Device
	sent chan []byte
}

// withWire runs a test in virtual time against the server's stack.
func withWire(t *testing.T, cfg Config, f func(t *testing.T, w *wire)) {
	t.Helper()
	withWireOf(t, cfg, pipe.Config{}, f)
}

func withWireOf(t *testing.T, cfg Config, pc pipe.Config, f func(t *testing.T, w *wire)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		far, near := pipe.New(pc)
		w := &wire{t: t, s: newStack(t, near, cfg), dev: far, sent: make(chan []byte, 4096)}
		go w.read()
		f(t, w)
		synctest.Wait()
		balanced(t, w.s.Stats())
		w.s.Close()
		far.Close()
	})
}

func (w *wire) read() {
	frames := []link.Frame{{Data: make([]byte, link.MaxFrame)}}
	for {
		if _, err := w.dev.Queues()[0].Read(frames); err != nil {
			return
		}
		w.sent <- append([]byte(nil), frames[0].Data...)
		frames[0].Data = frames[0].Data[:cap(frames[0].Data)]
	}
}

// raw gives the stack a packet.
func (w *wire) raw(packet []byte) {
	w.t.Helper()
	if _, err := w.dev.Queues()[0].Write([]link.Frame{{Data: packet}}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// want verifies that the stack has sent exactly these packets, as describe puts them.
func (w *wire) want(packets ...string) {
	w.t.Helper()
	synctest.Wait()
	var got []string
	for len(w.sent) > 0 {
		got = append(got, describe(w.t, <-w.sent))
	}
	if len(got) != len(packets) {
		w.t.Fatalf("sent\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(packets, "\n\t"))
	}
	for i := range got {
		if got[i] != packets[i] {
			w.t.Errorf("sent\n\t%s\nwant\n\t%s", got[i], packets[i])
		}
	}
}

// wantDrop verifies that exactly one packet was dropped for a reason, and nothing sent.
func (w *wire) wantDrop(reason string) {
	w.t.Helper()
	w.want()
	if n := w.s.Stats().Drops[reason]; n != 1 {
		w.t.Errorf("%d drops for %s, want 1; all: %v", n, reason, w.s.Stats().Drops)
	}
}

// packet makes a packet from the client to dst, IPv4 or IPv6 as dst is, of some layers,
// lengths and checksums filled in.
func packet(src, dst netip.Addr, l ...gopacket.SerializableLayer) []byte {
	var network gopacket.NetworkLayer
	var first gopacket.SerializableLayer
	protocol := protocolOf(l[0])
	if dst.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 61, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		network, first = ip, ip
	} else {
		ip := &layers.IPv6{Version: 6, HopLimit: 61, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		network, first = ip, ip
	}
	for _, layer := range l {
		if c, ok := layer.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			c.SetNetworkLayerForChecksum(network)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, append([]gopacket.SerializableLayer{first}, l...)...); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func protocolOf(l gopacket.SerializableLayer) layers.IPProtocol {
	switch l.LayerType() {
	case layers.LayerTypeTCP:
		return layers.IPProtocolTCP
	case layers.LayerTypeUDP:
		return layers.IPProtocolUDP
	case layers.LayerTypeICMPv4:
		return layers.IPProtocolICMPv4
	case layers.LayerTypeICMPv6:
		return layers.IPProtocolICMPv6
	}
	return 99
}

// The client and the server by a family.
func pairOf(six bool) (client, server netip.Addr) {
	if six {
		return client6, server6
	}
	return client4, server4
}

func udpPacket(src, dst netip.AddrPort, payload string) []byte {
	u := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
	return packet(src.Addr(), dst.Addr(), u, gopacket.Payload(payload))
}

// tcpPacket makes a segment; flags are letters of "SAFRP".
func tcpPacket(src, dst netip.AddrPort, flags string, seq, ack uint32, payload string) []byte {
	has := func(f string) bool { return strings.Contains(flags, f) }
	h := &layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: seq, Ack: ack, Window: 65535,
		SYN: has("S"), ACK: has("A"), FIN: has("F"), RST: has("R"), PSH: has("P"),
	}
	return packet(src.Addr(), dst.Addr(), h, gopacket.Payload(payload))
}

// describe puts a packet that the stack sent into words, and fails the test when a
// length or checksum in it is wrong.
func describe(t *testing.T, b []byte) string {
	t.Helper()
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket cannot read % x: %v", b, e.Error())
	}
	verifySums(t, p)
	out := fmt.Sprintf("%v>%v", p.NetworkLayer().NetworkFlow().Src(), p.NetworkLayer().NetworkFlow().Dst())
	for _, l := range p.Layers()[1:] {
		switch l := l.(type) {
		case *layers.TCP:
			out += fmt.Sprintf(" TCP %d>%d %s seq %d ack %d", l.SrcPort, l.DstPort, tcpFlags(l), l.Seq, l.Ack)
		case *layers.UDP:
			out += fmt.Sprintf(" UDP %d>%d %q", l.SrcPort, l.DstPort, l.Payload)
		case *layers.ICMPv4:
			out += fmt.Sprintf(" ICMP %v %d/%d %q", l.TypeCode, l.Id, l.Seq, clip(l.Payload))
		case *layers.ICMPv6:
			out += fmt.Sprintf(" ICMP %v %q", l.TypeCode, clip(l.Payload))
		}
	}
	return out
}

// clip shortens what an error quotes to its length.
func clip(b []byte) string {
	if len(b) < 28 {
		return string(b)
	}
	return fmt.Sprintf("%d bytes", len(b))
}

func tcpFlags(l *layers.TCP) string {
	var names []string
	for _, f := range []struct {
		set  bool
		name string
	}{{l.SYN, "SYN"}, {l.FIN, "FIN"}, {l.RST, "RST"}, {l.PSH, "PSH"}, {l.ACK, "ACK"}} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ",")
}

// verifySums sums headers and payload in the plainest way.
func verifySums(t *testing.T, p gopacket.Packet) {
	t.Helper()
	flow := p.NetworkLayer().NetworkFlow()
	pseudo := append(append([]byte(nil), flow.Src().Raw()...), flow.Dst().Raw()...)
	body := p.NetworkLayer().LayerPayload()
	var protocol layers.IPProtocol
	switch l := p.NetworkLayer().(type) {
	case *layers.IPv4:
		protocol = l.Protocol
		if plainSum(l.Contents) != 0xffff {
			t.Errorf("wrong IPv4 header checksum in % x", l.Contents)
		}
		if protocol == layers.IPProtocolICMPv4 || protocol == layers.IPProtocolIGMP {
			pseudo, protocol = nil, 0
		}
	case *layers.IPv6:
		protocol = l.NextHeader
		if protocol == layers.IPProtocolIPv6HopByHop {
			options := p.Data()[40:]
			protocol, body = layers.IPProtocol(options[0]), options[8+8*int(options[1]):]
		}
	}
	if pseudo != nil {
		pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(body)))
		pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(protocol))
	}
	if plainSum(append(pseudo, body...)) != 0xffff {
		t.Errorf("wrong checksum in % x", p.Data())
	}
}

func plainSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

package tun

import (
	"net"
	"net/netip"
	"testing"

	"github.com/a644562b/portico/link"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	// peerMSS is what the peer announces, and so the GSO size of what it is sent.
	peerMSS = 1000
	peerISS = 1_000_000
)

// tcpPeer is as much of a TCP as it takes to answer one connection of the kernel: it
// can shake hands and knows what comes next.
type tcpPeer struct {
	h    *host
	q    link.Queue
	flow flow
	seq  uint32 // the next of ours
	ack  uint32 // the next of the kernel's
}

// connect makes the kernel connect to f.local, and answers it.
func (h *host) connect(f flow) (*net.TCPConn, *tcpPeer) {
	h.t.Helper()
	type result struct {
		c   net.Conn
		err error
	}
	dialed := make(chan result)
	go func() {
		c, err := net.Dial("tcp", f.local.String())
		dialed <- result{c, err}
	}()
	p := &tcpPeer{h: h, q: h.Queues()[0], flow: f, seq: peerISS}
	syn := p.segment()
	if !syn.SYN || syn.ACK {
		h.t.Fatalf("%+v, want a SYN", syn)
	}
	p.flow.remote = netip.AddrPortFrom(f.remote.Addr(), uint16(syn.SrcPort))
	p.ack = syn.Seq + 1
	h.write(p.q, link.Frame{Data: p.packet(&layers.TCP{SYN: true, ACK: true, Options: []layers.TCPOption{
		{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{peerMSS >> 8, peerMSS & 0xff}}}}, nil)})
	p.seq++
	r := <-dialed
	if r.err != nil {
		h.t.Fatal(r.err)
	}
	h.t.Cleanup(func() { r.c.Close() })
	if ack := p.segment(); !ack.ACK || ack.Ack != p.seq {
		h.t.Fatalf("%+v, want the ACK of %d", ack, p.seq)
	}
	return r.c.(*net.TCPConn), p
}

// next is the next frame of the kernel's to us.
func (p *tcpPeer) next() link.Frame {
	p.h.t.Helper()
	return p.h.read(p.q, p.flow)
}

func (p *tcpPeer) segment() *layers.TCP {
	p.h.t.Helper()
	return decode(p.h.t, p.next().Data).TransportLayer().(*layers.TCP)
}

// packet is a whole packet of ours; it fills in ports, numbers and window.
func (p *tcpPeer) packet(tcp *layers.TCP, payload []byte) []byte {
	p.h.t.Helper()
	tcp.SrcPort, tcp.DstPort = layers.TCPPort(p.flow.local.Port()), layers.TCPPort(p.flow.remote.Port())
	tcp.Seq, tcp.Ack, tcp.Window = p.seq, p.ack, 65535
	return tcpPacket(p.h.t, p.flow, tcp, payload)
}

// data is a super-segment of the payload, which takes its numbers.
func (p *tcpPeer) data(payload []byte) link.Frame {
	p.h.t.Helper()
	packet := p.packet(&layers.TCP{ACK: true, PSH: true}, payload)
	p.seq += uint32(len(payload))
	return partial(p.flow, packet, 6, 16, p.flow.headerLen()+20, 1400)
}

func tcpPacket(t testing.TB, f flow, tcp *layers.TCP, payload []byte) []byte {
	t.Helper()
	ip := f.network(layers.IPProtocolTCP)
	tcp.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer))
	return serialize(t, ip, tcp, gopacket.Payload(payload))
}

// tcpFrame is a super-segment, which every kernel takes.
func tcpFrame(t testing.TB, f flow, size int, payload []byte) link.Frame {
	t.Helper()
	return partial(f, tcpPacket(t, f, &layers.TCP{ACK: true}, payload), 6, 16, f.headerLen()+20, size)
}

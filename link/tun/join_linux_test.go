package tun

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// injector puts packets into the TUN from the kernel's side as they are.
type injector struct {
	h  *host
	fd int
	to unix.SockaddrLinklayer
}

func (h *host) injector() *injector {
	h.t.Helper()
	nic, err := net.InterfaceByName(h.Name())
	if err != nil {
		h.t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		h.t.Cleanup(func() { unix.Close(fd) })
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return &injector{h: h, fd: fd, to: unix.SockaddrLinklayer{Ifindex: nic.Index}}
}

// inject sends a frame to the TUN.
func (i *injector) inject(f link.Frame) {
	i.h.t.Helper()
	var hdr vnetHdr
	hdr.encode(&f.Offload)
	i.to.Protocol = binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff})
	if f.Data[0]>>4 == 6 {
		i.to.Protocol = binary.NativeEndian.Uint16([]byte{unix.ETH_P_IPV6 >> 8, unix.ETH_P_IPV6 & 0xff})
	}
	if err := unix.Sendto(i.fd, f.AppendTo(hdr[:]), 0, &i.to); err != nil {
		i.h.t.Fatal(err)
	}
}

// sender makes the segments of one connection, from behind the kernel to us.
type sender struct {
	t    testing.TB
	flow flow
	id   uint16
	seq  uint32
}

// sender is one whose port is that of f.
func (h *host) sender(f flow) *sender {
	return &sender{t: h.t, flow: flow{local: f.remote, remote: f.local}, seq: 1}
}

// packet is the next segment, of n bytes.
func (s *sender) packet(n int, psh bool) []byte {
	s.t.Helper()
	tcp := &layers.TCP{SrcPort: layers.TCPPort(s.flow.local.Port()), DstPort: layers.TCPPort(s.flow.remote.Port()),
		Seq: s.seq, Ack: 1, Window: 100, ACK: true, PSH: psh}
	b := tcpPacket(s.t, s.flow, tcp, pattern(n + int(s.seq&0xff))[s.seq&0xff:])
	if s.flow.is4() {
		binary.BigEndian.PutUint16(b[4:], s.id)
		binary.BigEndian.PutUint16(b[10:], 0)
		binary.BigEndian.PutUint16(b[10:], ^checksum.Sum(0, b[:20]))
	}
	s.seq += uint32(n)
	s.id++
	return b
}

// super is the next n bytes as a super-segment.
func (s *sender) super(n, size int) link.Frame {
	b := s.packet(n, true)
	s.id += uint16((n+size-1)/size - 1)
	return partial(s.flow, b, 6, 16, s.flow.headerLen()+20, size)
}

// packets are those that frames stand for.
func packets(t testing.TB, frames ...link.Frame) (all [][]byte) {
	t.Helper()
	for i := range frames {
		if err := gso.Split(&frames[i], func(p *link.Frame) { all = append(all, bytes.Clone(p.Data)) }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func wantPackets(t testing.TB, got, want [][]byte) {
	t.Helper()
	for i := range want {
		if i >= len(got) || !bytes.Equal(got[i], want[i]) {
			t.Fatalf("packet %d of %d (%d were read) is not as it was sent", i, len(want), len(got))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d packets were read, %d sent", len(got), len(want))
	}
}

// readAll reads until there are as many packets as were sent, room frames at once.
func (h *host) readAll(room, packetsSent int) (frames []link.Frame) {
	h.t.Helper()
	for len(packets(h.t, frames...)) < packetsSent {
		some := readFrames(room, link.MaxFrame)
		n, err := h.Queues()[0].Read(some)
		if err != nil {
			h.t.Fatal(err)
		}
		frames = append(frames, some[:n]...)
	}
	return frames
}

func TestSegmentsThatFollowOneAnotherAreReadAsOneFrame(t *testing.T) {
	for _, version := range []int{4, 6} {
		h := newHost(t, Config{})
		f := h.flow(version, 6000)
		in, s := h.injector(), h.sender(f)
		var sent [][]byte
		for i := range 10 {
			sent = append(sent, s.packet(1400, i == 9))
			in.inject(link.Frame{Data: sent[i]})
		}
		frames := readFrames(4, link.MaxFrame)
		n, err := h.Queues()[0].Read(frames)
		if n != 1 || err != nil {
			t.Fatalf("IPv%d: %d frames, %v, want 1", version, n, err)
		}
		start := uint16(f.headerLen())
		want := link.Offload{GSO: map[int]link.GSO{4: link.GSOTCP4, 6: link.GSOTCP6}[version], GSOSize: 1400, HeaderLen: start + 20,
			Checksum: link.ChecksumPartial, ChecksumStart: start, ChecksumOffset: 16}
		if frames[0].Offload != want {
			t.Errorf("IPv%d: offload %+v, want %+v", version, frames[0].Offload, want)
		}
		wantPackets(t, packets(t, frames[0]), sent)
		h.wantStats(Stats{})
	}
}

// TestReadOfAMixGivesEveryPacketAsItWasSent: segments of two connections, super-segments that the
// kernel has left whole, ACKs and datagrams of any length follow one another in any order.
func TestReadOfAMixGivesEveryPacketAsItWasSent(t *testing.T) {
	const seeds, each = 30, 60
	for _, version := range []int{4, 6} {
		h := newHost(t, Config{})
		f := h.flow(version, 6000)
		in := h.injector()
		sent, read := 0, 0
		for seed := range uint64(seeds) {
			rng := rand.New(rand.NewPCG(seed, 1))
			a, b := h.sender(f), h.sender(f)
			b.flow.local = net.UDPAddrFromAddrPort(b.flow.local).AddrPort()
			a.seq, b.seq = rng.Uint32(), rng.Uint32()
			var frames []link.Frame
			s, size := a, 1400
			for range each {
				switch rng.IntN(60) {
				case 0:
					s = a
				case 1:
					s = b
				case 2:
					frames = append(frames, link.Frame{Data: s.packet(0, false)})
				case 3:
					frames = append(frames, link.Frame{Data: udpPacket(t, s.flow, pattern(rng.IntN(1+rng.IntN(1400))))})
				case 4:
					frames = append(frames, s.super(size+1+rng.IntN(30_000), size))
				case 5:
					size = 1 + rng.IntN(1400)
				case 6:
					s.seq += rng.Uint32N(3000) // lost
				default:
					frames = append(frames, link.Frame{Data: s.packet(size, rng.IntN(20) == 0)})
				}
			}
			want := packets(t, frames...)
			for _, f := range frames {
				in.inject(f)
			}
			got := h.readAll(1+rng.IntN(8), len(want))
			wantPackets(t, packets(t, got...), want)
			sent, read = sent+len(frames), read+len(got)
		}
		if read > sent/2 {
			t.Errorf("IPv%d: %d frames were read as %d: too few were joined for a proof", version, sent, read)
		}
		h.wantStats(Stats{})
	}
}

// TestReadJoinsWhatTheKernelDoesNot: a kernel that may not send super-segments leaves the
// checksums to us nevertheless.
func TestReadJoinsWhatTheKernelDoesNot(t *testing.T) {
	for _, version := range []int{4, 6} {
		h := newHost(t, Config{})
		nstest.IP(t, fmt.Sprintf("link set dev %s gso_max_segs 1", h.Name()))
		f := h.flow(version, 0)
		c, _ := h.connect(f)
		sent := pattern(10*peerMSS - 100)
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		frames := readFrames(4, link.MaxFrame)
		if n, err := h.Queues()[0].Read(frames); n != 1 || err != nil {
			t.Fatalf("IPv%d: Read = %d, %v, want 1 frame", version, n, err)
		}
		frame := frames[0]
		start := uint16(f.headerLen())
		want := link.Offload{GSO: map[int]link.GSO{4: link.GSOTCP4, 6: link.GSOTCP6}[version], GSOSize: peerMSS, HeaderLen: start + 20,
			Checksum: link.ChecksumPartial, ChecksumStart: start, ChecksumOffset: 16}
		if frame.Offload != want {
			t.Errorf("IPv%d: offload %+v, want %+v", version, frame.Offload, want)
		}
		tcp := decode(t, frame.Data).TransportLayer().(*layers.TCP)
		if !bytes.Equal(tcp.Payload, sent) || !tcp.PSH {
			t.Errorf("IPv%d: %d bytes of %d, PSH %v", version, len(tcp.Payload), len(sent), tcp.PSH)
		}
	}
}

func TestReadWithOffloadsOffJoinsNothing(t *testing.T) {
	h := newHost(t, Config{Offload: OffloadOff})
	in, s := h.injector(), h.sender(h.flow(4, 6000))
	var sent [][]byte
	for range 5 {
		sent = append(sent, s.packet(1000, false))
		in.inject(link.Frame{Data: sent[len(sent)-1]})
	}
	frames := h.readAll(8, 5)
	for i, f := range frames {
		if f.Offload != (link.Offload{}) || !bytes.Equal(f.Data, sent[i]) {
			t.Errorf("frame %d: %d bytes, offload %+v", i, len(f.Data), f.Offload)
		}
	}
}

// TestReadEndsThoughSegmentsFollow: who sends segments without end, be they of one byte, does
// not keep a Read from returning.
func TestReadEndsThoughSegmentsFollow(t *testing.T) {
	h := newHost(t, Config{})
	in, s := h.injector(), h.sender(h.flow(4, 6000))
	const sent = 2*maxReads + 10
	for range sent {
		in.inject(link.Frame{Data: s.packet(1, false)})
	}
	for _, want := range []int{maxReads, maxReads, 10} {
		frames := readFrames(8, link.MaxFrame)
		n, err := h.Queues()[0].Read(frames)
		if err != nil || n != 1 || len(frames[0].Data) != 40+want {
			t.Errorf("Read = %d, %v with %d bytes of payload, want 1 frame of %d", n, err, len(frames[0].Data)-40, want)
		}
	}
}

// TestReadJoinsWithinTheMemoryOfAFrame, also behind a packet that does not fit, which is
// dropped between.
func TestReadJoinsWithinTheMemoryOfAFrame(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	in, s := h.injector(), h.sender(f)
	const room = 40 + 3*1000 + 500
	var sent [][]byte
	inject := func(n int) {
		sent = append(sent, s.packet(n, false))
		in.inject(link.Frame{Data: sent[len(sent)-1]})
	}
	inject(1000)
	inject(1000)
	other := h.sender(f)
	other.flow.local = net.UDPAddrFromAddrPort(other.flow.local).AddrPort()
	in.inject(other.super(20_000, 1000))
	for range 3 {
		inject(1000)
	}
	memory := readFrames(4, room+1000)
	frames := make([]link.Frame, len(memory))
	for i := range frames {
		frames[i].Data = memory[i].Data[:room] // there is more, which is not the frame's
	}
	n, err := h.Queues()[0].Read(frames)
	if err != nil || n != 2 {
		t.Fatalf("Read = %d, %v, want 2", n, err)
	}
	if a, b := len(frames[0].Data), len(frames[1].Data); a != 40+3000 || b != 40+2000 {
		t.Errorf("frames of %d and %d bytes", a, b)
	}
	wantPackets(t, packets(t, frames[:n]...), sent)
	h.wantStats(Stats{ReadTooLong: 1})
	// The last frame has less room than a segment that is to follow: it is not tried.
	in.inject(link.Frame{Data: s.packet(1000, false)})
	in.inject(link.Frame{Data: s.packet(1000, false)})
	frames = []link.Frame{{Data: make([]byte, room)}, {Data: make([]byte, 100)}}
	if n, err := h.Queues()[0].Read(frames); n != 1 || err != nil || len(frames[0].Data) != 1040 {
		t.Errorf("Read = %d, %v with %d bytes", n, err, len(frames[0].Data))
	}
	h.wantStats(Stats{ReadTooLong: 2})
}

// TestReadGoesOnBehindPacketsToDrop, however many they are.
func TestReadGoesOnBehindPacketsToDrop(t *testing.T) {
	h := newHost(t, Config{})
	in, s := h.injector(), h.sender(h.flow(4, 6000))
	for range maxReads + 1 {
		in.inject(link.Frame{Data: s.packet(200, false)})
	}
	in.inject(link.Frame{Data: s.packet(100, false)})
	frames := readFrames(2, 150)
	if n, err := h.Queues()[0].Read(frames); n != 1 || err != nil || len(frames[0].Data) != 140 {
		t.Errorf("Read = %d, %v with %d bytes, want 1 frame of 140", n, err, len(frames[0].Data))
	}
	h.wantStats(Stats{ReadTooLong: maxReads + 1})
}

// BenchmarkReadSegments takes 40 segments of an Ethernet from the kernel at a time, joined and
// each for itself.
func BenchmarkReadSegments(b *testing.B) {
	for _, mode := range []OffloadMode{OffloadAuto, OffloadOff} {
		b.Run(mode.String(), func(b *testing.B) {
			const segments, size = 40, 1460
			h := newHost(b, Config{Offload: mode})
			in, s := h.injector(), h.sender(h.flow(4, 6000))
			var sent [segments]link.Frame
			for i := range sent {
				sent[i].Data = s.packet(size, false)
			}
			frames := readFrames(segments, link.MaxFrame)
			b.SetBytes(segments * size)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for _, f := range sent {
					in.inject(f)
				}
				b.StartTimer()
				n, err := h.Queues()[0].Read(frames)
				if err != nil || mode == OffloadAuto && n != 1 || mode == OffloadOff && n != segments {
					b.Fatal(n, err)
				}
				for i := range frames[:n] {
					frames[i].Data = frames[i].Data[:cap(frames[i].Data)]
				}
			}
		})
	}
}

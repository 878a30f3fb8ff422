package tun

import (
	"net"
	"testing"

	"github.com/a644562b/portico/link"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

func TestReadDatagramWithThePartialChecksumOfALocalSender(t *testing.T) {
	for _, version := range []int{4, 6} {
		h := newHost(t, Config{})
		f := h.flow(version, 6000)
		h.udpSocket(f).Write([]byte("hello"))
		got := h.read(h.Queues()[0], f)
		want := link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: uint16(f.headerLen()), ChecksumOffset: 6}
		if got.Offload != want {
			t.Errorf("IPv%d: offload %+v, want %+v", version, got.Offload, want)
		}
		udp := decode(t, got.Data).TransportLayer().(*layers.UDP)
		if string(udp.Payload) != "hello" || udp.SrcPort != 6000 || udp.DstPort != 5000 {
			t.Errorf("IPv%d: read %v", version, udp)
		}
	}
}

func TestReadWithOffloadsOffYieldsPlainPacketsWithChecksums(t *testing.T) {
	h := newHost(t, Config{Offload: OffloadOff})
	if h.Caps() != (link.Caps{}) {
		t.Errorf("Caps = %+v, want none", h.Caps())
	}
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	setSegmentSize(t, socket, 1000)
	socket.Write(pattern(2500))
	var got string
	for range 3 {
		frame := h.read(h.Queues()[0], f)
		if frame.Offload != (link.Offload{}) {
			t.Errorf("offload %+v, want none", frame.Offload)
		}
		got += string(checkedUDP(t, frame.Data))
	}
	if got != string(pattern(2500)) {
		t.Error("the datagrams are not what was sent")
	}
}

func TestReadTakesAllFramesThatAreThere(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	for _, s := range []string{"1", "2", "3", "4", "5"} {
		socket.Write([]byte(s))
	}
	for _, room := range []int{2, 8} {
		frames := readFrames(room, link.MaxFrame)
		n, err := h.Queues()[0].Read(frames)
		if err != nil || n != min(room, 3) {
			t.Fatalf("Read into %d frames = %d, %v, want %d", room, n, err, min(room, 3))
		}
		for i, frame := range frames[:n] {
			if got, want := string(checkedPartial(t, frame)), string("12345"[i+room/8*2]); got != want {
				t.Errorf("datagram %q, want %q", got, want)
			}
		}
	}
	if n, err := h.Queues()[0].Read(nil); n != 0 || err != nil {
		t.Errorf("Read into nothing = %d, %v, want 0, nil at once", n, err)
	}
}

// checkedPartial is the payload of a datagram that must be read with a partial
// checksum.
func checkedPartial(t *testing.T, f link.Frame) []byte {
	t.Helper()
	if f.Checksum != link.ChecksumPartial || f.GSO != link.GSONone {
		t.Errorf("offload %+v, want a partial checksum and nothing else", f.Offload)
	}
	return decode(t, f.Data).TransportLayer().LayerPayload()
}

func TestReadDropsAFrameThatDoesNotFitAndNeverCutsIt(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	const headers = 28
	socket.Write(pattern(101))
	socket.Write(pattern(100))
	frames := readFrames(1, headers+100)
	if n, err := h.Queues()[0].Read(frames); n != 1 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if got := checkedPartial(t, frames[0]); string(got) != string(pattern(100)) {
		t.Errorf("read %d bytes, want the datagram of 100", len(got))
	}
	h.wantStats(Stats{ReadTooLong: 1})
}

func TestReadTCPSuperSegment(t *testing.T) {
	for _, tt := range []struct {
		version int
		gso     link.GSO
	}{{4, link.GSOTCP4}, {6, link.GSOTCP6}} {
		h := newHost(t, Config{})
		f := h.flow(tt.version, 0)
		c, peer := h.connect(f)
		sent := pattern(10 * peerMSS)
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		var got []byte
		supers := 0
		for len(got) < len(sent) {
			frame := peer.next()
			tcp := decode(t, frame.Data).TransportLayer().(*layers.TCP)
			got = append(got, tcp.Payload...)
			want := link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: uint16(f.headerLen()), ChecksumOffset: 16}
			if len(tcp.Payload) > peerMSS {
				supers++
				want.GSO, want.GSOSize, want.HeaderLen = tt.gso, peerMSS, uint16(f.headerLen()+20)
			}
			if frame.Offload != want {
				t.Errorf("IPv%d: %d bytes with offload %+v, want %+v", tt.version, len(tcp.Payload), frame.Offload, want)
			}
		}
		if supers == 0 {
			t.Errorf("IPv%d: no super-segment among what was read", tt.version)
		}
		if string(got) != string(sent) {
			t.Errorf("IPv%d: the bytes read are not those written", tt.version)
		}
	}
}

func TestReadUDPSuperSegment(t *testing.T) {
	for _, version := range []int{4, 6} {
		h := newHost(t, Config{})
		if !h.Caps().USO {
			t.Skip("this kernel does no USO")
		}
		f := h.flow(version, 6000)
		socket := h.udpSocket(f)
		setSegmentSize(t, socket, 1000)
		socket.Write(pattern(4500))
		got := h.read(h.Queues()[0], f)
		start := uint16(f.headerLen())
		want := link.Offload{GSO: link.GSOUDP, GSOSize: 1000, HeaderLen: start + 8,
			Checksum: link.ChecksumPartial, ChecksumStart: start, ChecksumOffset: 6}
		if got.Offload != want {
			t.Errorf("IPv%d: offload %+v, want %+v", version, got.Offload, want)
		}
		if payload := got.Data[got.HeaderLen:]; string(payload) != string(pattern(4500)) {
			t.Errorf("IPv%d: %d bytes, want the 4500 sent", version, len(payload))
		}
	}
}

// setSegmentSize makes a kernel socket send super-segments (UDP_SEGMENT).
func setSegmentSize(t testing.TB, c *net.UDPConn, size int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		if e := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size)
		}); e != nil {
			err = e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRead takes 60 KB of UDP from the kernel at a time.
func BenchmarkRead(b *testing.B) {
	h := newHost(b, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	setSegmentSize(b, socket, 1400)
	payload, frames := pattern(60_000), readFrames(1, link.MaxFrame)
	b.SetBytes(60_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := socket.Write(payload); err != nil {
			b.Fatal(err)
		}
		frames[0].Data = frames[0].Data[:cap(frames[0].Data)]
		if n, err := h.Queues()[0].Read(frames); n != 1 || err != nil {
			b.Fatal(n, err)
		}
	}
}

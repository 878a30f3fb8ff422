package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// sink is a Writer that may be looked at while it is written.
type sink struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *sink) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}

// entry is one packet of a file.
type entry struct {
	at      time.Time
	dir     Direction
	comment string
	data    string
	length  int // before it was cut to SnapLen
}

func (e entry) String() string { return fmt.Sprintf("%v %q (%s)", e.dir, e.data, e.comment) }

// entries reads a file back: packets by gopacket's NgReader, which skips their
// options, and the options block by block.
func entries(t testing.TB, file []byte) []entry {
	t.Helper()
	ng, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatalf("gopacket cannot read the file: %v", err)
	}
	if ng.LinkType() != layers.LinkTypeRaw {
		t.Fatalf("link type %v, want raw", ng.LinkType())
	}
	var list []entry
	for {
		data, info, err := ng.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("gopacket cannot read packet %d: %v", len(list), err)
		}
		list = append(list, entry{at: info.Timestamp, data: string(data), length: info.Length})
	}
	i := 0
	for len(file) > 0 {
		n := binary.LittleEndian.Uint32(file[4:])
		if again := binary.LittleEndian.Uint32(file[n-4:]); again != n {
			t.Fatalf("a block of %d bytes ends by calling itself %d", n, again)
		}
		if binary.LittleEndian.Uint32(file) == blockEnhancedPacket {
			list[i].options(t, file[:n])
			i++
		}
		file = file[n:]
	}
	if i != len(list) {
		t.Fatalf("%d packet blocks, but gopacket read %d", i, len(list))
	}
	return list
}

// options reads the options of an enhanced packet block.
func (e *entry) options(t testing.TB, block []byte) {
	t.Helper()
	b := block[28+(len(e.data)+3)/4*4 : len(block)-4]
	for {
		code, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		value := b[4 : 4+n]
		b = b[4+(n+3)/4*4:]
		switch code {
		case 0:
			if len(b) != 0 {
				t.Fatalf("%d bytes behind the end of the options", len(b))
			}
			return
		case 1:
			e.comment = string(value)
		case 2:
			e.dir = Direction(binary.LittleEndian.Uint32(value))
		default:
			t.Fatalf("option %d", code)
		}
	}
}

// tapped is a captured end of a pipe.
type tapped struct {
	t    testing.TB
	dev  *Device
	peer *pipe.Device
	file *sink
}

var caps = link.Caps{Checksum: true, TSO4: true, TSO6: true, USO: true}

func newTapped(t testing.TB, queues int, cfg Config) *tapped {
	t.Helper()
	a, b := pipe.New(pipe.Config{Caps: caps, Queues: queues, MTU: 1500, Names: [2]string{"tap0"}})
	w := &tapped{t: t, peer: b, file: &sink{}}
	if cfg.Writer == nil {
		cfg.Writer = w.file
	}
	dev, err := Wrap(a, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.dev = dev
	return w
}

// send writes packets to queue q of the device.
func (w *tapped) send(q int, packets ...string) {
	w.t.Helper()
	writeTo(w.t, w.dev, q, packets)
}

// sendBack writes packets to queue q of the peer.
func (w *tapped) sendBack(q int, packets ...string) {
	w.t.Helper()
	writeTo(w.t, w.peer, q, packets)
}

func writeTo(t testing.TB, d link.Device, q int, packets []string) {
	t.Helper()
	var frames []link.Frame
	for _, p := range packets {
		frames = append(frames, link.Frame{Data: []byte(p)})
	}
	if n, err := d.Queues()[q].Write(frames); n != len(frames) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

// receive reads once from queue q of the device.
func (w *tapped) receive(q int) []string {
	w.t.Helper()
	frames := make([]link.Frame, 8)
	for i := range frames {
		frames[i].Data = make([]byte, link.MaxFrame)
	}
	n, err := w.dev.Queues()[q].Read(frames)
	if err != nil {
		w.t.Fatalf("Read: %v", err)
	}
	var got []string
	for _, f := range frames[:n] {
		got = append(got, string(f.Data))
	}
	return got
}

// expect wants exactly these entries in the file now, as String gives them.
func (w *tapped) expect(want ...string) {
	w.t.Helper()
	var got []string
	for _, e := range entries(w.t, w.file.bytes()) {
		got = append(got, e.String())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("the file has\n%v, want\n%v", got, want)
	}
}

func (w *tapped) close() {
	w.t.Helper()
	if err := w.dev.Close(); err != nil {
		w.t.Errorf("Close: %v", err)
	}
}

// transport is TCP or UDP to be put into a packet.
type transport interface {
	gopacket.SerializableLayer
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}

// ipPacket is an IPv4 or IPv6 packet as gopacket makes it, all checksums right.
func ipPacket(t testing.TB, is4 bool, proto layers.IPProtocol, l transport, payload []byte) []byte {
	t.Helper()
	var ip interface {
		gopacket.NetworkLayer
		gopacket.SerializableLayer
	}
	ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: net.ParseIP("fd77::1"), DstIP: net.ParseIP("fd77::2")}
	if is4 {
		ip = &layers.IPv4{Version: 4, TTL: 64, Id: 9, Protocol: proto, SrcIP: net.IPv4(10, 77, 0, 1), DstIP: net.IPv4(10, 77, 0, 2)}
	}
	if err := l.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, l, gopacket.Payload(payload))
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// offloaded is the packet as a super-segment to be cut at size, with a partial
// checksum; an ordinary packet with one if size is 0.
func offloaded(t testing.TB, is4, udp bool, size int, payload []byte) link.Frame {
	t.Helper()
	var b []byte
	o := link.Offload{GSOSize: uint16(size), Checksum: link.ChecksumPartial, ChecksumStart: 40, ChecksumOffset: 16}
	if udp {
		b = ipPacket(t, is4, layers.IPProtocolUDP, &layers.UDP{SrcPort: 4000, DstPort: 4001}, payload)
		o.GSO, o.ChecksumOffset = link.GSOUDP, 6
	} else {
		b = ipPacket(t, is4, layers.IPProtocolTCP, &layers.TCP{SrcPort: 4000, DstPort: 4001, Seq: 1, Ack: 1, ACK: true, PSH: true, Window: 500}, payload)
		o.GSO = link.GSOTCP6
	}
	pseudo := b[8:40]
	if is4 {
		o.ChecksumStart, pseudo = 20, b[12:20]
		if !udp {
			o.GSO = link.GSOTCP4
		}
	}
	if size == 0 {
		o.GSO = link.GSONone
	}
	o.HeaderLen = uint16(len(b) - len(payload))
	proto := byte(6)
	if udp {
		proto = 17
	}
	n := len(b) - int(o.ChecksumStart)
	sum := uint32(proto) + uint32(n)
	for i := 0; i < len(pseudo); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(pseudo[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[o.ChecksumStart+o.ChecksumOffset:], uint16(sum))
	return link.Frame{Data: b[:o.HeaderLen], Payload: [][]byte{payload}, Offload: o}
}

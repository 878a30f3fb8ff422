package stack

import (
	"net/netip"
	"testing"

	"github.com/a644562b/portico/link"
)

// absorber is a device that takes all and gives nothing: what is left is the stack's own
// work.
type absorber struct {
	events chan link.Event
	closed chan struct{}
}

func newAbsorber() *absorber {
	return &absorber{events: make(chan link.Event), closed: make(chan struct{})}
}

func (d *absorber) Name() string { return "sink0" }
func (d *absorber) MTU() int     { return 1500 }
func (d *absorber) Caps() link.Caps {
	return link.Caps{Checksum: true, TSO4: true, TSO6: true, USO: true}
}
func (d *absorber) Queues() []link.Queue      { return []link.Queue{d} }
func (d *absorber) Events() <-chan link.Event { return d.events }

func (d *absorber) Read([]link.Frame) (int, error) {
	<-d.closed
	return 0, link.ErrClosed
}

func (d *absorber) Write(frames []link.Frame) (int, error) { return len(frames), nil }

func (d *absorber) Close() error {
	close(d.closed)
	close(d.events)
	return nil
}

// benchSocket is a UDP socket at port 9 of a stack on an absorber.
func benchSocket(b *testing.B) (*Stack, *UDPConn) {
	s := newStack(b, newAbsorber(), serverConfig())
	b.Cleanup(func() { s.Close() })
	u, err := s.ListenPacket("udp", ":9")
	if err != nil {
		b.Fatal(err)
	}
	return s, u.(*UDPConn)
}

// BenchmarkDatagramIn is a datagram of 64 bytes from the frame to the reader.
func BenchmarkDatagramIn(b *testing.B) {
	s, u := benchSocket(b)
	e := newEngine(s, &s.device, 0)
	packet := udpPacket(ap(client4, 1000), ap(server4, 9), string(make([]byte, 64)))
	room := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		e.frames[0].Data = e.frames[0].Data[:copy(e.frames[0].Data, packet)]
		e.frames[0].Checksum = link.ChecksumPartial
		e.batch(1)
		if _, _, err := u.ReadFromUDPAddrPort(room); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDatagramOut is a datagram of 64 bytes from the writer to the device.
func BenchmarkDatagramOut(b *testing.B) {
	_, u := benchSocket(b)
	data, to := make([]byte, 64), netip.AddrPortFrom(client4, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := u.WriteToUDPAddrPort(data, to); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDatagramsOut is the same from as many goroutines as there are processors, each
// with a socket of its own.
func BenchmarkDatagramsOut(b *testing.B) {
	s, _ := benchSocket(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		u, err := s.ListenPacket("udp", ":0")
		if err != nil {
			b.Error(err)
			return
		}
		defer u.Close()
		data, to := make([]byte, 64), netip.AddrPortFrom(client4, 1000)
		for pb.Next() {
			if _, err := u.(*UDPConn).WriteToUDPAddrPort(data, to); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkSegmentToClosedPort is a RST that nobody is there for: the least that a segment
// costs.
func BenchmarkSegmentToClosedPort(b *testing.B) {
	s, _ := benchSocket(b)
	e := newEngine(s, &s.device, 0)
	packet := tcpPacket(ap(client4, 1000), ap(server4, 81), "R", 1, 0, "")
	b.ReportAllocs()
	for b.Loop() {
		e.frames[0].Data = e.frames[0].Data[:copy(e.frames[0].Data, packet)]
		e.frames[0].Checksum = link.ChecksumPartial
		e.batch(1)
	}
}

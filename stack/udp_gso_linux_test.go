package stack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link/tun"
)

// Socket options of Linux that package syscall does not name (linux/udp.h).
const (
	solUDP     = 17
	udpSegment = 103 // one write is cut into datagrams of this many bytes
	udpGRO     = 104 // datagrams of one size and flow are read at once
)

// kernelSocket is a socket of the kernel's at an address, with an option of UDP set.
func kernelSocket(t *testing.T, address string, option, value int) *net.UDPConn {
	t.Helper()
	p, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	u := p.(*net.UDPConn)
	t.Cleanup(func() { u.Close() })
	u.SetDeadline(time.Now().Add(time.Minute))
	setOption(t, u, solUDP, option, value)
	setOption(t, u, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 4<<20)
	return u
}

func setOption(t *testing.T, u *net.UDPConn, level, option, value int) {
	t.Helper()
	raw, err := u.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = syscall.SetsockoptInt(int(fd), level, option, value) }); err != nil || serr != nil {
		t.Fatalf("setsockopt %d %d: %v, %v", level, option, err, serr)
	}
}

// The sides of kernelNeighbour.
var besideKernel = []struct{ ours, kernel string }{{"10.77.9.2", "10.77.9.1"}, {"fd77:9::2", "fd77:9::1"}}

// One write of the kernel's comes in one frame where the TUN can carry that, and is read as
// the datagrams that it stands for.
func TestKernelsSegmentsArriveAsDatagrams(t *testing.T) {
	nstest.Require(t)
	s, dev := kernelNeighbour(t)
	for _, host := range besideKernel {
		ours, err := s.ListenPacket("udp", net.JoinHostPort(host.ours, "7000"))
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		ours.SetReadDeadline(time.Now().Add(time.Minute))
		const size = 1000
		theirs := kernelSocket(t, net.JoinHostPort(host.kernel, "0"), udpSegment, size)
		for _, total := range []int{size, size + 1, 10*size - 1, 60 * size} {
			payload := noise(total)
			before := s.Stats()
			if _, err := theirs.WriteTo(payload, ours.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 2*size)
			for rest := payload; len(rest) > 0; {
				n, from, err := ours.ReadFrom(b)
				want := rest[:min(size, len(rest))]
				if err != nil || !bytes.Equal(b[:n], want) || from.String() != theirs.LocalAddr().String() {
					t.Fatalf("%d bytes of %d to %s to come: read %d from %v, %v", len(rest), total, host.ours, n, from, err)
				}
				rest = rest[n:]
			}
			// The engine counts its frames after the batch: one more round trip, and it has.
			if _, err := s.Ping(t.Context(), netip.MustParseAddr(host.kernel), 1, nil); err != nil {
				t.Fatal(err)
			}
			after := s.Stats()
			if n, want := datagramsIn(after)-datagramsIn(before), uint64(total+size-1)/size; n != want {
				t.Errorf("%d datagrams counted, want %d", n, want)
			}
			if n := after.Device.InFrames - before.Device.InFrames; dev.Caps().USO && n > 4 {
				t.Errorf("%d bytes to %s came in %d frames, and the TUN carries super-segments", total, host.ours, n)
			}
		}
	}
}

// One write of ours leaves in one frame where the TUN can cut it, and the kernel's sockets get
// the datagrams: one by one, or at once where they ask for that.
func TestSegmentsOfOursReachTheKernel(t *testing.T) {
	nstest.Require(t)
	s, dev := kernelNeighbour(t)
	for _, host := range besideKernel {
		p, err := s.ListenPacket("udp", net.JoinHostPort(host.ours, "7000"))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		ours := p.(*UDPConn)
		const size = 1000
		for gro := range 2 {
			theirs := kernelSocket(t, net.JoinHostPort(host.kernel, "0"), udpGRO, gro)
			to := theirs.LocalAddr().(*net.UDPAddr).AddrPort()
			for _, total := range []int{size, size + 1, 10*size - 1, 60 * size} {
				t.Run(fmt.Sprintf("%s GRO %d, %d bytes", host.kernel, gro, total), func(t *testing.T) {
					first, second := noise(total), noise(total + 1)[1:]
					batch := []UDPMessage{
						{Buffers: [][]byte{first[:total/3], first[total/3:]}, Addr: to, Segment: size},
						{Buffers: [][]byte{second}, Addr: to, Segment: size},
					}
					before := s.Stats()
					if n, err := ours.WriteBatch(batch); n != 2 || err != nil {
						t.Fatalf("WriteBatch: %d, %v", n, err)
					}
					for _, payload := range [][]byte{first, second} {
						reads := readSegments(t, theirs, payload, size, gro == 1)
						if gro == 1 && dev.Caps().USO && reads > 1 {
							t.Errorf("%d reads of one super-segment", reads)
						}
					}
					after := s.Stats()
					pieces := uint64(total+size-1) / size
					if n := datagramsOut(after) - datagramsOut(before); n != 2*pieces {
						t.Errorf("%d datagrams counted, want %d", n, 2*pieces)
					}
					if n := after.Device.OutFrames - before.Device.OutFrames; dev.Caps().USO && n != 2 {
						t.Errorf("they left in %d frames, and the TUN cuts", n)
					}
				})
			}
		}
	}
	if lost := dev.Stats(); lost != (tun.Stats{}) {
		t.Errorf("the TUN lost frames: %+v", lost)
	}
}

// readSegments reads a payload that was cut into datagrams of size bytes. A read holds one of
// them, or several if the control message beside says so, which only a socket with UDP_GRO
// may be given. It returns how many reads that took.
func readSegments(t *testing.T, u *net.UDPConn, payload []byte, size int, gro bool) (reads int) {
	t.Helper()
	b, oob := make([]byte, 1<<17), make([]byte, 128)
	for rest := payload; len(rest) > 0; {
		n, oobn, _, _, err := u.ReadMsgUDP(b, oob)
		if err != nil {
			t.Fatalf("%d bytes to come: %v", len(rest), err)
		}
		if n > len(rest) || !bytes.Equal(b[:n], rest[:n]) {
			t.Fatalf("%d bytes to come: read %d others", len(rest), n)
		}
		segment := n
		messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if gro && m.Header.Level == solUDP && m.Header.Type == udpGRO {
				segment = int(binary.NativeEndian.Uint32(m.Data))
			}
		}
		if segment != min(size, len(rest)) {
			t.Fatalf("datagrams of %d bytes with %d to come", segment, len(rest))
		}
		rest = rest[n:]
		reads++
	}
	return reads
}

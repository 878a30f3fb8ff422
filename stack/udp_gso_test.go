package stack

import (
	"bytes"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// superFrame is a datagram of which the device says that it stands for several.
func superFrame(src, dst netip.AddrPort, payload []byte, size int) link.Frame {
	b := udpPacket(src, dst, string(payload))
	hlen := len(b) - len(payload)
	return link.Frame{Data: b, Offload: link.Offload{
		GSO: link.GSOUDP, GSOSize: uint16(size), HeaderLen: uint16(hlen),
		Checksum: link.ChecksumPartial, ChecksumStart: uint16(hlen - 8), ChecksumOffset: 6,
	}}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func TestSuperDatagramArrivesAsTheDatagramsItStandsFor(t *testing.T) {
	caps := pipe.Config{Caps: link.Caps{Checksum: true, USO: true}}
	for _, six := range []bool{false, true} {
		client, server := pairOf(six)
		for _, total := range []int{1, 99, 100, 101, 6400, 12345} {
			withWireOf(t, serverConfig(), caps, func(t *testing.T, w *wire) {
				u := w.udpSocket("udp", ":5300")
				payload := pattern(total)
				frame := superFrame(ap(client, 1000), ap(server, 5300), payload, 100)
				if _, err := w.dev.Queues()[0].Write([]link.Frame{frame}); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 200)
				for rest := payload; len(rest) > 0; {
					n, from, err := u.ReadFromUDPAddrPort(b)
					want := rest[:min(100, len(rest))]
					if err != nil || from != ap(client, 1000) || !bytes.Equal(b[:n], want) {
						t.Fatalf("with %d bytes to come read %d, %v", len(rest), n, err)
					}
					rest = rest[n:]
				}
				synctest.Wait()
				if n := u.queue.len(); n != 0 {
					t.Errorf("%d more datagrams", n)
				}
				st := w.s.Stats()
				if n := datagramsIn(st); n != uint64((total+99)/100) {
					t.Errorf("%d datagrams counted of %d bytes", n, total)
				}
				w.want()
			})
		}
	}
}

// sentFrames collects what the stack writes to a device with its offload state.
func sentFrames(t *testing.T, caps link.Caps, send func(u *UDPConn)) (frames []link.Frame, stats Stats) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		far, near := pipe.New(pipe.Config{Caps: caps})
		s := newStack(t, near, serverConfig())
		p, err := s.ListenPacket("udp", ":5300")
		if err != nil {
			t.Fatal(err)
		}
		send(p.(*UDPConn))
		stats = s.Stats()
		s.Close()
		for range stats.Device.OutFrames {
			f := []link.Frame{{Data: make([]byte, link.MaxFrame)}}
			if _, err := far.Queues()[0].Read(f); err != nil {
				t.Fatal(err)
			}
			frames = append(frames, f[0])
		}
		far.Close()
	})
	return frames, stats
}

func TestSegmentsGoAsOneFrameWhereTheDeviceCuts(t *testing.T) {
	for _, test := range []struct {
		caps          link.Caps
		total, frames int
	}{
		{link.Caps{Checksum: true, USO: true}, 1000, 1},
		{link.Caps{Checksum: true, USO: true}, 64000, 1},
		{link.Caps{Checksum: true, USO: true}, 1001, 1}, // two pieces, of 1000 and of 1
		{link.Caps{Checksum: true}, 1001, 2},
		{link.Caps{}, 64000, 64},
		{link.Caps{}, 999, 1},
	} {
		for _, six := range []bool{false, true} {
			client, server := pairOf(six)
			t.Run(fmt.Sprintf("%+v %d bytes six %v", test.caps, test.total, six), func(t *testing.T) {
				payload := pattern(test.total)
				frames, stats := sentFrames(t, test.caps, func(u *UDPConn) {
					m := UDPMessage{Buffers: [][]byte{payload[:333], payload[333:]}, Addr: ap(client, 1000), Segment: 1000}
					if err := u.WriteMsg(&m); err != nil || m.N != test.total {
						t.Fatalf("WriteMsg: %d, %v", m.N, err)
					}
				})
				pieces := (test.total + 999) / 1000
				if len(frames) != test.frames || stats.UDP.OutDatagrams+stats.UDP6.OutDatagrams != uint64(pieces) {
					t.Fatalf("%d frames for %d datagrams, want %d for %d", len(frames), stats.UDP.OutDatagrams+stats.UDP6.OutDatagrams, test.frames, pieces)
				}
				// Cut as a wire would carry them, they are datagrams with right sums.
				var joined []byte
				for i := range frames {
					if err := gso.Split(&frames[i], func(f *link.Frame) {
						hlen := 28
						if six {
							hlen = 48
						}
						body := f.Data[hlen:]
						want := fmt.Sprintf("%v>%v UDP 5300>1000 %q", server, client, body)
						if got := describe(t, f.Data); got != want {
							t.Errorf("sent %s", got)
						}
						if len(body) != min(1000, test.total-len(joined)) {
							t.Errorf("a piece of %d bytes after %d", len(body), len(joined))
						}
						joined = append(joined, body...)
					}); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(joined, payload) {
					t.Error("the datagrams do not join to what was written")
				}
			})
		}
	}
}

func TestSegmentSizeOfTheSocketCutsEveryWrite(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.server, "udp", ":5300")
		c := h.dialUDP(t, "10.77.0.2:5300")
		c.SetSegmentSize(4)
		mustWrite(t, c, "aaaabbbbcc")
		for _, want := range []string{"aaaa", "bbbb", "cc"} {
			b := make([]byte, 10)
			n, _, err := u.ReadFromUDPAddrPort(b)
			if err != nil || string(b[:n]) != want {
				t.Errorf("read %q, %v, want %q", b[:n], err, want)
			}
		}
		write := func(n int) error { _, err := c.Write(make([]byte, n)); return err }
		if err := write(4 * maxSegments); err != nil {
			t.Error(err)
		}
		wantErr(t, write(4*maxSegments+1), syscall.EINVAL,
			fmt.Sprintf("write udp %v->10.77.0.2:5300: sendto: invalid argument", c.LocalAddr()))
		c.SetSegmentSize(1473)
		wantErr(t, write(1474), syscall.EMSGSIZE,
			fmt.Sprintf("write udp %v->10.77.0.2:5300: sendto: message too long", c.LocalAddr()))
		c.SetSegmentSize(1472)
		if err := write(65507); err != nil {
			t.Error(err)
		}
		if err := write(65508); err == nil {
			t.Error("65,508 bytes were taken")
		}
	})
}

// To ourselves a super-datagram goes in one piece too, and is cut where it arrives.
func TestSegmentsToOurselves(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.client, "udp", ":5300")
		u.SetReadBuffer(1 << 20)
		c := h.dialUDP(t, "127.0.0.1:5300")
		c.SetSegmentSize(1000)
		if _, err := c.Write(pattern(10500)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := u.queue.len(); n != 11 {
			t.Errorf("%d datagrams arrived", n)
		}
	})
}

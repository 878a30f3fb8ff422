package stack

import (
	"bytes"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// spy is a device that counts the super-segments and partial checksums written to it, and
// whose offloads can be taken away.
type spy struct {
	link.Device
	off             atomic.Bool
	supers, partial atomic.Int64
	plain           atomic.Int64
}

func (s *spy) Caps() link.Caps {
	if s.off.Load() {
		return link.Caps{}
	}
	return s.Device.Caps()
}

func (s *spy) Queues() []link.Queue { return []link.Queue{&spyQueue{s.Device.Queues()[0], s}} }

type spyQueue struct {
	link.Queue
	s *spy
}

func (q *spyQueue) Write(frames []link.Frame) (int, error) {
	for i := range frames {
		switch {
		case frames[i].GSO != link.GSONone:
			q.s.supers.Add(1)
		default:
			q.s.plain.Add(1)
		}
		if frames[i].Checksum == link.ChecksumPartial {
			q.s.partial.Add(1)
		}
	}
	return q.Queue.Write(frames)
}

func allOffloads() pipe.Config {
	return pipe.Config{Caps: link.Caps{Checksum: true, TSO4: true, TSO6: true}}
}

func TestOffloadsAreUsedAsLongAsTheDeviceHasThem(t *testing.T) {
	for _, address := range []string{"10.77.0.2:80", "[fd77::2]:80"} {
		t.Run(address, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pipe.New(allOffloads())
				dev := &spy{Device: a}
				h := newHostsOn(t, dev, b, clientConfig(), serverConfig())
				defer h.close()
				l := h.listen(t, "tcp", ":80")
				c := h.dial(t, "tcp", address)
				s := accept(t, l)
				data := bytes.Repeat([]byte("0123456789abcde"), 100_000)
				transfer := func() {
					t.Helper()
					go c.Write(data)
					got := make([]byte, len(data))
					if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, data) {
						t.Fatalf("transfer: %v", err)
					}
					synctest.Wait()
				}
				transfer()
				if dev.supers.Load() == 0 || dev.partial.Load() != dev.supers.Load()+dev.plain.Load() {
					t.Errorf("%d super-segments, %d others, %d partial checksums", dev.supers.Load(), dev.plain.Load(), dev.partial.Load())
				}
				if st := h.client.Stats(); st.TCP.OutSegs <= st.Device.OutFrames {
					t.Errorf("%d segments in %d frames", st.TCP.OutSegs, st.Device.OutFrames)
				}
				// The device gives up its offloads: the stack cuts and sums by itself.
				dev.off.Store(true)
				dev.supers.Store(0)
				dev.partial.Store(0)
				transfer()
				if dev.supers.Load() != 0 || dev.partial.Load() != 0 {
					t.Errorf("%d super-segments, %d partial checksums without offloads", dev.supers.Load(), dev.partial.Load())
				}
				c.Close()
				wantEOF(t, s)
				s.Close()
				if n := h.server.Stats().TCP.InCsumErrors; n != 0 {
					t.Errorf("%d checksum errors", n)
				}
				if n := c.Info().RetransSegs; n != 0 {
					t.Errorf("%d segments were sent again", n)
				}
				<-time.After(2 * time.Minute)
				noConns(t, h.client)
				noConns(t, h.server)
			})
		})
	}
}

func BenchmarkTransfer(b *testing.B) {
	for name, wire := range map[string]pipe.Config{"plain": {}, "offloads": allOffloads()} {
		b.Run(name, func(b *testing.B) {
			h := newHosts(b, clientConfig(), serverConfig(), wire)
			defer h.close()
			c, s := h.connect(b)
			go io.Copy(io.Discard, s)
			data := make([]byte, 64<<10)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPingPong(b *testing.B) {
	h := newHosts(b, clientConfig(), serverConfig(), pipe.Config{})
	defer h.close()
	c, s := h.connect(b)
	go io.Copy(s, s)
	buf := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(buf)
		c.Read(buf)
	}
}

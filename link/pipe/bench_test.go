package pipe

import (
	"testing"

	"github.com/a644562b/portico/link"
)

// BenchmarkPipe moves batches of 16 frames from one end to the other.
func BenchmarkPipe(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"40B", 40}, {"1500B", 1500}, {"64KiB", 65000}} {
		b.Run(c.name, func(b *testing.B) {
			const batch = 16
			x, y := New(Config{Caps: allCaps})
			out := make([]link.Frame, batch)
			for i := range out {
				out[i] = link.Frame{Data: make([]byte, c.size)}
				if c.size > x.MTU() {
					out[i].Offload = link.Offload{GSO: link.GSOTCP4, GSOSize: 1460, HeaderLen: 40}
				}
			}
			memory := room(batch)
			in := make([]link.Frame, batch)
			b.SetBytes(int64(batch * c.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.Queues()[0].Write(out); err != nil {
					b.Fatal(err)
				}
				copy(in, memory)
				if n, err := y.Queues()[0].Read(in); n != batch || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

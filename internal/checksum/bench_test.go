package checksum

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// What BenchmarkSum and BenchmarkPseudoHeader compute goes here, so that it is computed.
var sink uint16

// BenchmarkSum sums one run of bytes that lies in the cache: a bare ACK, a segment of an
// Ethernet frame, and what a super-segment carries, with some lengths between them.
func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 40, 64, 576, 1460, 65472} {
		b.Run(fmt.Sprintf("len=%d", n), func(b *testing.B) {
			p := random(rand.New(rand.NewPCG(9, 9)), n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				sink = Sum(0, p)
			}
		})
	}
}

// BenchmarkSumByWay sums by each of the ways that Sum chooses from, around the length
// where it changes from one to the other. The bytes start where the data of a segment with
// timestamps does over IPv4, and so at no multiple of a vector.
//
//	go test ./internal/checksum -run '^$' -bench SumByWay -count 10 | benchstat -col /way -
func BenchmarkSumByWay(b *testing.B) {
	const before = 52
	for _, n := range []int{20, 40, 48, 56, 64, 72, 96, 127, 128, 129, 160, 256, 576, 1460, 9000, 65472} {
		p := random(rand.New(rand.NewPCG(9, 9)), before+n)[before:]
		for _, w := range ways()[1:] {
			b.Run(fmt.Sprintf("len=%d/way=%s", n, w.name), func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					sink = w.sum(0, p)
				}
			})
		}
	}
}

func BenchmarkPseudoHeader(b *testing.B) {
	for name, s := range map[string]string{"v4": "10.0.0.1", "v6": "fd00::1"} {
		a := netip.MustParseAddr(s)
		b.Run("ip="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink = PseudoHeader(a, a, 6, 1480)
			}
		})
	}
}

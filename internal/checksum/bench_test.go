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

package ip_test

import (
	"testing"

	"github.com/a644562b/portico/ip"
)

// BenchmarkParse reads and checks the header of one packet with 1,000 bytes of TCP.
func BenchmarkParse(b *testing.B) {
	for _, f := range families {
		b.Run("ip="+f.name, func(b *testing.B) {
			packet := wholePacket(f, ip.TCP, 1000)
			var h ip.Header
			b.ReportAllocs()
			for b.Loop() {
				if _, drop := ip.Parse(packet, &h); drop != ip.DropNone {
					b.Fatal(drop)
				}
			}
		})
	}
}

// BenchmarkAppend writes such a header.
func BenchmarkAppend(b *testing.B) {
	for _, f := range families {
		b.Run("ip="+f.name, func(b *testing.B) {
			h := ip.Header{Src: f.us, Dst: f.them, Protocol: ip.TCP, TTL: 64, DF: true}
			room := make([]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				h.Append(room, 1000)
			}
		})
	}
}

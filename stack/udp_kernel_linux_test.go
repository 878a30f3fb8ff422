package stack

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
)

// TestDatagramsOfAllSizesBesideTheKernel sends datagrams both ways across a TUN, empty ones
// and the longest among them, which travel in fragments.
func TestDatagramsOfAllSizesBesideTheKernel(t *testing.T) {
	nstest.Require(t)
	s, _ := kernelNeighbour(t)
	for _, host := range []struct{ ours, kernel string }{
		{"10.77.9.2:7777", "10.77.9.1:7778"}, {"[fd77:9::2]:7777", "[fd77:9::1]:7778"},
	} {
		ours, err := s.ListenPacket("udp", host.ours)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := net.ListenPacket("udp", host.kernel)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 65536)
		for _, way := range []struct{ from, to net.PacketConn }{{ours, theirs}, {theirs, ours}} {
			for _, size := range []int{0, 1, 1452, 1453, 1472, 1473, 9000, 65507} {
				payload := pattern(size)
				if _, err := way.from.WriteTo(payload, way.to.LocalAddr()); err != nil {
					t.Fatalf("%d bytes from %v: %v", size, way.from.LocalAddr(), err)
				}
				way.to.SetReadDeadline(time.Now().Add(time.Minute))
				n, from, err := way.to.ReadFrom(b)
				if err != nil || !bytes.Equal(b[:n], payload) || from.String() != way.from.LocalAddr().String() {
					t.Fatalf("%d bytes from %v: read %d from %v, %v", size, way.from.LocalAddr(), n, from, err)
				}
			}
		}
		ours.Close()
		theirs.Close()
	}
}

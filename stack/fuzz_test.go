package stack

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// FuzzFrames gives a stack with open sockets of all kinds any packets, of which the device
// vouches for the transport checksums, and IPv4 header checksums are made right. The stack
// must not panic, and once it is closed nothing of what the packets started may be left.
func FuzzFrames(f *testing.F) {
	syn := tcpPacket(ap(client4, 1000), ap(server4, 80), "S", 100, 0, "")
	f.Add(syn, tcpPacket(ap(client4, 1000), ap(server4, 80), "A", 101, 0, "hello"))
	f.Add(tcpPacket(ap(client6, 1000), ap(server6, 80), "SF", 100, 0, "x"), syn[:30])
	f.Add(udpPacket(ap(client4, 1000), ap(server4, 53), "hello"), udpPacket(ap(client6, 1000), ap(server6, 9), ""))
	f.Add(echoPacket(client4, server4, 1, 1, "x"), echoPacket(client6, server6, 1, 1, "x"))
	f.Add(unreachable(3, udpPacket(ap(server4, 54), ap(client4, 9), "x")), unreachable(3, syn))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			far, near := pipe.New(pipe.Config{MTU: link.MaxFrame, Caps: link.Caps{Checksum: true}})
			s := newStack(t, near, serverConfig())
			if _, err := s.Listen("tcp", ":80"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.ListenPacket("udp", ":53"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Dial("udp", "10.77.0.1:9"); err != nil {
				t.Fatal(err)
			}
			for _, p := range [][]byte{a, b, a} {
				if len(p) == 0 || len(p) > link.MaxFrame {
					continue
				}
				offload := link.Offload{Checksum: link.ChecksumPartial}
				far.Queues()[0].Write([]link.Frame{{Data: rightHeader(p), Offload: offload}})
				synctest.Wait()
			}
			<-time.After(time.Minute)
			st := s.Stats()
			s.Close()
			noConns(t, s)
			if n := st.IP.InDelivers + st.IP6.InDelivers; n > 3 {
				t.Errorf("three packets counted as %+v", st)
			}
			far.Close()
		})
	})
}

// rightHeader returns a copy of p with the checksum of an IPv4 header made right.
func rightHeader(p []byte) []byte {
	p = append([]byte(nil), p...)
	if p[0]>>4 != 4 {
		return p
	}
	if n := int(p[0]&0xf) * 4; n >= 20 && n <= len(p) {
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], ^checksum.Sum(0, p[:n]))
	}
	return p
}

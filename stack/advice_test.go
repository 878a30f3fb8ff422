package stack

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// tooBig is what a router says about a packet of the stack's.
func tooBig(mtu int, to netip.Addr, quoted []byte) []byte {
	quoted = quoted[:min(len(quoted), 128)]
	if to.Is6() {
		return packet(netip.MustParseAddr("fd77::fe"), to, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)},
			gopacket.Payload(binary.BigEndian.AppendUint32(nil, uint32(mtu))), gopacket.Payload(quoted))
	}
	return packet(netip.MustParseAddr("10.77.0.254"), to,
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: uint16(mtu)}, gopacket.Payload(quoted))
}

// TestR1AdvisesIP: MUST-20: a connection that has sent the same R1 times in vain makes IP
// forget what it has learned of the path; before that, and by fewer retransmissions, it is
// kept. It shows in the size of what the next connection to that host sends.
func TestR1AdvisesIP(t *testing.T) {
	const narrow = 1290
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		port := uint16(1000)
		// caller is a peer that has connected and takes large segments.
		caller := func(port uint16) (*remote, net.Conn) {
			r := w.newRemote(ap(client, port), ap(server, 80))
			r.options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}}}
			r.say("S 0")
			r.hear("SA 0 1")
			r.options = nil
			r.say("A 1 1")
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return r, conn
		}
		// largest is the size of the largest packet that a new connection sends.
		largest := func() (size int) {
			port++
			r, conn := caller(port)
			mustWrite(t, conn, strings.Repeat("x", 5000))
			synctest.Wait()
			for len(w.sent) > 0 {
				size = max(size, len(<-w.sent))
			}
			r.say("R 1")
			conn.Close()
			w.heard()
			return size
		}
		if n := largest(); n != 1500 {
			t.Fatalf("packets of %d bytes on a path of 1500", n)
		}
		_, conn := caller(1000)
		defer conn.Close()
		mustWrite(t, conn, strings.Repeat("x", 1400))
		synctest.Wait()
		w.raw(tooBig(narrow, server, <-w.sent))
		w.heard()
		if n := largest(); n > narrow || n < narrow-8 {
			t.Fatalf("packets of %d bytes on a path of %d", n, narrow)
		}
		start := w.s.Now()
		for retransmissions := 0; retransmissions < 3; {
			<-time.After(time.Millisecond)
			if w.s.Now().Sub(start) > time.Minute {
				t.Fatal("nothing is sent again")
			}
			if len(w.heard()) == 0 {
				continue
			}
			retransmissions++
			if n := largest(); retransmissions < 3 && n > narrow {
				t.Fatalf("after %d retransmissions packets of %d bytes", retransmissions, n)
			} else if retransmissions == 3 && n != 1500 {
				t.Fatalf("after R1 packets of %d bytes still", n)
			}
		}
	})
}

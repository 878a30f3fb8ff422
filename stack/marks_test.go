package stack

import (
	"testing"
	"testing/synctest"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// marked takes all packets that the stack has sent, and fails unless all have these marks
// and there is one at least.
func (w *wire) marked(what, want string) {
	w.t.Helper()
	synctest.Wait()
	if len(w.sent) == 0 {
		w.t.Errorf("%s: nothing was sent", what)
	}
	for len(w.sent) > 0 {
		if got := marks(<-w.sent); got != want {
			w.t.Errorf("%s has %s, want %s", what, got, want)
		}
	}
}

// TestDSCPIsThatOfTheConfig: what has no setting of its own: both kinds of open, resets,
// datagrams and echo requests. A setting of 0 is one too.
func TestDSCPIsThatOfTheConfig(t *testing.T) {
	for _, six := range []bool{false, true} {
		cfg := serverConfig()
		cfg.DSCP, cfg.TTL = 46, 33
		withWire(t, cfg, func(t *testing.T, w *wire) {
			client, server := pairOf(six)
			w.raw(tcpPacket(ap(client, 1000), ap(server, 81), "S", 1, 0, ""))
			w.marked("a reset", "33/0xb8")
			l, err := w.s.Listen("tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			w.raw(tcpPacket(ap(client, 1000), ap(server, 80), "S", 1, 0, ""))
			synctest.Wait()
			answer := <-w.sent
			if got := marks(answer); got != "33/0xb8" {
				t.Errorf("the SYN,ACK has %s", got)
			}
			w.raw(tcpPacket(ap(client, 1000), ap(server, 80), "A", 2, tcpOf(answer).Seq+1, ""))
			c := accept(t, l.(*Listener))
			c.Write([]byte("x"))
			w.marked("data", "33/0xb8")
			if err := c.SetDSCP(0); err != nil {
				t.Error(err)
			}
			c.Write([]byte("x"))
			w.marked("data after SetDSCP(0)", "33/0x00")
			c.SetLinger(0)
			c.Close()
			w.marked("a reset after SetDSCP(0)", "33/0x00")

			go w.s.Dial("tcp", ap(client, 80).String())
			w.marked("the SYN of a dial", "33/0xb8")
			u, err := w.s.Dial("udp", ap(client, 53).String())
			if err != nil {
				t.Fatal(err)
			}
			u.Write([]byte("x"))
			w.marked("a datagram", "33/0xb8")
			// What answers an echo is like the request (RFC 1122, section 3.2.2.6).
			if six {
				w.raw(packet(client, server, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}, gopacket.Payload("abcd")))
			} else {
				w.raw(packet(client, server, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}))
			}
			w.marked("an echo reply", "33/0x00")
		})
	}
}

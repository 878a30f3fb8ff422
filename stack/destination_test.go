package stack

import (
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/a644562b/portico/ip"
)

// What must not be sent to is refused by every call: "this network" (RFC 1122, section
// 3.2.1.3 (b)) and the reserved scope of groups (RFC 4291, section 2.7).
func TestDestinationsThatMustNotBeSentTo(t *testing.T) {
	cfg := serverConfig()
	cfg.Routes = []ip.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, {Prefix: netip.MustParsePrefix("::/0")}}
	for _, c := range []Config{serverConfig(), cfg} {
		for _, dst := range []string{"0.1.2.3", "0.255.255.255", "ff00::1", "ff10::1"} {
			a := netip.MustParseAddr(dst)
			withWire(t, c, func(t *testing.T, w *wire) {
				to := ap(a, 9).String()
				_, err := w.s.Dial("udp", to)
				wantErr(t, err, syscall.EINVAL, "dial udp "+to+": connect: invalid argument")
				if !a.IsMulticast() {
					_, err = w.s.Dial("tcp", to)
					wantErr(t, err, syscall.EINVAL, "dial tcp "+to+": connect: invalid argument")
					_, err = w.s.Ping(t.Context(), a, 1, nil)
					wantErr(t, err, syscall.EINVAL, "ping ip "+dst+": connect: invalid argument")
				}
				u := w.udpSocket("udp", ":7")
				_, err = u.WriteToUDPAddrPort([]byte("x"), ap(a, 9))
				wantErr(t, err, syscall.EINVAL, "write udp [::]:7->"+to+": sendto: invalid argument")
				w.want()
			})
		}
	}
}

// A group of interface-local scope is for members on this host only (RFC 4291, section 2.7).
func TestInterfaceLocalGroupsStayOnTheHost(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		g := netip.MustParseAddr("ff01::101")
		u, member := w.udpSocket("udp", ":7"), w.udpSocket("udp", ":9")
		if err := member.JoinGroup(g); err != nil {
			t.Fatal(err)
		}
		for _, loop := range []bool{true, false} {
			u.SetMulticastLoopback(loop)
			if _, err := u.WriteToUDPAddrPort([]byte("hello"), ap(g, 9)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if loop {
				wantDatagram(t, member, "hello")
			}
			if n := member.queue.len(); n != 0 {
				t.Errorf("loopback %v: %d datagrams more", loop, n)
			}
			w.want()
		}
		// From the wire there cannot be any.
		w.raw(udpPacket(ap(client6, 7), ap(g, 9), "x"))
		w.wantDrop("ip_bad_destination")
	})
}

// RFC 1122, section 3.2.2: an ICMP error has no type of service, whatever the packet had.
func TestErrorsHaveNoTypeOfService(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		b := udpPacket(ap(client, 1000), ap(server, 9), "x")
		if server.Is4() {
			b[1] = 0xb8
			b[10], b[11] = 0, 0
			sum := ^plainSum(b[:20])
			b[10], b[11] = byte(sum>>8), byte(sum)
		} else {
			b[0], b[1] = 0x6b, 0x80
		}
		w.raw(b)
		if got := ipFields(w.next()); got[:len("ttl 64 tos 0x0")] != "ttl 64 tos 0x0" {
			t.Errorf("the error has %s", got)
		}
	})
}

package stack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link/pipe"
)

func (h *hosts) listenPacket(t testing.TB, s *Stack, network, address string) *UDPConn {
	t.Helper()
	u, err := s.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return u.(*UDPConn)
}

func (h *hosts) dialUDP(t testing.TB, address string) *UDPConn {
	t.Helper()
	c, err := h.client.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*UDPConn)
}

func TestDatagramsKeepTheirBoundaries(t *testing.T) {
	for _, server := range []string{"10.77.0.2:53", "[fd77::2]:53"} {
		t.Run(server, func(t *testing.T) {
			withHosts(t, func(t *testing.T, h *hosts) {
				u := h.listenPacket(t, h.server, "udp", ":53")
				c := h.dialUDP(t, server)
				for _, text := range []string{"one", "", "three"} {
					if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
						t.Fatalf("Write = %d, %v", n, err)
					}
				}
				b := make([]byte, 100)
				for _, want := range []string{"one", "", "three"} {
					n, from, err := u.ReadFrom(b)
					if err != nil || string(b[:n]) != want || from.String() != c.LocalAddr().String() {
						t.Fatalf("ReadFrom = %q from %v, %v, want %q", b[:n], from, err, want)
					}
				}
				// Back, to the address that it came from.
				if _, err := u.WriteTo([]byte("answer"), c.LocalAddr()); err != nil {
					t.Fatal(err)
				}
				n, err := c.Read(b)
				if err != nil || string(b[:n]) != "answer" {
					t.Fatalf("Read = %q, %v", b[:n], err)
				}
				if _, err := u.WriteToUDPAddrPort([]byte("again"), c.binding.addrPort()); err != nil {
					t.Fatal(err)
				}
				n, from, err := c.ReadFromUDPAddrPort(b)
				if err != nil || string(b[:n]) != "again" || from.String() != server {
					t.Fatalf("ReadFromUDPAddrPort = %q from %v, %v", b[:n], from, err)
				}
			})
		})
	}
}

func TestShortBufferCutsTheDatagram(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.server, "udp", ":53")
		c := h.dialUDP(t, "10.77.0.2:53")
		c.Write([]byte("0123456789"))
		c.Write([]byte("next"))
		b := make([]byte, 4)
		for _, want := range []string{"0123", "next"} {
			n, _, err := u.ReadFrom(b)
			if err != nil || string(b[:n]) != want {
				t.Fatalf("ReadFrom = %q, %v, want %q", b[:n], err, want)
			}
		}
	})
}

func TestDatagramThatMayNotBeCutIsEMSGSIZE(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		h.listenPacket(t, h.server, "udp", ":53")
		for address, most := range map[string]int{"10.77.0.2:53": 1500 - 28, "[fd77::2]:53": 1500 - 48} {
			c := h.dialUDP(t, address)
			c.SetPathMTU(PathMTUDo)
			if _, err := c.Write(make([]byte, most)); err != nil {
				t.Errorf("%d bytes to %s: %v", most, address, err)
			}
			n, err := c.Write(make([]byte, most+1))
			if n != 0 {
				t.Errorf("Write = %d", n)
			}
			wantErr(t, err, syscall.EMSGSIZE, fmt.Sprintf("write udp %v->%s: sendto: message too long", c.LocalAddr(), address))
		}
		// To ourselves more goes: what an IPv4 packet holds.
		u := h.listenPacket(t, h.client, "udp", ":54")
		c := h.dialUDP(t, "127.0.0.1:54")
		if _, err := c.Write(make([]byte, 65507)); err != nil {
			t.Fatal(err)
		}
		if n, _, err := u.ReadFrom(make([]byte, 65536)); n != 65507 || err != nil {
			t.Errorf("ReadFrom = %d, %v", n, err)
		}
		if _, err := c.Write(make([]byte, 65508)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("65508 bytes: %v", err)
		}
	})
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.server, "udp", ":53")
		c := h.dialUDP(t, "10.77.0.2:53")
		const sent = 1000
		for range sent {
			c.Write(nil)
		}
		synctest.Wait()
		kept := defaultUDPBuffer / datagramOverhead
		infos := h.server.PacketConns()
		if len(infos) != 1 || infos[0].Queued != kept*datagramOverhead || infos[0].Drops != uint64(sent-kept) {
			t.Errorf("socket: %+v, want %d kept", infos, kept)
		}
		if n := h.server.Stats().Drops["udp_queue_full"]; n != uint64(sent-kept) {
			t.Errorf("%d drops counted", n)
		}
		for range kept {
			u.ReadFrom(nil)
		}
		u.SetReadBuffer(1) // as little as Linux allows
		for range 20 {
			c.Write(nil)
		}
		synctest.Wait()
		if n := h.server.PacketConns()[0].Queued; n != minUDPBuffer/datagramOverhead*datagramOverhead {
			t.Errorf("%d bytes queued after SetReadBuffer", n)
		}
	})
}

func TestConnectedSocketHearsOnlyItsPeer(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.server, "udp", ":53")
		other := h.listenPacket(t, h.server, "udp", ":54")
		c := h.dialUDP(t, "10.77.0.2:53")
		other.WriteTo([]byte("not for you"), c.LocalAddr())
		u.WriteTo([]byte("for you"), c.LocalAddr())
		wantRead(t, c, "for you")
		synctest.Wait()
		if n := c.queue.len(); n != 0 {
			t.Errorf("%d more datagrams", n)
		}
	})
}

func TestClosedUDPPortRefusesTheConnectedSocket(t *testing.T) {
	for _, server := range []string{"10.77.0.2:53", "[fd77::2]:53", "127.0.0.1:53"} {
		t.Run(server, func(t *testing.T) {
			withHosts(t, func(t *testing.T, h *hosts) {
				c := h.dialUDP(t, server)
				read := make(chan error)
				go func() {
					_, err := c.Read(make([]byte, 1))
					read <- err
				}()
				synctest.Wait()
				c.Write([]byte("anybody?"))
				both := fmt.Sprintf("%v->%s", c.LocalAddr(), server)
				wantErr(t, <-read, syscall.ECONNREFUSED, "read udp "+both+": read: connection refused")
				c.Write([]byte("anybody?"))
				synctest.Wait()
				_, err := c.Write([]byte("x"))
				wantErr(t, err, syscall.ECONNREFUSED, "write udp "+both+": write: connection refused")
				// Told once, it may try again.
				if _, err := c.Write([]byte("x")); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestUnconnectedSocketIsNotRefused(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.client, "udp", ":0")
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.77.0.2:53"))
		u.WriteTo([]byte("x"), to)
		synctest.Wait()
		if _, err := u.WriteTo([]byte("x"), to); err != nil {
			t.Error(err)
		}
	})
}

func TestUDPCallErrorsReadAsInNet(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.client, "udp4", "10.77.0.1:1000")
		c := h.dialUDP(t, "10.77.0.2:53")
		to := &net.UDPAddr{IP: net.IPv4(10, 77, 0, 2), Port: 53}
		_, err := u.Write([]byte("x"))
		wantErr(t, err, syscall.EDESTADDRREQ, "write udp4 10.77.0.1:1000: write: destination address required")
		_, err = c.WriteTo([]byte("x"), to)
		wantErr(t, err, net.ErrWriteToConnected, fmt.Sprintf("write udp %v->10.77.0.2:53: use of WriteTo with pre-connected connection", c.LocalAddr()))
		_, err = c.WriteToUDPAddrPort([]byte("x"), to.AddrPort())
		wantErr(t, err, net.ErrWriteToConnected, fmt.Sprintf("write udp %v->10.77.0.2:53: use of WriteTo with pre-connected connection", c.LocalAddr()))
		_, err = u.WriteTo([]byte("x"), &net.UnixAddr{Name: "x"})
		wantErr(t, err, syscall.EINVAL, "write udp4 10.77.0.1:1000->x: invalid argument")
		_, err = u.WriteTo([]byte("x"), nil)
		if !errors.Is(err, syscall.EINVAL) {
			t.Errorf("WriteTo(nil): %v", err)
		}
		_, err = u.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("[fd77::2]:53"))
		if err == nil || !strings.HasSuffix(err.Error(), "no suitable address found") {
			t.Errorf("IPv6 from an IPv4 socket: %v", err)
		}
		if u.RemoteAddr() != nil {
			t.Errorf("RemoteAddr = %v", u.RemoteAddr())
		}
		u.Close()
		closed := ": use of closed network connection"
		_, _, rerr := u.ReadFrom(nil)
		wantErr(t, rerr, net.ErrClosed, "read udp4 10.77.0.1:1000"+closed)
		_, werr := u.WriteTo([]byte("x"), to)
		wantErr(t, werr, net.ErrClosed, "write udp4 10.77.0.1:1000->10.77.0.2:53"+closed)
		wantErr(t, u.Close(), net.ErrClosed, "close udp4 10.77.0.1:1000"+closed)
		wantErr(t, u.SetDeadline(time.Time{}), net.ErrClosed, "set udp4 10.77.0.1:1000"+closed)
	})
}

func TestUDPDeadlinesAndCloseUnblock(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.client, "udp", ":1000")
		start := time.Now()
		u.SetReadDeadline(start.Add(time.Second))
		_, _, err := u.ReadFrom(nil)
		wantErr(t, err, os.ErrDeadlineExceeded, "read udp [::]:1000: i/o timeout")
		if d := time.Since(start); d != time.Second {
			t.Errorf("waited %v", d)
		}
		u.SetWriteDeadline(start)
		_, err = u.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 77, 0, 2), Port: 53})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("WriteTo after the deadline: %v", err)
		}
		u.SetDeadline(time.Time{})
		done := make(chan error)
		go func() {
			_, _, err := u.ReadFrom(nil)
			done <- err
		}()
		synctest.Wait()
		u.Close()
		wantErr(t, <-done, net.ErrClosed, "read udp [::]:1000: use of closed network connection")
	})
}

func TestBroadcastIsSentAndReceived(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		all := h.listenPacket(t, h.server, "udp", ":67")
		one := h.listenPacket(t, h.server, "udp", "10.77.0.2:68")
		u := h.listenPacket(t, h.client, "udp", ":0")
		for _, to := range []string{"255.255.255.255", "10.77.0.255"} {
			for _, port := range []uint16{67, 68} {
				if _, err := u.WriteToUDPAddrPort([]byte(to), netip.AddrPortFrom(netip.MustParseAddr(to), port)); err != nil {
					t.Fatal(err)
				}
			}
			b := make([]byte, 20)
			n, from, err := all.ReadFromUDPAddrPort(b)
			if err != nil || string(b[:n]) != to || from.Addr() != client4 {
				t.Errorf("%q from %v, %v", b[:n], from, err)
			}
		}
		synctest.Wait()
		if n := one.queue.len(); n != 0 {
			t.Errorf("a socket of one address got %d broadcasts", n)
		}
		if n := h.server.Stats().ICMP.OutMsgs; n != 0 {
			t.Errorf("%d ICMP errors answered broadcasts", n)
		}
	})
}

func TestUDPToItselfByUnspecifiedAddress(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.client, "udp", ":1000")
		u.WriteTo([]byte("to me"), &net.UDPAddr{Port: 1000})
		b := make([]byte, 10)
		n, from, err := u.ReadFrom(b)
		if err != nil || string(b[:n]) != "to me" || from.String() != "10.77.0.1:1000" {
			t.Errorf("%q from %v, %v", b[:n], from, err)
		}
	})
}

func TestLoopbackSourceNeverLeaves(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u := h.listenPacket(t, h.client, "udp", "127.0.0.1:1000")
		_, err := u.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 77, 0, 2), Port: 53})
		wantErr(t, err, syscall.EINVAL, "write udp 127.0.0.1:1000->10.77.0.2:53: sendto: invalid argument")
		// Between loopback and the stack's own addresses it goes, as on Linux.
		own := h.listenPacket(t, h.client, "udp", "10.77.0.1:1001")
		if _, err := u.WriteTo([]byte("x"), own.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		wantRead(t, own, "x")
		if _, err := own.WriteTo([]byte("y"), u.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		wantRead(t, u, "y")
	})
}

// RFC 6056: the ports that the stack chooses are spread over their range, one tells nothing
// of the next, and none is chosen twice.
func TestUDPEphemeralPortsAreSpread(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		const n, first, last = 800, 32768, 60999
		var quarters [4]int
		seen, before, near := make(map[uint16]bool), 0, 0
		for i := range n {
			c := h.dialUDP(t, "10.77.0.2:53")
			port := c.binding.port
			if i%2 == 0 {
				port = h.listenPacket(t, h.client, "udp", ":0").binding.port
			}
			if port < first || port > last || seen[port] {
				t.Fatalf("port %d, the %dth", port, i)
			}
			seen[port] = true
			quarters[(int(port)-first)*4/(last+1-first)]++
			if d := int(port) - before; -8 <= d && d <= 8 {
				near++
			}
			before = int(port)
		}
		for i, k := range quarters {
			if k < n/8 {
				t.Errorf("%d of %d ports in quarter %d of the range", k, n, i)
			}
		}
		if near > n/40 {
			t.Errorf("%d of %d ports are beside the one before", near, n)
		}
	})
}

func TestUDPEphemeralPortsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := clientConfig()
		cfg.PortRange = [2]uint16{5000, 5001}
		h := newHosts(t, cfg, serverConfig(), pipe.Config{})
		defer h.close()
		h.dialUDP(t, "10.77.0.2:53")
		last := h.dialUDP(t, "10.77.0.2:53")
		_, err := h.client.Dial("udp", "10.77.0.2:53")
		wantErr(t, err, syscall.EADDRNOTAVAIL, "dial udp 10.77.0.2:53: every port from 5000 to 5001 is in use; "+
			"widen PortRange or add an address: cannot assign requested address")
		last.Close()
		h.dialUDP(t, "10.77.0.2:53")
	})
}

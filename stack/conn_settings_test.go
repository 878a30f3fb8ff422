package stack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// marks are TTL and TOS of a packet, as gopacket reads them.
func marks(b []byte) string {
	if b[0]>>4 == 6 {
		h := gopacket.NewPacket(b, layers.LayerTypeIPv6, gopacket.Default).NetworkLayer().(*layers.IPv6)
		return fmt.Sprintf("%d/%#02x", h.HopLimit, h.TrafficClass)
	}
	h := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default).NetworkLayer().(*layers.IPv4)
	return fmt.Sprintf("%d/%#02x", h.TTL, h.TOS)
}

// TestMarksOfAConnection: TTL and DSCP can be set before the SYN and changed later, and go
// out as they are (MUST-48, MUST-49, SHLD-21, SHLD-22).
func TestMarksOfAConnection(t *testing.T) {
	for _, to := range []string{"10.77.0.1:80", "[fd77::1]:80"} {
		cfg := serverConfig()
		cfg.TTL = 33
		withWire(t, cfg, func(t *testing.T, w *wire) {
			dialed := make(chan *Conn)
			go func() {
				d := Dialer{Stack: w.s, Control: func(c *Conn) error {
					return errors.Join(c.SetDSCP(46), c.SetTTL(9))
				}}
				c, err := d.Dial("tcp", to)
				if err != nil {
					t.Error(err)
				}
				dialed <- c.(*Conn)
			}()
			syn := <-w.sent
			w.want() // one SYN, though there were two settings
			if got := marks(syn); got != "9/0xb8" {
				t.Errorf("the SYN has %s", got)
			}
			h := tcpOf(syn)
			client, server := pairOf(syn[0]>>4 == 6)
			from, local := ap(client, 80), ap(server, uint16(h.SrcPort))
			w.raw(tcpPacket(from, local, "SA", 100, h.Seq+1, ""))
			c := <-dialed
			if got := marks(<-w.sent); got != "9/0xb8" {
				t.Errorf("the ACK has %s", got)
			}
			for _, test := range []struct {
				ttl, dscp int
				want      string
			}{{255, 0, "255/0x00"}, {1, 63, "1/0xfc"}} {
				if err := errors.Join(c.SetTTL(test.ttl), c.SetDSCP(test.dscp)); err != nil {
					t.Error(err)
				}
				c.Write([]byte("x"))
				if got := marks(<-w.sent); got != test.want {
					t.Errorf("data has %s, want %s", got, test.want)
				}
			}
			// Another connection has the stack's.
			go w.s.Dial("tcp", to)
			if got := marks(<-w.sent); got != "33/0x00" {
				t.Errorf("another SYN has %s", got)
			}
		})
	}
}

// TestReceivedDSCP: MAY-9.
func TestReceivedDSCP(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		client, server := h.connect(t)
		for _, dscp := range []int{10, 46, 0} {
			client.SetDSCP(dscp)
			mustWrite(t, client, "x")
			wantRead(t, server, "x")
			if got := server.ReceivedDSCP(); got != dscp {
				t.Errorf("DSCP %d received, %d sent", got, dscp)
			}
		}
	})
}

// TestSettingsOutOfRange: EINVAL, with the range in the text, and nothing changes.
func TestSettingsOutOfRange(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, _ := h.connect(t)
		set := "set tcp " + c.LocalAddr().String() + ": "
		for _, test := range []struct {
			err  error
			text string
		}{
			{c.SetTTL(0), "the TTL is 0; it must be 1 to 255: setsockopt: invalid argument"},
			{c.SetTTL(256), "the TTL is 256; it must be 1 to 255: setsockopt: invalid argument"},
			{c.SetDSCP(-1), "the DSCP is -1; it must be 0 to 63: setsockopt: invalid argument"},
			{c.SetDSCP(64), "the DSCP is 64; it must be 0 to 63: setsockopt: invalid argument"},
			{c.SetUnsentLowWater(-1), "the low-water mark is -1; it must be 0 to 67108864: setsockopt: invalid argument"},
			{c.SetRetries(-1, 0), "R1 is -1; it must be 0 to 240: setsockopt: invalid argument"},
			{c.SetRetries(5, 4), "R1 is 5; it must be 0 to 4: setsockopt: invalid argument"},
			{c.SetRetries(0, 241), "R2 is 241; it must be 0 to 240: setsockopt: invalid argument"},
		} {
			wantErr(t, test.err, syscall.EINVAL, set+test.text)
		}
		c.Close()
		for _, err := range []error{c.SetTTL(1), c.SetDSCP(1), c.SetCork(true), c.SetUnsentLowWater(1), c.SetRetries(1, 2)} {
			wantErr(t, err, net.ErrClosed, set+"use of closed network connection")
		}
	})
}

// TestControlCanRefuse: an error of Control ends the dial, and no packet leaves.
func TestControlCanRefuse(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		refusal := errors.New("not today")
		d := Dialer{Stack: w.s, Control: func(*Conn) error { return refusal }}
		_, err := d.Dial("tcp", "10.77.0.1:80")
		wantErr(t, err, refusal, "dial tcp 10.77.0.1:80: not today")
		w.want()
		noConns(t, w.s)
	})
}

// TestRetriesOfAConnection: MUST-21, MUST-22: R2 for the handshake of one connection.
func TestRetriesOfAConnection(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		start := time.Now()
		d := Dialer{Stack: w.s, Control: func(c *Conn) error { return c.SetRetries(1, 2) }}
		_, err := d.Dial("tcp", "10.77.0.1:80")
		wantErr(t, err, syscall.ETIMEDOUT, "dial tcp 10.77.0.1:80: connect: connection timed out")
		if n, took := len(w.sent), time.Since(start); n != 3 || took != 7*time.Second {
			t.Errorf("%d SYNs, given up after %v", n, took)
		}
	})
}

// TestCork: writes leave as full segments while the connection is corked, and the rest when
// the cork is drawn, though Nagle is off.
func TestCork(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		c, from, to, iss := w.accepted(false, 1000)
		c.SetCork(true)
		for range 25 {
			c.Write(make([]byte, 100))
		}
		if got := w.sizes(); got != "1040 1040" {
			t.Errorf("packets of %s bytes while corked", got)
		}
		c.SetCork(false)
		if got := w.sizes(); got != "540" {
			t.Errorf("packets of %s bytes when the cork was drawn", got)
		}
		w.raw(tcpPacket(from, to, "A", 101, iss+2501, ""))
		c.SetCork(true)
		c.Write(make([]byte, 10))
		c.CloseWrite()
		if got := w.sizes(); got != "50" {
			t.Errorf("packets of %s bytes at the FIN", got)
		}
	})
}

// TestCorkIsNoDam: what was forgotten behind a cork leaves after a retransmission timeout.
func TestCorkIsNoDam(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		client, server := h.connect(t)
		client.SetCork(true)
		start := time.Now()
		mustWrite(t, client, "forgotten")
		wantRead(t, server, "forgotten")
		if waited := time.Since(start); waited < 200*time.Millisecond || waited > time.Second {
			t.Errorf("it left after %v", waited)
		}
	})
}

// TestUnsentLowWater: Write takes no more than that beyond what has been sent.
func TestUnsentLowWater(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		c, from, to, iss := w.accepted(false, 1000)
		c.SetUnsentLowWater(5000)
		wrote := make(chan int, 1)
		go func() {
			n, _ := c.Write(make([]byte, 100_000))
			wrote <- n
		}()
		synctest.Wait()
		sent := 0
		take := func() {
			synctest.Wait()
			for len(w.sent) > 0 {
				sent += len(tcpOf(<-w.sent).Payload)
			}
		}
		take()
		for sent < 90_000 {
			if n := c.Info().UnsentQueue; n > 5000 {
				t.Errorf("%d bytes unsent with a mark of 5000", n)
			}
			w.raw(tcpPacket(from, to, "A", 101, iss+1+uint32(sent), ""))
			take()
		}
		w.raw(tcpPacket(from, to, "A", 101, iss+1+uint32(sent), ""))
		if n := <-wrote; n != 100_000 {
			t.Errorf("%d bytes written", n)
		}
	})
}

// TestLingerWaitsForTheAcknowledgment: Close returns when the peer has everything and the
// FIN, and the connection ends in order.
func TestLingerWaitsForTheAcknowledgment(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		c, from, to, iss := w.accepted(false, 1000)
		c.SetLinger(10)
		c.Write([]byte("last words"))
		start := time.Now()
		time.AfterFunc(3*time.Second, func() {
			w.dev.Queues()[0].Write(frameOf(tcpPacket(from, to, "A", 101, iss+11, "")))
		})
		time.AfterFunc(4*time.Second, func() {
			w.dev.Queues()[0].Write(frameOf(tcpPacket(from, to, "A", 101, iss+12, "")))
		})
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("Close took %v", took)
		}
		<-time.After(20 * time.Second)
		for len(w.sent) > 0 {
			if tcpOf(<-w.sent).RST {
				t.Error("a reset, though everything was delivered")
			}
		}
	})
}

// TestLingerEndsInAReset: what the peer does not acknowledge in that time is dropped.
func TestLingerEndsInAReset(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		c, _, _, _ := w.accepted(false, 1000)
		c.SetLinger(10)
		c.Write([]byte("last words"))
		start := time.Now()
		c.Close()
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("Close took %v", took)
		}
		synctest.Wait()
		var last *layers.TCP
		for len(w.sent) > 0 {
			last = tcpOf(<-w.sent)
		}
		if !last.RST {
			t.Error("no reset")
		}
		noConns(t, w.s)
	})
}

// TestCloseMatrix: what Close says to the peer, by what is unread, what is unsent, and
// SetLinger.
func TestCloseMatrix(t *testing.T) {
	for _, test := range []struct {
		name   string
		linger int // -1: not set
		unread bool
		unsent bool
		want   string // flags of what is sent at Close
	}{
		{"nothing pending", -1, false, false, "FIN,ACK"},
		{"unsent data goes first", -1, false, true, ""},
		{"unread data resets", -1, true, false, "RST,ACK"},
		{"unread data resets, though some is unsent", -1, true, true, "RST,ACK"},
		{"linger 0", 0, false, false, "RST,ACK"},
		{"linger 0, unsent", 0, false, true, "RST,ACK"},
		{"linger 0, unread", 0, true, false, "RST,ACK"},
		{"linger 5, unread", 5, true, false, "RST,ACK"},
	} {
		t.Run(test.name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				c, from, to, iss := w.accepted(false, 1000)
				if test.linger >= 0 {
					c.SetLinger(test.linger)
				}
				sent := 0
				if test.unsent {
					c.Write(make([]byte, 20_000)) // the window takes the first ten segments
					synctest.Wait()
					for len(w.sent) > 0 {
						sent += len(tcpOf(<-w.sent).Payload)
					}
				}
				if test.unread {
					w.raw(tcpPacket(from, to, "PA", 101, iss+1, "unread"))
					synctest.Wait()
					for len(w.sent) > 0 {
						<-w.sent
					}
				}
				c.Close()
				synctest.Wait()
				var got []string
				for len(w.sent) > 0 {
					got = append(got, tcpFlags(tcpOf(<-w.sent)))
				}
				if strings.Join(got, " ") != test.want {
					t.Errorf("sent %q, want %q", got, test.want)
				}
				if test.want != "" {
					return
				}
				// The rest, and the FIN behind it.
				var last *layers.TCP
				for last == nil || !last.FIN {
					w.raw(tcpPacket(from, to, "A", 101, iss+1+uint32(sent), ""))
					for len(w.sent) > 0 {
						last = tcpOf(<-w.sent)
						sent += len(last.Payload)
					}
				}
				if sent != 20_000 {
					t.Errorf("%d bytes sent before the FIN", sent)
				}
			})
		})
	}
}

// TestWrittenBeforeCloseIsDelivered: the peer reads all that was written before Close, then
// EOF, whether Close waits or not.
func TestWrittenBeforeCloseIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t, clientConfig(), serverConfig(), pipe.Config{})
		defer h.close()
		for _, linger := range []int{-1, 30} {
			client, server := h.connect(t)
			client.SetLinger(linger)
			go func() {
				client.Write(make([]byte, 3<<20))
				client.Close()
			}()
			if n, err := io.Copy(io.Discard, server); n != 3<<20 || err != nil {
				t.Errorf("linger %d: %d bytes, %v", linger, n, err)
			}
			server.Close()
		}
		<-time.After(2 * time.Minute)
		noConns(t, h.client)
		noConns(t, h.server)
	})
}

// TestWriteWriteReadNeverWaitsForADelayedAck: an application that writes a request in two
// parts, with Nagle on, and reads the answer, waits for nothing but the wire.
func TestWriteWriteReadNeverWaitsForADelayedAck(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		client, server := h.connect(t)
		client.SetNoDelay(false)
		server.SetNoDelay(false)
		go func() {
			for {
				b := make([]byte, 10)
				if _, err := io.ReadFull(server, b); err != nil {
					return
				}
				server.Write(b)
			}
		}()
		for n := range 200 {
			start := time.Now()
			mustWrite(t, client, "head ")
			mustWrite(t, client, "body ")
			wantRead(t, client, "head body ")
			if took := time.Since(start); took != 0 {
				t.Fatalf("exchange %d took %v on a wire without delay", n, took)
			}
			<-time.After(time.Duration(n) * 7 * time.Millisecond)
		}
	})
}

// frameOf is a packet as a frame.
func frameOf(b []byte) []link.Frame { return []link.Frame{{Data: b}} }

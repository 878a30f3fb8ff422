package stack

import (
	"io"
	"strings"
	"testing"
	"time"
)

// Small Writes in a row share packets (see tcp/autocork.go), as a peer and an application see it.

// TestSmallWritesShareFrames: the first few leave each for itself, what follows while they are
// in flight leaves with an ACK, or after a millisecond.
func TestSmallWritesShareFrames(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		c, from, to, iss := w.accepted(false, 1000)
		<-time.After(time.Second) // what was written last is long ago
		for range 30 {
			c.Write(make([]byte, 10))
		}
		if got, want := w.sizes(), strings.Repeat("50 ", 7)+"50"; got != want {
			t.Errorf("packets of %s bytes for thirty Writes", got)
		}
		w.raw(tcpPacket(from, to, "A", 101, iss+31, ""))
		if got := w.sizes(); got != "260" {
			t.Errorf("packets of %s bytes with the ACK", got)
		}
		start := time.Now()
		c.Write(make([]byte, 10))
		if got := w.sizes(); got != "" {
			t.Errorf("packets of %s bytes after it", got)
		}
		<-time.After(time.Millisecond - time.Since(start))
		if got := w.sizes(); got != "50" {
			t.Errorf("packets of %s bytes after a millisecond", got)
		}
		if n := w.s.Stats().TCPExt.TCPAutoCorking; n != 2 {
			t.Errorf("TCPAutoCorking is %d, want 2", n)
		}
	})
}

// TestManyWritesThenReadWaitsForNothing: an application that writes a request in many pieces
// and reads the answer waits for nothing but the wire, with Nagle off.
func TestManyWritesThenReadWaitsForNothing(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		client, server := h.connect(t)
		request := strings.Repeat("0123456789", 50)
		go func() {
			b := make([]byte, len(request))
			for {
				if _, err := io.ReadFull(server, b); err != nil {
					return
				}
				for _, v := range b {
					server.Write([]byte{v})
				}
			}
		}()
		for n := range 100 {
			start := time.Now()
			for i := range request {
				mustWrite(t, client, request[i:i+1])
			}
			wantRead(t, client, request)
			if took := time.Since(start); took != 0 {
				t.Fatalf("exchange %d took %v on a wire without delay", n, took)
			}
		}
	})
}

// TestSmallWritesArriveWhole: every byte of many Writes of all sizes, once and in order, with
// and without Nagle, and what is written last before the FIN.
func TestSmallWritesArriveWhole(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for _, noDelay := range []bool{false, true} {
			client, server := h.connect(t)
			client.SetNoDelay(noDelay)
			var want strings.Builder
			go func() {
				for i := range 5000 {
					piece := strings.Repeat(string(rune('a'+i%26)), 1+i*i%300)
					want.WriteString(piece)
					mustWrite(t, client, piece)
				}
				client.CloseWrite()
			}()
			got, err := io.ReadAll(server)
			if err != nil || string(got) != want.String() {
				t.Errorf("noDelay %v: %d bytes arrived of %d, %v", noDelay, len(got), want.Len(), err)
			}
		}
	})
}

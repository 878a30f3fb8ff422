package stack

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWriteBuffersIsOneWrite: small pieces leave as one segment, large ones in order, and v
// is empty afterwards.
func TestWriteBuffersIsOneWrite(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		r, conn := w.served(client4, server4, 1000)
		v := net.Buffers{[]byte("head"), nil, []byte("er and "), {}, []byte("body")}
		if n, err := conn.WriteBuffers(&v); n != 15 || err != nil || len(v) != 0 {
			t.Fatalf("WriteBuffers = %d, %v, and %d buffers are left", n, err, len(v))
		}
		r.hear("A 1 1 (15)")
	})
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		var v net.Buffers
		var want strings.Builder
		for i := range 300 {
			b := []byte(strings.Repeat(string(rune('a'+i%26)), i*i%20000))
			v = append(v, b)
			want.Write(b)
		}
		ended := make(chan error)
		go func() {
			n, err := c.WriteBuffers(&v)
			if n != int64(want.Len()) || len(v) != 0 {
				t.Errorf("WriteBuffers = %d of %d bytes, %d buffers are left", n, want.Len(), len(v))
			}
			ended <- err
		}()
		wantRead(t, s, want.String())
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestWriteBuffersTellsWhatIsLeft: at a deadline v holds what was not written, and it goes
// on from there.
func TestWriteBuffersTellsWhatIsLeft(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		c.SetWriteBuffer(8 << 10)
		s.SetReadBuffer(8 << 10)
		text := strings.Repeat("0123456789", 10_000)
		v := net.Buffers{[]byte(text[:40_000]), []byte(text[40_000:])}
		c.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := c.WriteBuffers(&v)
		wantErr(t, err, os.ErrDeadlineExceeded, "writev tcp "+between(c)+": i/o timeout")
		left := 0
		for _, b := range v {
			left += len(b)
		}
		if n == 0 || int(n)+left != len(text) {
			t.Fatalf("%d bytes were written and %d are left of %d", n, left, len(text))
		}
		c.SetWriteDeadline(time.Time{})
		ended := make(chan error)
		go func() {
			_, err := c.WriteBuffers(&v)
			ended <- err
		}()
		wantRead(t, s, text)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.CloseWrite()
		v = net.Buffers{[]byte("x")}
		_, err = c.WriteBuffers(&v)
		wantErr(t, err, syscall.EPIPE, "writev tcp "+between(c)+": writev: broken pipe")
		c.Close()
		_, err = c.WriteBuffers(&v)
		wantErr(t, err, net.ErrClosed, "writev tcp "+between(c)+": use of closed network connection")
		s.Close()
	})
}

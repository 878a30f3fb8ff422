package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

// between is how errors name the connection of c.
func between(c *Conn) string { return fmt.Sprintf("%v->%v", c.LocalAddr(), c.RemoteAddr()) }

func TestHalfCloseInBothDirections(t *testing.T) {
	for _, first := range []string{"client", "server"} {
		t.Run(first+" first", func(t *testing.T) {
			withHosts(t, func(t *testing.T, h *hosts) {
				a, b := h.connect(t)
				if first == "server" {
					a, b = b, a
				}
				mustWrite(t, a, "question")
				if err := a.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				wantRead(t, b, "question")
				wantEOF(t, b)
				<-time.After(10 * time.Minute) // no limit on a half-closed connection
				mustWrite(t, b, "answer")
				wantRead(t, a, "answer")
				_, err := a.Write([]byte("more"))
				wantErr(t, err, syscall.EPIPE, "write tcp "+between(a)+": write: broken pipe")
				if err := b.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				wantEOF(t, a)
				wantEOF(t, a) // and again
				a.Close()
				b.Close()
				<-time.After(2 * time.Minute)
				noConns(t, h.client)
				noConns(t, h.server)
			})
		})
	}
}

func TestCloseDeliversInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := serverConfig()
		server.TCP.ReceiveBuffer = 64 << 10 // so that the FIN cannot leave before the peer reads
		h := newHosts(t, clientConfig(), server, pipe.Config{})
		defer h.close()
		c, s := h.connect(t)
		big := bytes.Repeat([]byte("0123456789abcdef"), 40_000) // more than the peer has room for
		written := make(chan error)
		go func() {
			_, err := c.Write(big)
			if err == nil {
				err = c.Close()
			}
			written <- err
		}()
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // all that the peer has room for has arrived
		infos := h.client.Conns()
		if len(infos) != 1 || !infos[0].Orphan || infos[0].State != tcp.StateFinWait1 {
			t.Fatalf("after Close: %+v", infos)
		}
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, big) {
			t.Fatalf("read %d of %d bytes, %v", len(got), len(big), err)
		}
		s.Close()
		<-time.After(2 * time.Minute)
		noConns(t, h.client)
	})
}

func TestCloseWithUnreadDataResets(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		mustWrite(t, c, "nobody reads this")
		synctest.Wait()
		s.Close()
		_, err := c.Read(make([]byte, 1))
		wantErr(t, err, syscall.ECONNRESET, "read tcp "+between(c)+": read: connection reset by peer")
		_, err = c.Write([]byte("x"))
		wantErr(t, err, syscall.ECONNRESET, "write tcp "+between(c)+": write: connection reset by peer")
		noConns(t, h.client)
		noConns(t, h.server)
	})
}

func TestLingerZeroResets(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		if err := c.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		c.Close()
		_, err := s.Read(make([]byte, 1))
		wantErr(t, err, syscall.ECONNRESET, "read tcp "+between(s)+": read: connection reset by peer")
		noConns(t, h.client)
		noConns(t, h.server)
		if n := h.client.Stats().TCP.OutRsts; n != 1 {
			t.Errorf("%d resets sent", n)
		}
	})
}

func TestCallsAfterCloseReturnErrClosed(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, _ := h.connect(t)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		closed := ": use of closed network connection"
		both, local := between(c), c.LocalAddr().String()
		b := make([]byte, 1)
		_, rerr := c.Read(b)
		_, werr := c.Write(b)
		_, rferr := c.ReadFrom(strings.NewReader("x"))
		_, wterr := c.WriteTo(io.Discard)
		for _, test := range []struct {
			err  error
			text string
		}{
			{rerr, "read tcp " + both},
			{werr, "write tcp " + both},
			{rferr, "readfrom tcp " + both + ": write tcp " + both},
			{wterr, "writeto tcp " + both + ": read tcp " + both},
			{c.Close(), "close tcp " + both},
			{c.CloseRead(), "close tcp " + both},
			{c.CloseWrite(), "close tcp " + both},
			{c.SetDeadline(time.Time{}), "set tcp " + local},
			{c.SetReadDeadline(time.Now()), "set tcp " + local},
			{c.SetWriteDeadline(time.Now()), "set tcp " + local},
			{c.SetNoDelay(true), "set tcp " + both},
			{c.SetKeepAlive(true), "set tcp " + both},
			{c.SetKeepAliveConfig(net.KeepAliveConfig{}), "set tcp " + both},
			{c.SetKeepAlivePeriod(time.Second), "set tcp " + both},
			{c.SetLinger(1), "set tcp " + both},
			{c.SetReadBuffer(1), "set tcp " + local},
			{c.SetWriteBuffer(1), "set tcp " + local},
			{c.SetUserTimeout(1), "set tcp " + local},
		} {
			wantErr(t, test.err, net.ErrClosed, test.text+closed)
		}
		if c.Info().Local.Port() == 0 || c.ID().Serial == 0 {
			t.Error("Info and ID forget who the connection was")
		}
	})
}

func TestCloseUnblocksReadAndWrite(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, _ := h.connect(t)
		read, write := make(chan error), make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		go func() {
			_, err := c.Write(make([]byte, 64<<20))
			write <- err
		}()
		synctest.Wait()
		both := between(c)
		c.Close()
		wantErr(t, <-read, net.ErrClosed, "read tcp "+both+": use of closed network connection")
		wantErr(t, <-write, net.ErrClosed, "write tcp "+both+": use of closed network connection")
	})
}

func TestCloseReadEndsReading(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		read := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		if err := c.CloseRead(); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err != io.EOF {
			t.Errorf("blocked Read: %v, want EOF", err)
		}
		mustWrite(t, s, "dropped")
		<-time.After(time.Second)
		wantEOF(t, c)
		mustWrite(t, c, "the other way goes on")
		wantRead(t, s, "the other way goes on")
		if info := s.Info(); info.SendQueue != 0 {
			t.Errorf("%d bytes were not acknowledged", info.SendQueue)
		}
	})
}

func TestDeadlines(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		b := make([]byte, 8)
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Second))
		_, err := c.Read(b)
		wantErr(t, err, os.ErrDeadlineExceeded, "read tcp "+between(c)+": i/o timeout")
		if d := time.Since(start); d != time.Second {
			t.Errorf("Read waited %v", d)
		}
		// It stays expired, also for data that is there, and writing is not affected.
		mustWrite(t, s, "late")
		synctest.Wait()
		if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read after the deadline: %v", err)
		}
		mustWrite(t, c, "x")
		c.SetReadDeadline(time.Time{})
		wantRead(t, c, "late")

		// A deadline in the past expires at once; a future one, and zero, revive.
		c.SetDeadline(time.Now().Add(-time.Second))
		if _, err := c.Write(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write after the deadline: %v", err)
		}
		c.SetDeadline(time.Now().Add(time.Hour))
		mustWrite(t, c, "y")
		wantRead(t, s, "xy")
	})
}

func TestWriteDeadlineReportsWhatWasWritten(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := c.Write(make([]byte, 64<<20))
		wantErr(t, err, os.ErrDeadlineExceeded, "write tcp "+between(c)+": i/o timeout")
		if n == 0 || n == 64<<20 {
			t.Errorf("Write = %d", n)
		}
		c.Close()
		if got, err := io.Copy(io.Discard, s); err != nil || got != int64(n) {
			t.Errorf("%d bytes arrived of the %d that Write reported, %v", got, n, err)
		}
	})
}

func TestDeadlineMovedWhileBlocked(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, _ := h.connect(t)
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Hour))
		done := make(chan time.Duration)
		go func() {
			c.Read(make([]byte, 1))
			done <- time.Since(start)
		}()
		for i := range 10 { // always later, just before it passes
			<-time.After(time.Minute - 1)
			c.SetReadDeadline(time.Now().Add(time.Minute))
			_ = i
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		if got, want := <-done, 10*(time.Minute-1)+time.Second; got != want {
			t.Errorf("Read ended after %v, want %v", got, want)
		}
	})
}

// TestStaleTimerSparesTheNewDeadline lets the timer of a deadline fire while the lock is
// held by who moves the deadline.
func TestStaleTimerSparesTheNewDeadline(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		c.SetReadDeadline(time.Now().Add(time.Second))
		c.mu.Lock()
		<-time.After(time.Second) // the timer's goroutine waits for the lock now
		c.extra.readDeadline.moveTo(time.Now().Add(time.Hour), &c.extra.canRead)
		c.mu.Unlock()
		<-time.After(time.Second)
		mustWrite(t, s, "x")
		wantRead(t, c, "x")
	})
}

func TestConcurrentWritesDoNotMix(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		c.SetWriteBuffer(4096)
		const size, writers = 100_000, 4
		for i := range writers {
			go c.Write(bytes.Repeat([]byte{byte('a' + i)}, size))
		}
		got := make([]byte, writers*size)
		if _, err := io.ReadFull(s, got); err != nil {
			t.Fatal(err)
		}
		for i := range writers {
			part := got[i*size : (i+1)*size]
			if !bytes.Equal(part, bytes.Repeat(part[:1], size)) {
				t.Fatalf("the writes are mixed in part %d", i)
			}
		}
	})
}

func TestWaitingWriterHasItsDeadline(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, _ := h.connect(t)
		go c.Write(make([]byte, 64<<20)) // blocks for good
		second := make(chan error)
		go func() {
			<-time.After(time.Second)
			_, err := c.Write([]byte("x"))
			second <- err
		}()
		<-time.After(2 * time.Second)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		wantErr(t, <-second, os.ErrDeadlineExceeded, "write tcp "+between(c)+": i/o timeout")
	})
}

func TestZeroLengthReadAndWriteReturnAtOnce(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, _ := h.connect(t)
		if n, err := c.Read(nil); n != 0 || err != nil {
			t.Errorf("Read(nil) = %d, %v", n, err)
		}
		if n, err := c.Write(nil); n != 0 || err != nil {
			t.Errorf("Write(nil) = %d, %v", n, err)
		}
	})
}

func TestReadFromAndWriteToCopyAll(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		text := strings.Repeat("all of it ", 100_000)
		go func() {
			n, err := c.ReadFrom(struct{ io.Reader }{strings.NewReader(text)})
			if n != int64(len(text)) || err != nil {
				t.Errorf("ReadFrom = %d, %v", n, err)
			}
			c.CloseWrite()
		}()
		var got strings.Builder
		n, err := s.WriteTo(&got)
		if n != int64(len(text)) || err != nil || got.String() != text {
			t.Errorf("WriteTo = %d, %v", n, err)
		}
	})
}

func TestKilledPeerIsFoundByKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{})
		h := newHostsOn(t, a, &mute{Device: b}, clientConfig(), serverConfig())
		defer h.close()
		c, _ := h.connect(t)
		c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 10 * time.Second, Count: 3})
		h.server.device.dev.(*mute).on.Store(true)
		start := time.Now()
		_, err := c.Read(make([]byte, 1))
		wantErr(t, err, syscall.ETIMEDOUT, "read tcp "+between(c)+": read: connection timed out")
		if d := time.Since(start); d != time.Minute+30*time.Second {
			t.Errorf("found after %v", d)
		}
		noConns(t, h.client)
	})
}

func TestKeepAliveSettingsFollowNet(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, _ := h.connect(t)
		expires := func() time.Duration { return c.Info().Expires }
		c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})
		if got := expires(); got != 15*time.Second {
			t.Errorf("zero Idle is %v", got)
		}
		c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Hour})
		c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1})
		if got := expires(); got != time.Hour {
			t.Errorf("negative Idle changed it to %v", got)
		}
		c.SetKeepAlive(false)
		if c.Info().KeepAlive || c.Info().Timer != "" {
			t.Error("keep-alive is still on")
		}
		c.SetKeepAlive(true)
		if got := expires(); got != time.Hour {
			t.Errorf("turning it on again gives %v", got)
		}
		c.SetKeepAlivePeriod(time.Minute)
		c.SetKeepAlivePeriod(-1)
		if got := expires(); got != time.Minute {
			t.Errorf("SetKeepAlivePeriod set it to %v", got)
		}
	})
}

func TestUserTimeoutEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{})
		h := newHostsOn(t, a, &mute{Device: b}, clientConfig(), serverConfig())
		defer h.close()
		c, _ := h.connect(t)
		c.SetUserTimeout(20 * time.Second)
		h.server.device.dev.(*mute).on.Store(true)
		start := time.Now()
		mustWrite(t, c, "x")
		_, err := c.Read(make([]byte, 1))
		wantErr(t, err, syscall.ETIMEDOUT, "read tcp "+between(c)+": read: connection timed out")
		if d := time.Since(start); d != 20*time.Second {
			t.Errorf("ended after %v", d)
		}
	})
}

func TestReadBufferBoundsWhatThePeerCanSend(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		s.SetReadBuffer(8192)
		c.SetWriteBuffer(4096)
		go c.Write(make([]byte, 64<<20))
		<-time.After(time.Minute)
		// What had been promised before SetReadBuffer stays promised.
		if info := s.Info(); info.ReceiveQueue > 65536+8192 {
			t.Errorf("%d bytes wait for the reader", info.ReceiveQueue)
		}
		if info := c.Info(); info.SendQueue > 4096 {
			t.Errorf("%d bytes wait to be sent", info.SendQueue)
		}
	})
}

func TestSerialsAndIDsAreUnique(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		if id := c.ID(); id.Passive || id.Local != s.ID().Remote || id.Remote != s.ID().Local || id.Serial == 0 {
			t.Errorf("client %+v, server %+v", id, s.ID())
		}
		if !s.ID().Passive {
			t.Error("the server's end is not passive")
		}
		c2, _ := h.connect(t)
		if c2.ID().Serial <= c.ID().Serial {
			t.Error("serials do not grow")
		}
		infos := h.client.Conns()
		if len(infos) != 2 || infos[0].ConnID != c.ID() || infos[1].ConnID != c2.ID() || infos[0].State != tcp.StateEstablished {
			t.Errorf("Conns: %+v", infos)
		}
	})
}

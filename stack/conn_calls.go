package stack

import (
	"io"
	"net"
	"os"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/tcp"
)

var (
	_ net.Conn = (*Conn)(nil)
)

// call runs a user call of the TCB, which f makes, and what follows from it.
func (c *Conn) call(f func(now mono.Time)) {
	now := c.now()
	f(now)
	c.follow(now)
}

// follow lets follow what a call at now has brought about.
func (c *Conn) follow(now mono.Time) {
	box := getOutbox()
	c.settle(now, box)
	box.put()
}

// usable returns net.ErrClosed after Close of the connection or the stack.
func (c *Conn) usable() error {
	if c.closed || c.stack().closing.Load() {
		return net.ErrClosed
	}
	return nil
}

// mayRead returns why a Read may not begin, or go on waiting.
func (c *Conn) mayRead() error {
	if err := c.usable(); err != nil {
		return err
	}
	if c.extra.readExpired() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// mayWrite is mayRead for Write.
func (c *Conn) mayWrite() error {
	if err := c.usable(); err != nil {
		return err
	}
	if c.extra.writeExpired() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// Read waits for data and reads up to len(b) bytes of it. After the peer's FIN it returns
// io.EOF, after its reset ECONNRESET.
func (c *Conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	n, err := c.read(b)
	c.mu.Unlock()
	return n, c.opError("read", err)
}

func (c *Conn) read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, c.usable() // as in net whatever the deadline
	}
	err = c.await(func(now mono.Time) (bool, error) {
		n, err = c.tcb.Read(now, b)
		return n > 0, err
	})
	return n, err
}

// await waits until f, a user call of the TCB that reads, has got something.
func (c *Conn) await(f func(now mono.Time) (got bool, err error)) error {
	for {
		if err := c.mayRead(); err != nil {
			return err
		}
		now := c.now()
		if c.deferred {
			c.deferred = false
			c.follow(now) // the peer has to speak first
		}
		got, err := f(now)
		if c.tcb.SendDue() {
			c.follow(now)
		}
		if got || err != nil {
			return systemError("read", err)
		}
		c.extras().canRead.Wait()
	}
}

// writeChunk is how much of a long Write is copied before what there is is sent, so that
// the first segment does not wait for the last copy.
const writeChunk = 256 << 10

// Write waits until all of b is in the send buffer. Writes of several goroutines do not
// mix. After CloseWrite the error is EPIPE, after the peer's reset ECONNRESET.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	n, err := c.write(b)
	c.mu.Unlock()
	return n, c.opError("write", err)
}

func (c *Conn) write(b []byte) (done int, err error) {
	if err := c.beginWrite(); err != nil {
		return 0, err
	}
	defer c.endWrite()
	for {
		if err := c.mayWrite(); err != nil {
			return done, err
		}
		if len(b) == 0 {
			return done, nil
		}
		c.deferred = false
		var n int
		c.call(func(now mono.Time) { n, err = c.tcb.Write(now, b[:min(len(b), writeChunk)]) })
		done += n
		b = b[n:]
		if err != nil {
			return done, systemError("write", err)
		}
		if n == 0 {
			c.awaitRoom()
		}
	}
}

// awaitRoom waits until there may be room in the send buffer.
func (c *Conn) awaitRoom() {
	if !c.help() {
		c.extras().canWrite.Wait()
	}
}

// beginWrite waits for a Write that is in progress; endWrite lets the next one begin.
func (c *Conn) beginWrite() error {
	for c.writing {
		if err := c.mayWrite(); err != nil {
			return err
		}
		c.extras().canWrite.Wait()
	}
	c.writing = true
	return nil
}

func (c *Conn) endWrite() {
	c.writing = false
	c.extra.writers()
}

// Close closes the connection and returns at once, but for a positive SetLinger. What has
// been written is delivered in the background, unless data that arrived was not read: then, as on Linux, the peer is
// reset, for it would not learn otherwise that its data was lost. Blocked calls return
// net.ErrClosed.
func (c *Conn) Close() error {
	c.mu.Lock()
	err := c.usable()
	if !c.closed {
		c.shut()
		c.call(c.tcb.Close)
		for c.tcb.Lingering() {
			c.extras().canWrite.Wait()
		}
		c.bereave()
	}
	c.mu.Unlock()
	return c.opError("close", err)
}

// bereave leaves a connection that Close has not brought to its end to the stack, or resets it
// when there are too many orphans.
func (c *Conn) bereave() {
	if !c.draining { // it has come to its end, or to TIME-WAIT
		return
	}
	s := c.stack()
	c.orphan = true
	if s.orphans.Add(1) > int64(s.cfg.MaxOrphans) {
		add(&s.count.rare().tcpExt.TCPAbortOnMemory, 1)
		c.call(c.tcb.Abort)
	}
}

// shut makes the application's side of the connection closed, and leaves no timer of it
// behind.
func (c *Conn) shut() {
	c.closed, c.deferred = true, false
	if c.extra != nil {
		c.extra.readDeadline.stop()
		c.extra.writeDeadline.stop()
	}
	c.extra.readers()
	c.extra.writers()
}

// abandon resets the connection on behalf of the stack or the listener: nobody will
// ever read or write it again.
func (c *Conn) abandon(_ *Stack, box *outbox) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut()
	now := c.now()
	c.tcb.Abort(now)
	c.settle(now, box)
}

// CloseWrite sends a FIN after what has been written, and leaves reading as it is
// (RFC 9293, section 3.6, the half-closed connection). A second one does nothing; once both
// sides have closed, or a reset has, it is ENOTCONN.
func (c *Conn) CloseWrite() error {
	return c.shutdown(func(now mono.Time) error { return c.tcb.CloseWrite(now) })
}

// CloseRead makes Read return io.EOF. The peer is not told; what it sends is
// acknowledged and dropped, as on Linux. Where CloseWrite is ENOTCONN so is CloseRead.
func (c *Conn) CloseRead() error {
	return c.shutdown(func(now mono.Time) error { c.tcb.CloseRead(now); return nil })
}

// shutdown is shutdown(2) of one side, which f closes.
func (c *Conn) shutdown(f func(now mono.Time) error) error {
	c.mu.Lock()
	err := c.usable()
	if err == nil {
		c.deferred = false
		c.call(func(now mono.Time) {
			switch c.tcb.State() {
			case tcp.StateClosed, tcp.StateTimeWait:
				err = tcp.ErrNotConnected
			default:
				err = f(now)
			}
		})
		if err == tcp.ErrClosing {
			err = nil
		}
		err = systemError("shutdown", err)
	}
	c.mu.Unlock()
	return c.opError("close", err)
}

// LocalAddr is a *net.TCPAddr, which may be the same at every call: it must not be changed.
func (c *Conn) LocalAddr() net.Addr {
	local, _ := c.netAddrs()
	return local
}

// RemoteAddr is a *net.TCPAddr, which may be the same at every call: it must not be changed.
func (c *Conn) RemoteAddr() net.Addr {
	_, remote := c.netAddrs()
	return remote
}

// netAddrs are the ends in the words of net. They are kept, as net keeps them, where there is a
// place: every error names them, also that of the deadline by which net/http ends a Read after
// each request. (They were 15 % of the objects that an HTTP server allocated.)
func (c *Conn) netAddrs() (local, remote *net.TCPAddr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.extra
	if x != nil && x.local != nil {
		return x.local, x.remote
	}
	ends, s := c.tcb.Ends(), c.stack()
	local = net.TCPAddrFromAddrPort(s.zoned(ends.Local))
	remote = net.TCPAddrFromAddrPort(s.zoned(ends.Remote))
	if x != nil {
		x.local, x.remote = local, remote
	}
	return local, remote
}

// opError dresses an error of the operation op.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	local, remote := c.netAddrs()
	return opError(op, c.network.String(), local, remote, err)
}

// set runs f, which changes a setting, on a connection that is not closed.
func (c *Conn) set(f func()) error {
	c.mu.Lock()
	err := c.usable()
	if err == nil {
		f()
	}
	c.mu.Unlock()
	if err == nil {
		return nil
	}
	return opError("set", c.network.String(), nil, c.LocalAddr(), err)
}

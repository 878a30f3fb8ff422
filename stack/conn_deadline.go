package stack

import (
	"net"
	"sync"
	"time"

	"github.com/a644562b/portico/tcp"
)

// extras are what only some connections ever need: once the application's calls wait, have
// deadlines, or change the keep-alive. nil stands for nobody waiting and nothing set.
type extras struct {
	canRead, canWrite           sync.Cond // of the connection's lock; Dial waits on canWrite
	readDeadline, writeDeadline deadline
	keepAlive                   *tcp.KeepAlive // nil: the stack's
	opener                      *Listener      // counts the connection as opened fast and pending
	local, remote               *net.TCPAddr   // nil before they are needed, see netAddrs
}

// extras returns c.extra, made if need be. The connection is locked.
func (c *Conn) extras() *extras {
	if c.extra == nil {
		c.extra = new(extras)
		c.extra.canRead.L, c.extra.canWrite.L = &c.mu, &c.mu
	}
	return c.extra
}

// readers and writers wake who waits.
func (x *extras) readers() {
	if x != nil {
		x.canRead.Broadcast()
	}
}

func (x *extras) writers() {
	if x != nil {
		x.canWrite.Broadcast()
	}
}

func (x *extras) readExpired() bool  { return x != nil && x.readDeadline.expired }
func (x *extras) writeExpired() bool { return x != nil && x.writeDeadline.expired }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.set(func() {
		x := c.extras()
		x.readDeadline.moveTo(t, &x.canRead)
		x.writeDeadline.moveTo(t, &x.canWrite)
	})
}

// SetReadDeadline makes reads that still wait at t, and all later ones, return
// os.ErrDeadlineExceeded, until a later deadline is set. The zero time clears it.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.set(func() {
		x := c.extras()
		x.readDeadline.moveTo(t, &x.canRead)
	})
}

// SetWriteDeadline is SetReadDeadline for writes. A write that it ends may have written
// some of its data.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.set(func() {
		x := c.extras()
		x.writeDeadline.moveTo(t, &x.canWrite)
	})
}

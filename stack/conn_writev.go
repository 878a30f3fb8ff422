package stack

import (
	"net"

	"github.com/a644562b/portico/internal/mono"
)

// WriteBuffers writes all of v as one Write of the buffers joined would: they share
// segments, no other Write comes in between, and only the last byte is pushed. What has
// been written is taken out of v. Its errors are those of Write.
//
// v.WriteTo(c) works too, and makes a Write of every buffer: the way by which net gathers
// them on its own connections is closed to others.
func (c *Conn) WriteBuffers(v *net.Buffers) (int64, error) {
	c.mu.Lock()
	n, err := c.writeBuffers(v)
	c.mu.Unlock()
	return n, c.opError("writev", err)
}

func (c *Conn) writeBuffers(v *net.Buffers) (done int64, err error) {
	if err := c.beginWrite(); err != nil {
		return 0, err
	}
	defer c.endWrite()
	for {
		if err := c.mayWrite(); err != nil {
			return done, err
		}
		if takeBuffers(v, 0); len(*v) == 0 {
			return done, nil
		}
		c.deferred = false
		var n int
		c.call(func(now mono.Time) { n, err = c.appendBuffers(now, *v) })
		done += int64(n)
		takeBuffers(v, n)
		if err != nil {
			return done, systemError("writev", err)
		}
		if n == 0 {
			c.awaitRoom()
		}
	}
}

// appendBuffers hands the TCB as much of v as it takes, about a chunk at most.
func (c *Conn) appendBuffers(now mono.Time, v net.Buffers) (done int, err error) {
	for _, b := range v {
		n, err := c.tcb.Write(now, b[:min(len(b), writeChunk)])
		done += n
		if err != nil || n < len(b) || done >= writeChunk {
			return done, err
		}
	}
	return done, nil
}

// takeBuffers takes the first n bytes out of v, and what is empty then.
func takeBuffers(v *net.Buffers, n int) {
	for len(*v) > 0 {
		first := &(*v)[0]
		if n < len(*first) {
			*first = (*first)[n:]
			return
		}
		n -= len(*first)
		*first = nil
		*v = (*v)[1:]
	}
}

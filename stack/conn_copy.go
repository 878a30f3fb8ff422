package stack

import (
	"io"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/mono"
)

// io.Copy without the copies: what is much is handed over in the block that it lies in, from
// the receive queue to a writer, from a reader to the send queue, and from one to the other.

var (
	_ io.ReaderFrom = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
)

// ReadFrom writes what it reads from r until io.EOF, and returns how much that was. Other
// Writes may come in between.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.readFrom(r)
	return n, c.opError("readfrom", err)
}

func (c *Conn) readFrom(r io.Reader) (done int64, err error) {
	for {
		block := buffer.NewBlock()
		n, err := r.Read(block.B)
		if n == 0 {
			block.Release()
		} else {
			m, err := c.writeBlock(block, block.B[:n])
			done += int64(m)
			if err != nil {
				return done, err
			}
		}
		if err == io.EOF {
			return done, nil
		}
		if err != nil {
			return done, err
		}
	}
}

// WriteTo writes what it reads to w until the peer's FIN, and returns how much that was.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	n, err := c.writeTo(w)
	return n, c.opError("writeto", err)
}

func (c *Conn) writeTo(w io.Writer) (done int64, err error) {
	for {
		block, p, err := c.readBlock()
		if err == io.EOF {
			return done, nil
		}
		if err != nil {
			return done, err
		}
		var n int
		size := len(p)
		if to, ok := w.(*Conn); ok {
			n, err = to.writeBlock(block, p)
		} else {
			n, err = w.Write(p)
			block.Release()
		}
		done += int64(n)
		if err == nil && n < size {
			err = io.ErrShortWrite
		}
		if err != nil {
			return done, err
		}
	}
}

// readBlock is a Read by tcp.TCB.ReadBlock.
func (c *Conn) readBlock() (block *buffer.Block, p []byte, err error) {
	c.mu.Lock()
	err = c.await(func(now mono.Time) (bool, error) {
		block, p, err = c.tcb.ReadBlock(now)
		return block != nil, err
	})
	c.mu.Unlock()
	return block, p, c.opError("read", err)
}

// writeBlock is a Write of p, which lies in block, and takes block over.
func (c *Conn) writeBlock(block *buffer.Block, p []byte) (int, error) {
	c.mu.Lock()
	taken, n, err := c.linkOrWrite(block, p)
	c.mu.Unlock()
	if !taken {
		block.Release()
	}
	return n, c.opError("write", err)
}

// linkOrWrite hands block to the TCB, or has it copy p where it does not take it.
func (c *Conn) linkOrWrite(block *buffer.Block, p []byte) (taken bool, n int, err error) {
	if !c.writing && c.mayWrite() == nil {
		c.call(func(now mono.Time) {
			if taken = c.tcb.WriteBlock(now, block, p); taken {
				c.deferred = false
			}
		})
	}
	if taken {
		return true, len(p), nil
	}
	n, err = c.write(p)
	return false, n, err
}

package stack

import (
	"sync"
	"time"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
)

// reassembly are the datagrams of which pieces are missing, of all engines: the pieces of
// one may come by different queues.
type reassembly struct {
	stack *Stack

	mu      sync.Mutex
	pending *ip.Reassembler
	timer   *time.Timer // expires what is never finished; nil until the first fragment
	armed   mono.Time   // when it fires; mono.Never: it does not
	closed  bool
}

func (r *reassembly) init(s *Stack) {
	r.stack = s
	r.pending = ip.NewReassembler(ip.ReassemblyLimits{})
	r.armed = mono.Never
}

// add takes in a fragment with header h. The datagram is nil unless this was its last
// missing piece.
func (r *reassembly) add(now mono.Time, h *ip.Header, packet []byte) (*ip.Datagram, ip.Drop) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, why := r.pending.Add(now, h, packet)
	evicted4, evicted6 := r.pending.Evicted()
	r.stack.count.evicted(in4, evicted4)
	r.stack.count.evicted(in6, evicted6)
	r.arm()
	return d, why
}

// arm sees to it that the timer fires no later than the oldest datagram ends. One that
// fires too early costs nothing: it is armed again.
func (r *reassembly) arm() {
	next := r.pending.Deadline()
	if r.closed || next >= r.armed {
		return
	}
	r.armed = next
	wait := next.Sub(r.stack.Now())
	if r.timer == nil {
		r.timer = time.AfterFunc(wait, r.expire)
	} else {
		r.timer.Reset(wait)
	}
}

func (r *reassembly) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// expire gives up what has taken too long, and tells whoever sent the first piece.
func (r *reassembly) expire() {
	box := getOutbox()
	defer box.put()
	for {
		first, ok := r.next()
		if !ok {
			return
		}
		if first == nil {
			continue
		}
		var h ip.Header
		ip.ParseLocal(first, &h)
		if m, ok := ip.TimeExceeded(&h, first); ok && r.stack.concerns(&h) {
			r.stack.sendError(&h, &m, box)
		}
	}
}

// next gives up one datagram. It is false when no more are due, and has armed the timer
// then.
func (r *reassembly) next() (first []byte, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false
	}
	given, ok := r.pending.Expire(r.stack.Now())
	if !ok {
		r.armed = mono.Never
		r.arm()
		return nil, false
	}
	if !given.Refused {
		r.stack.count.timedOut(given.Is4)
	}
	return given.First, true
}

// fragment takes in a fragment, frame i. When it was the last of its datagram, frame i
// becomes the datagram, and the result is true.
func (e *engine) fragment(now mono.Time, i int) bool {
	f := &e.frames[i]
	if e.accepts(&e.header) == toNobody {
		return false
	}
	add(&e.count.ip[e.family].ReasmReqds, 1)
	d, why := e.s.reassembly.add(now, &e.header, f.Data)
	if why != ip.DropNone {
		e.malformed(why, f)
		return false
	}
	if d == nil {
		return false
	}
	add(&e.count.ip[e.family].ReasmOKs, 1)
	e.blocks[i].Release()
	e.blocks[i] = buffer.NewBlock()
	*f = link.Frame{Data: d.Append(e.blocks[i].B[:0])}
	return true
}

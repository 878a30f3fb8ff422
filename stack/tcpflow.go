package stack

import (
	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/timerheap"
	"github.com/a644562b/portico/tcp"
)

// tcpFlow is what the table of connections holds under a four-tuple: a *Conn, or a smaller
// record where a state needs no whole connection. The table tells four-tuples apart by a
// hash (see flowtable.Key): a flow compares the four-tuple itself.
type tcpFlow interface {
	// deliver takes the segment in hand of an engine, which came in frame i. It is false
	// when the flow is gone already or of another four-tuple, or made way for a new
	// connection: then the segment belongs to whoever listens.
	deliver(e *engine, now mono.Time, ends tcp.Endpoints, i int) bool
	// pathError takes an ICMP error about a segment that started at seq. It is false when
	// the flow has nothing of the kind in flight.
	pathError(e *engine, now mono.Time, q *pathError, ends tcp.Endpoints, seq tcp.Seq) bool
	// describe is false when the flow is gone already.
	describe() (ConnInfo, bool)
	// abandon ends the flow on behalf of the stack or the listener, with a reset where its
	// state asks for one: nobody will ever read or write it again.
	abandon(box *outbox)
}

// sleeper is what the timers wake.
type sleeper interface {
	// sleeps is where it stands in the heap of the timers.
	sleeps() *timerheap.Place
	// tick lets pass what is due at now.
	tick(now mono.Time, box *outbox)
}

var (
	_ tcpFlow = (*Conn)(nil)
	_ sleeper = (*Conn)(nil)
)

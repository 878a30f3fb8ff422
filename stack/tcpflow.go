package stack

import (
	"fmt"
	"unsafe"

	"github.com/a644562b/portico/internal/flowtable"
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
	describe(s *Stack) (ConnInfo, bool)
	// abandon ends the flow on behalf of the stack or the listener, with a reset where its
	// state asks for one: nobody will ever read or write it again.
	abandon(s *Stack, box *outbox)
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

// flowTable is the table of the TCP flows. One of them takes 16 bytes of it, where an
// interface and its key would take 24: the tag of an entry, which is free, says what the
// pointer points to.
type flowTable struct {
	*flowtable.Table[unsafe.Pointer]
}

type flowEntry = flowtable.Entry[unsafe.Pointer]

// The tags: what a flow is.
const (
	flowConn    flowtable.Tag = iota // a *Conn
	flowRequest                      // a *request
	flowWaiting                      // a *waiting
)

func newFlowTable() flowTable { return flowTable{flowtable.New[unsafe.Pointer]()} }

func entryOf(f tcpFlow) flowEntry {
	switch f := f.(type) {
	case *Conn:
		return flowEntry{Value: unsafe.Pointer(f), Tag: flowConn}
	case *request:
		return flowEntry{Value: unsafe.Pointer(f), Tag: flowRequest}
	case *waiting:
		return flowEntry{Value: unsafe.Pointer(f), Tag: flowWaiting}
	}
	panic(fmt.Sprintf("stack: %T has no tag", f))
}

// flowOf is the inverse of entryOf.
func flowOf(e flowEntry) tcpFlow {
	switch e.Tag {
	case flowConn:
		return (*Conn)(e.Value)
	case flowRequest:
		return (*request)(e.Value)
	case flowWaiting:
		return (*waiting)(e.Value)
	}
	panic(fmt.Sprintf("stack: no flow has the tag %d", e.Tag))
}

// Get returns the flow under k, if there is one.
func (t flowTable) Get(k flowtable.Key) (tcpFlow, bool) {
	e, ok := t.Table.Get(k)
	if !ok {
		return nil, false
	}
	return flowOf(e), true
}

// Insert enters f under k unless a flow is there already; then it returns that and false.
func (t flowTable) Insert(k flowtable.Key, f tcpFlow) (tcpFlow, bool) {
	e, ok := t.Table.Insert(k, entryOf(f))
	return flowOf(e), ok
}

// Replace enters f under k in the place of old. It is false, and does nothing, when another
// flow is there.
func (t flowTable) Replace(k flowtable.Key, old, f tcpFlow) bool {
	return t.Table.Replace(k, entryOf(old), entryOf(f))
}

// Delete takes f out from under k. It does nothing when another flow is there.
func (t flowTable) Delete(k flowtable.Key, f tcpFlow) { t.Table.Delete(k, entryOf(f)) }

// Values returns the flows, in no order.
func (t flowTable) Values() []tcpFlow {
	entries := t.Entries()
	flows := make([]tcpFlow, len(entries))
	for i, e := range entries {
		flows[i] = flowOf(e)
	}
	return flows
}

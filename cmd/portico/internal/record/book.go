package record

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"github.com/a644562b/portico/tcp"
)

// ClosedKept is how many recordings a Book keeps of connections that have ended.
const ClosedKept = 64

// ID names a connection.
type ID struct {
	Serial        uint64 // unique in the life of a stack
	Local, Remote netip.AddrPort
	Passive       bool // the peer opened it
}

// Book holds the recordings of every open connection and of the last ClosedKept that
// have ended.
type Book struct {
	// OnChange, if set before the first connection, is told of every change of state and
	// of every segment sent in TIME-WAIT: whatever a Summary may be Settled by. It is
	// called from within the observer: it must be quick and must not block.
	OnChange func()
	// Remarks, if set before the first connection, gets the remarks on all of them.
	Remarks *Remarks

	mu     sync.Mutex
	open   map[uint64]*Conn
	closed []*Conn // a ring once it is full, oldest at next
	next   int
}

// NewBook returns an empty book.
func NewBook() *Book { return &Book{open: make(map[uint64]*Conn)} }

// Observe opens a recording and returns the observer that fills it.
func (b *Book) Observe(id ID) tcp.Observer {
	c := &Conn{ID: id}
	if id.Passive {
		c.state = tcp.StateListen
	}
	b.mu.Lock()
	b.open[id.Serial] = c
	b.mu.Unlock()
	remark := func(*tcp.Event) {}
	if b.Remarks != nil {
		remark = (&remarker{remarks: b.Remarks, id: id}).observe
	}
	return func(ev *tcp.Event) {
		remark(ev)
		ended := c.Observe(ev)
		if ended {
			b.close(c)
		}
		if b.OnChange != nil && (ev.Kind == tcp.EventState || ev.From == tcp.StateTimeWait) {
			b.OnChange()
		}
	}
}

// close moves a recording to those that have ended.
func (b *Book) close(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[c.Serial] != c {
		return
	}
	delete(b.open, c.Serial)
	if len(b.closed) < ClosedKept {
		b.closed = append(b.closed, c)
	} else {
		b.closed[b.next] = c
		b.next = (b.next + 1) % ClosedKept
	}
}

// all returns every recording, oldest first.
func (b *Book) all() []*Conn {
	b.mu.Lock()
	conns := make([]*Conn, 0, len(b.open)+len(b.closed))
	for _, c := range b.open {
		conns = append(conns, c)
	}
	conns = append(conns, b.closed...)
	b.mu.Unlock()
	slices.SortFunc(conns, func(x, y *Conn) int { return cmp.Compare(x.Serial, y.Serial) })
	return conns
}

// List returns a summary of every recording, oldest first.
func (b *Book) List() []Summary {
	conns := b.all()
	list := make([]Summary, len(conns))
	for i, c := range conns {
		list[i] = c.Summary()
	}
	return list
}

// Find returns the recording that ref names: its serial number, or the address and
// port of the peer, of which the newest is taken. A zone makes no difference: there is one
// device.
func (b *Book) Find(ref string) (Trace, error) {
	serial, serialErr := strconv.ParseUint(ref, 10, 64)
	remote, remoteErr := netip.ParseAddrPort(ref)
	if serialErr != nil && remoteErr != nil {
		return Trace{}, fmt.Errorf("%q is neither the number of a connection nor the peer's address:port", ref)
	}
	remote = netip.AddrPortFrom(remote.Addr().WithZone(""), remote.Port())
	conns := b.all()
	for i := len(conns) - 1; i >= 0; i-- {
		c := conns[i]
		if serialErr == nil && c.Serial == serial || remoteErr == nil && c.Remote == remote {
			return c.Trace(), nil
		}
	}
	return Trace{}, fmt.Errorf("no recording of connection %s: open ones and the last %d closed are kept", ref, ClosedKept)
}

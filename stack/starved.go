package stack

import (
	"sync"
	"sync/atomic"

	"github.com/a644562b/portico/tcp"
)

// starved are the connections whose peers may not send because the memory budget is spent.
// When memory is given back, by whichever connection, some of them open their windows, as
// many as it is worth; the goroutine of the timers sees to it.
type starved struct {
	budget *tcp.Budget
	// some is false while there are none, which is nearly always: then nobody locks.
	some  atomic.Bool
	mu    sync.Mutex
	conns map[*Conn]struct{}
	freed chan struct{} // holds one: memory has been given back
	stop  func()
}

// relief is what a window that opens again may cost: as much as a budget that is short
// leaves to a connection.
const relief = 16 * 1460

func (s *starved) init(budget *tcp.Budget) {
	s.budget = budget
	s.conns = make(map[*Conn]struct{})
	s.freed = make(chan struct{}, 1)
	s.stop = budget.Watch(s.memoryFreed)
}

// memoryFreed is called by the budget, under the lock of whatever connection gives memory
// back.
func (s *starved) memoryFreed() {
	if !s.some.Load() {
		return
	}
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// add notes a connection, which is locked.
func (s *starved) add(c *Conn) {
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.some.Store(true)
	s.mu.Unlock()
	if !s.budget.Spent() { // it was given back meanwhile
		s.memoryFreed()
	}
}

// remove forgets a connection, which is locked.
func (s *starved) remove(c *Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.some.Store(len(s.conns) > 0)
	s.mu.Unlock()
}

// take appends to list up to n connections, whichever, and forgets them.
func (s *starved) take(n int, list []*Conn) []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if len(list) == n {
			break
		}
		list = append(list, c)
		delete(s.conns, c)
	}
	s.some.Store(len(s.conns) > 0)
	return list
}

// relieveStarved lets as many connections open their windows as there is memory for.
func (s *Stack) relieveStarved(box *outbox) {
	free := s.starved.budget.Limit() - s.starved.budget.Used()
	if free <= 0 {
		return
	}
	for _, c := range s.starved.take(int(free/relief)+1, nil) {
		c.relieve(box)
	}
}

// relieve opens the window of a connection that was starved.
func (c *Conn) relieve(box *outbox) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starving = false
	if c.gone {
		return
	}
	c.tcb.Relieve()
	c.settle(c.now(), box)
}

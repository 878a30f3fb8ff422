package stack

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/timerheap"
)

// timers wakes connections at their deadlines, by one goroutine for all. Deadlines are
// lazy: one that moves later, as that of the retransmission timer does with every ACK,
// leaves the heap as it is, and the connection is put in anew when it comes up too
// early. One that goes altogether does the same, as it will soon be back, unless there is a
// crowd: then what is left behind would cost much when it comes up, for all the others that
// have to make room in the heap, and as the connection is in no cache any more, while to take
// it out at once costs little, as it stands near the end.
type timers struct {
	crowded atomic.Bool // there are more than manyTimers

	mu   sync.Mutex
	heap timerheap.Heap[sleeper]
	// sleepsUntil is when the goroutine will look again by itself.
	sleepsUntil mono.Time
	wake        chan struct{} // holds one
}

func (t *timers) init() {
	t.heap.PlaceOf = sleeper.sleeps
	t.sleepsUntil = mono.Never
	t.wake = make(chan struct{}, 1)
}

// manyTimers is a number of deadlines that do not fit into the nearest caches of a processor.
const manyTimers = 16_384

// counted follows every change of the number of deadlines.
func (t *timers) counted() {
	if is := t.heap.Len() > manyTimers; is != t.crowded.Load() {
		t.crowded.Store(is)
	}
}

// set wants c woken at when.
func (t *timers) set(c sleeper, when mono.Time) {
	t.mu.Lock()
	t.heap.Set(c, when)
	t.counted()
	early := when < t.sleepsUntil
	t.mu.Unlock()
	if early {
		t.rouse()
	}
}

// wakeBy makes sure that the goroutine looks again at when, at the latest.
func (t *timers) wakeBy(when mono.Time) {
	t.mu.Lock()
	early := when < t.sleepsUntil
	t.mu.Unlock()
	if early {
		t.rouse()
	}
}

func (t *timers) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// remove forgets c.
func (t *timers) remove(c sleeper) {
	t.mu.Lock()
	t.heap.Remove(c)
	t.counted()
	t.mu.Unlock()
}

// dueBatch is how many connections are taken from the heap at once.
const dueBatch = 256

// due appends to list the connections whose time has come, and returns when the next one
// will, or one of the waits, which the goroutine is to sleep until.
func (t *timers) due(now mono.Time, list []sleeper, l *waits) ([]sleeper, mono.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(list) < dueBatch {
		c, ok := t.heap.Pop(now)
		if !ok {
			break
		}
		list = append(list, c)
	}
	t.counted()
	t.sleepsUntil = min(t.heap.Next(), l.next())
	return list, t.sleepsUntil
}

// runTimers is the goroutine. It ends with the stack.
func (s *Stack) runTimers() {
	defer s.running.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	box := new(outbox)
	var due []sleeper
	for {
		var next mono.Time
		due, next = s.timers.due(s.Now(), due[:0], &s.waits)
		for i, c := range due {
			c.tick(s.Now(), box)
			due[i] = nil
		}
		if ended := s.endWaits(s.Now()); ended || len(due) > 0 {
			continue // there are other deadlines
		}
		var expired <-chan time.Time
		if next != mono.Never {
			timer.Reset(next.Sub(s.Now()))
			expired = timer.C
		}
		select {
		case <-expired:
		case <-s.timers.wake:
		case <-s.starved.freed:
			s.relieveStarved(box)
		case <-s.stopped:
			return
		}
	}
}

package stack

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/link"
)

// lanes are the queues of the device that are in use: the first of them, or all. The kernel
// sends a flow by the queue that it was last written to, and each connection writes to
// one of those in use.
//
// Engines on several cores take in a stream of large frames a third to a half faster than
// one. But small messages, for which waking up is most of the work, are slower: each engine
// wakes up for fewer of them (32 connections that echo had 0.9 of the answers, and 99 % of
// them within twice the time). So all share the first queue until much data moves on several.
type lanes struct {
	all   uint32
	inUse atomic.Uint32
	// due is when an engine is to look at the traffic again, a mono.Time; never while one does,
	// or spreadWhileBulk.
	due atomic.Int64
	// flow is a connection that has been seen since the last look, by its serial, 0 for none;
	// several says that there were more.
	flow    atomic.Uint64
	several atomic.Bool

	watcher trafficWatch // of whoever looks
}

func (l *lanes) init(n int) {
	l.all = uint32(n)
	l.inUse.Store(l.all)
	l.due.Store(int64(mono.Never))
}

// of is the queue for the flow with this number.
func (l *lanes) of(flow uint64) uint16 { return uint16(flow % uint64(l.inUse.Load())) }

// saw is told of connections that a batch was for: one queue is as good as several for one.
func (l *lanes) saw(batch []*Conn) {
	if len(batch) == 0 || l.all == 1 || l.several.Load() {
		return
	}
	serial := batch[0].serial
	before := l.flow.Swap(serial)
	if len(batch) > 1 || before != 0 && before != serial {
		l.several.Store(true)
	}
}

// gatherLanes begins to follow the traffic, if the device can follow suit.
func (s *Stack) gatherLanes() {
	l := &s.lanes
	if l.all == 1 || s.cfg.SpreadAlways {
		return
	}
	if s.spreadLanes(1) {
		l.due.Store(0)
	}
}

// watchTraffic is called by the goroutines of the device's engines after a batch. A Write
// that helps does not call it: nobody waits for its goroutine when the stack closes.
func (s *Stack) watchTraffic(now mono.Time) {
	l := &s.lanes
	due := l.due.Load()
	if int64(now) < due || !l.due.CompareAndSwap(due, int64(mono.Never)) {
		return // it is not time, or another engine looks
	}
	if s.movesMuch(now) {
		s.running.Go(s.spreadWhileBulk) // not here: the kernel takes its time
	} else {
		l.due.Store(int64(now.Add(lookEvery)))
	}
}

// movesMuch looks at what has moved since the last look.
func (s *Stack) movesMuch(now mono.Time) bool {
	several := s.lanes.several.Swap(false)
	s.lanes.flow.Store(0)
	return s.lanes.watcher.bulk(now, s.count.traffic(), several)
}

// spreadWhileBulk has all queues in use while much data moves. Until it ends it looks itself,
// for engines do so only when something comes.
func (s *Stack) spreadWhileBulk() {
	l := &s.lanes
	if !s.spreadLanes(l.all) {
		return
	}
	for s.pause(lookEvery) && s.movesMuch(s.Now()) {
	}
	l.inUse.Store(1)
	if s.pause(leaveWithin) && s.spreadLanes(1) {
		l.due.Store(int64(s.Now().Add(lookEvery)))
	}
}

// pause waits for d. It is false when the stack closes meanwhile.
func (s *Stack) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stopped:
		return false
	}
}

// spreadLanes makes n of the queues those in use. When the device refuses, that is the end
// of it: all of them are in use.
func (s *Stack) spreadLanes(n uint32) bool {
	l := &s.lanes
	if err := link.Spread(s.device.dev, int(n)); err != nil {
		l.inUse.Store(l.all)
		if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, link.ErrClosed) {
			s.log.Warn("the queues of the device stay as they are", slog.Any("err", err))
		}
		return false
	}
	l.inUse.Store(n)
	return true
}

const (
	// lookEvery is how often the traffic is looked at.
	lookEvery = 10 * time.Millisecond
	// leaveWithin is how long flows have to leave queues before these go: by one that it is
	// detaching the kernel drops what it would send. (Of 32 connections that echo, 3 waited
	// for a retransmission each time that they had not left; 1 in 50 times with half of it.)
	leaveWithin = 20 * time.Millisecond
	// bulkLooks is how many looks in a row must have seen much data before it counts as
	// such, and bulkLasts for how long after the last of them it still does.
	bulkLooks = 3
	bulkLasts = 200 * time.Millisecond
	// Much data are bulkRate bytes a second, in frames of bulkFrame bytes on average, both
	// directions together: acknowledgements of 52 bytes beside what is sent in
	// frames of several packets are more than that, echoes and short answers less.
	bulkRate  = 1e9 / 8
	bulkFrame = 1000
)

// traffic is how much has gone over the device, both directions together.
type traffic struct{ frames, octets uint64 }

// trafficWatch tells data in bulk from small messages.
type trafficWatch struct {
	last   traffic
	looked mono.Time
	looks  int       // in a row that saw much data
	until  mono.Time // so long it counts as bulk
}

// bulk is told how much has gone over the device up to now, and whether several connections
// have been seen since it was called last.
func (w *trafficWatch) bulk(now mono.Time, t traffic, several bool) bool {
	frames, octets := t.frames-w.last.frames, t.octets-w.last.octets
	elapsed := now.Sub(w.looked).Seconds()
	w.last, w.looked = t, now
	if !several || octets < frames*bulkFrame || float64(octets) < bulkRate*elapsed {
		w.looks = 0
	} else if w.looks++; w.looks >= bulkLooks {
		w.until = now.Add(bulkLasts)
	}
	return now < w.until
}

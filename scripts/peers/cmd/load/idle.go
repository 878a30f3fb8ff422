package main

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/scripts/peers/internal/result"
	"github.com/a644562b/portico/scripts/peers/internal/services"
)

// idle opens the connections, holds them, and reports the memory that they take: of the
// peer's process, and of the whole machine with the client's side. At the end each
// connection must still answer.
func idle(r *result.Line) (usage, usage) {
	collectGarbage()
	time.Sleep(500 * time.Millisecond)
	rss0, mem0 := rss(), memAvailable()
	before := snap()
	start := time.Now()
	cs := connectAll(services.PortHold)
	r.Seconds = time.Since(start).Seconds()
	r.Ops = int64(len(cs))
	after := snap()
	time.Sleep(*dur)
	n := float64(max(len(cs), 1))
	r.RSSConn = (rss() - rss0) / n
	r.MemConn = (mem0 - memAvailable()) / n
	collectGarbage()
	time.Sleep(500 * time.Millisecond)
	r.RSSGCConn = (rss() - rss0) / n
	r.Extra = peerStats()
	alive := releaseAll(cs)
	r.Note = fmt.Sprintf("%d of %d answered after %s", alive, *conns, *dur)
	r.Verified = errCount.Load() == 0 && int(alive) == *conns
	return before, after
}

// releaseAll asks for the answer of every connection, and returns how many gave it.
func releaseAll(cs []*net.TCPConn) int64 {
	var wg sync.WaitGroup
	var alive atomic.Int64
	sem := make(chan struct{}, atOnce)
	for _, c := range cs {
		sem <- struct{}{}
		wg.Go(func() {
			defer func() { <-sem }()
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			b := []byte{'h'}
			if _, err := c.Write(b); err != nil {
				fail("hold write", err)
				return
			}
			b[0] = 0
			if _, err := io.ReadFull(c, b); err != nil || b[0] != 'h' {
				fail("hold read", fmt.Errorf("%v %q", err, b))
				return
			}
			alive.Add(1)
		})
	}
	wg.Wait()
	return alive.Load()
}

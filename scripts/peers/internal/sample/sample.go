// Package sample looks at connections while they send: at the congestion window, at what
// is in flight and at the round trip. What it finds are sums that only grow, so that the
// difference of two readings gives the means of the time between them.
package sample

import (
	"net"
	"sync"
	"time"
)

// every is the time between two looks at a connection.
const every = 5 * time.Millisecond

// Look is what a sender shows at one moment.
type Look struct {
	Window float64       // the congestion window, in segments
	Flight float64       // what was sent and not yet acknowledged, in segments
	RTT    time.Duration // smoothed; 0 before the first measurement
}

// Looker is a connection that shows a Look of itself; one that does not, and is none of
// the kernel's either, is not sampled.
type Looker interface{ Look() Look }

// Sums are what the looks add up to.
type Sums struct {
	Looks  int64
	Window float64 // segments
	Flight float64 // segments
	RTT    float64 // microseconds
}

// Names of the sums in a Map.
const (
	Looks  = "sender_looks"
	Window = "sender_window_sum"
	Flight = "sender_flight_sum"
	RTT    = "sender_rtt_us_sum"
)

// Map names the sums, for a peer's counters or a line of results.
func (s Sums) Map() map[string]any {
	if s.Looks == 0 {
		return nil
	}
	return map[string]any{Looks: s.Looks, Window: int64(s.Window), Flight: int64(s.Flight), RTT: int64(s.RTT)}
}

// Mean gives the means back from the growth of a Map; ok is false where nobody looked.
func Mean(m map[string]any) (l Look, ok bool) {
	n := number(m[Looks])
	if n <= 0 {
		return l, false
	}
	rtt := number(m[RTT]) / n * float64(time.Microsecond)
	return Look{Window: number(m[Window]) / n, Flight: number(m[Flight]) / n, RTT: time.Duration(rtt)}, true
}

// number reads what a Map holds, before and after it was JSON.
func number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

var (
	mu  sync.Mutex
	all Sums
)

// Read returns the sums over all connections so far.
func Read() Sums {
	mu.Lock()
	defer mu.Unlock()
	return all
}

// Watch looks at c until stop is called.
func Watch(c net.Conn) (stop func()) {
	look := looker(c)
	if look == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if l, ok := look(); ok && l.RTT > 0 {
					add(l)
				}
			}
		}
	}()
	return func() { close(done) }
}

func add(l Look) {
	mu.Lock()
	defer mu.Unlock()
	all.Looks++
	all.Window += l.Window
	all.Flight += l.Flight
	all.RTT += float64(l.RTT) / float64(time.Microsecond)
}

func looker(c net.Conn) func() (Look, bool) {
	switch c := c.(type) {
	case Looker:
		return func() (Look, bool) { return c.Look(), true }
	case *net.TCPConn:
		return func() (Look, bool) { return kernel(c) }
	}
	return nil
}

package stack

import (
	"sync"
	"time"
)

// deadline is the read or write deadline of a socket, guarded by the lock of the
// condition that its waiters wait on. The zero value is not set.
type deadline struct {
	timer *time.Timer // nil while none runs
	// set counts the calls of set, so that a timer that fired just when the deadline was
	// moved cannot expire the new one.
	set     uint32
	expired bool
}

// moveTo sets the deadline, now past or yet to come; the zero time clears it. Waiters
// on cond are woken when it passes. The caller holds cond.L.
func (d *deadline) moveTo(t time.Time, cond *sync.Cond) {
	d.stop()
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		d.expired = true
		cond.Broadcast()
		return
	}
	set := d.set
	d.timer = time.AfterFunc(wait, func() {
		cond.L.Lock()
		defer cond.L.Unlock()
		if d.set != set {
			return
		}
		d.timer, d.expired = nil, true
		cond.Broadcast()
	})
}

// stop clears the deadline and leaves no timer behind.
func (d *deadline) stop() {
	d.set++
	d.expired = false
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

package tcp

import (
	"math/bits"
	"time"

	"github.com/a644562b/portico/internal/pool"
)

// timerKind names what a connection may wait for.
type timerKind uint8

const (
	timerProbe      timerKind = iota // RFC 8985, section 7; before the next, which it replaces
	timerRetransmit                  // RFC 6298
	timerPersist                     // RFC 9293, 3.8.6.1, and the override of 3.8.6.2.1
	timerDelayedAck                  // RFC 9293, 3.8.6.3
	timerReorder                     // RFC 8985, section 6.2
	timerPace                        // the next segment may leave
	timerKeepAlive                   // RFC 9293, 3.8.4
	timerLife                        // TIME-WAIT, or FIN-WAIT-2 of a closed socket
	timerLinger                      // SetLinger
	timerAutocork                    // see autocork.go
	numTimers
)

var timerNames = [numTimers]string{"probe", "retransmit", "persist", "delack", "reorder", "pace", "keepalive", "timewait", "linger", "autocork"}

// timers are deadlines, one a kind. An idle connection waits for nothing and holds none.
type timers struct {
	when *[numTimers]Time // of the kinds that run
	run  uint16           // a bit a kind
}

var timerArrays pool.Pool[[numTimers]Time]

func (t *timers) arm(k timerKind, at Time) {
	if t.when == nil {
		t.when = timerArrays.Get()
	}
	t.when[k] = at
	t.run |= 1 << k
}

func (t *timers) stop(k timerKind)       { t.run &^= 1 << k }
func (t *timers) armed(k timerKind) bool { return t.run&(1<<k) != 0 }

// stopAll stops all and gives back what they are held in.
func (t *timers) stopAll() {
	t.run = 0
	t.rest()
}

// rest is called when nothing is likely to be armed soon: the array goes back when no
// timer runs.
func (t *timers) rest() {
	if t.run == 0 && t.when != nil {
		timerArrays.Put(t.when)
		t.when = nil
	}
}

// at is the deadline of a kind; Never when it does not run.
func (t *timers) at(k timerKind) Time {
	if !t.armed(k) {
		return Never
	}
	return t.when[k]
}

// next is the earliest deadline and its kind.
func (t *timers) next() (timerKind, Time) {
	first, at := timerKind(0), Never
	for run := t.run; run != 0; run &= run - 1 {
		if k := timerKind(bits.TrailingZeros16(run)); t.when[k] < at {
			first, at = k, t.when[k]
		}
	}
	return first, at
}

// Deadline is when Tick wants to be called next; Never if not at all. It may change
// with every call of another method.
func (t *TCB) Deadline() Time {
	if t.params == nil {
		return Never
	}
	_, at := t.timers.next()
	return at
}

// Tick lets pass what is due at now (RFC 9293, 3.10.8). Calling it early does
// nothing.
func (t *TCB) Tick(now Time) {
	if t.params == nil {
		return
	}
	for {
		kind, at := t.timers.next()
		if at > now {
			return
		}
		t.timers.stop(kind)
		t.expire(now, kind)
	}
}

// Misses reports whether Tick at now will find that an acknowledgment has not come. A driver
// that may have it in hand should look before.
func (t *TCB) Misses(now Time) bool {
	return min(t.timers.at(timerProbe), t.timers.at(timerRetransmit), t.timers.at(timerReorder)) <= now
}

func (t *TCB) expire(now Time, kind timerKind) {
	switch kind {
	case timerRetransmit:
		t.retransmitTimeout(now)
	case timerPersist:
		t.persistTimeout(now)
	case timerDelayedAck:
		t.delayedAckTimeout()
	case timerReorder:
		t.reorderTimeout(now)
	case timerProbe:
		t.probeTimeout(now)
	case timerPace: // Next sends
	case timerAutocork: // likewise
		t.letGo()
	case timerKeepAlive:
		t.keepAliveTimeout(now)
	case timerLife:
		if t.state == StateTimeWait {
			t.end(now, nil, WhyTimeWaitOver)
		} else {
			t.end(now, nil, WhyFinWait2Over)
		}
	case timerLinger:
		if !t.Delivered() { // a reset now could take from the peer what it has not read
			t.tally(CountAbortOnLinger)
			t.abort(now, ErrAborted, WhyLingerOver)
		}
	}
}

// armRetransmit starts the retransmission timer anew (RFC 6298, 5.1 and 5.3). It does
// not outlast the user timeout.
func (t *TCB) armRetransmit(now Time) {
	at := now.Add(t.rto())
	if d := t.settings().userTimeout; d > 0 {
		at = max(min(at, t.progress.Add(d)), now+1)
	}
	t.timers.arm(timerRetransmit, at)
}

// settle arms and stops the timers that follow from what is left to send. It is called
// when there is nothing more to send now.
func (t *TCB) settle(now Time) {
	if t.state < StateSynSent || t.state == StateTimeWait {
		return
	}
	if t.persisting() {
		t.timers.stop(timerRetransmit)
		t.timers.stop(timerProbe)
		t.timers.stop(timerReorder)
		if !t.timers.armed(timerPersist) {
			t.timers.arm(timerPersist, now.Add(backedOff(t.rtt.base, t.persistCount, t.params.MaxRTO)))
		}
		return
	}
	t.timers.stop(timerPersist)
	t.persistCount = 0
	if t.outstanding() && !t.timers.armed(timerRetransmit) {
		t.armRetransmit(now)
	}
}

// persisting reports whether the connection can go on only by a probe: the peer's
// window is closed, or nothing is in flight and what the window takes is too
// little to be worth a segment (the override timeout of RFC 9293, 3.8.6.2.1).
func (t *TCB) persisting() bool {
	if !t.state.Synchronized() {
		return false
	}
	if t.snd.wnd == 0 {
		return t.outstanding() || t.unsent() > 0
	}
	return !t.outstanding() && t.unsent() > 0
}

// persistTimeout sends a probe. The connection is kept while probes are answered,
// however long (MUST-37).
func (t *TCB) persistTimeout(now Time) {
	if !t.persisting() {
		return
	}
	unanswered := int(t.probes) >= t.r2()
	if d := t.settings().userTimeout; d > 0 {
		unanswered = t.probes > 0 && now.Sub(t.lastRcv) >= d
	}
	if unanswered {
		t.giveUp(now)
		return
	}
	t.probes = min(t.probes+1, 250)
	if t.persistCount < 32 {
		t.persistCount++
	}
	t.set(probeDue)
	t.timers.arm(timerPersist, now.Add(backedOff(t.rtt.base, t.persistCount, t.params.MaxRTO)))
}

// armKeepAlive starts the keep-alive timer if the connection has one.
func (t *TCB) armKeepAlive(now Time) {
	k := &t.settings().keepAlive
	if !k.Enable || t.state < StateEstablished || t.state == StateTimeWait {
		t.timers.stop(timerKeepAlive)
		return
	}
	t.timers.arm(timerKeepAlive, max(t.lastRcv.Add(k.Idle), now+1))
}

// keepAliveTimeout probes a peer from which nothing has come for long while nothing is
// in flight (MUST-26). One probe without an answer means nothing (MUST-29).
func (t *TCB) keepAliveTimeout(now Time) {
	k := &t.settings().keepAlive
	if !k.Enable {
		return
	}
	if now.Sub(t.lastRcv) < k.Idle {
		t.timers.arm(timerKeepAlive, t.lastRcv.Add(k.Idle))
		return
	}
	if t.outstanding() || t.persisting() {
		t.timers.arm(timerKeepAlive, now.Add(k.Interval)) // other timers look after the peer
		return
	}
	if int(t.probes) >= k.Count {
		t.tally(CountAbortOnTimeout)
		t.abort(now, t.timedOut(), WhyKeepAliveDead)
		return
	}
	t.probes++
	t.set(keepAliveDue)
	t.timers.arm(timerKeepAlive, now.Add(k.Interval))
}

// rtoAfterSYNLoss is the timeout with which data starts when the handshake took a
// retransmission and gave no round trip (RFC 6298, 5.7).
const rtoAfterSYNLoss = 3 * time.Second

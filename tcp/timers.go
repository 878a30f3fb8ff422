package tcp

import "time"

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
	numTimers
)

var timerNames = [numTimers]string{"probe", "retransmit", "persist", "delack", "reorder", "pace", "keepalive", "timewait", "linger"}

// timers are deadlines, one a kind; Never where none is set.
type timers [numTimers]Time

func (t *timers) init() {
	for i := range t {
		t[i] = Never
	}
}

func (t *timers) arm(k timerKind, at Time) { t[k] = at }
func (t *timers) stop(k timerKind)         { t[k] = Never }
func (t *timers) stopAll()                 { t.init() }
func (t *timers) armed(k timerKind) bool   { return t[k] != Never }

// next is the earliest deadline and its kind.
func (t *timers) next() (timerKind, Time) {
	first := timerKind(0)
	for k := range t {
		if t[k] < t[first] {
			first = timerKind(k)
		}
	}
	return first, t[first]
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

func (t *TCB) expire(now Time, kind timerKind) {
	switch kind {
	case timerRetransmit:
		t.retransmitTimeout(now)
	case timerPersist:
		t.persistTimeout(now)
	case timerDelayedAck:
		if t.is(ackSoon) {
			t.set(ackNow)
			t.clear(readerWaits) // it did not come
		}
	case timerReorder:
		t.reorderTimeout(now)
	case timerProbe:
		t.probeTimeout(now)
	case timerPace: // Next sends
	case timerKeepAlive:
		t.keepAliveTimeout(now)
	case timerLife:
		if t.state == StateTimeWait {
			t.end(now, nil, WhyTimeWaitOver)
		} else {
			t.end(now, nil, WhyFinWait2Over)
		}
	case timerLinger:
		t.abort(now, ErrAborted, WhyLingerOver)
	}
}

// armRetransmit starts the retransmission timer anew (RFC 6298, 5.1 and 5.3). It does
// not outlast the user timeout.
func (t *TCB) armRetransmit(now Time) {
	at := now.Add(t.rtt.rto())
	if t.userTimeout > 0 {
		at = max(min(at, t.progress.Add(t.userTimeout)), now+1)
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
			t.timers.arm(timerPersist, now.Add(backedOff(t.rtt.base, t.persistCount, t.rtt.max)))
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
	unanswered := int(t.probes) >= t.params.R2
	if t.userTimeout > 0 {
		unanswered = t.probes > 0 && now.Sub(t.lastRcv) >= t.userTimeout
	}
	if unanswered {
		t.end(now, ErrTimeout, WhyTimeout)
		return
	}
	t.probes = min(t.probes+1, 250)
	if t.persistCount < 32 {
		t.persistCount++
	}
	t.set(probeDue)
	t.timers.arm(timerPersist, now.Add(backedOff(t.rtt.base, t.persistCount, t.rtt.max)))
}

// armKeepAlive starts the keep-alive timer if the connection has one.
func (t *TCB) armKeepAlive(now Time) {
	if t.keepAlive == nil || t.state < StateEstablished || t.state == StateTimeWait {
		t.timers.stop(timerKeepAlive)
		return
	}
	t.timers.arm(timerKeepAlive, max(t.lastRcv.Add(t.keepAlive.Idle), now+1))
}

// keepAliveTimeout probes a peer from which nothing has come for long while nothing is
// in flight (MUST-26). One probe without an answer means nothing (MUST-29).
func (t *TCB) keepAliveTimeout(now Time) {
	k := t.keepAlive
	if k == nil {
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
		t.abort(now, ErrTimeout, WhyKeepAliveDead)
		return
	}
	t.probes++
	t.set(keepAliveDue)
	t.timers.arm(timerKeepAlive, now.Add(k.Interval))
}

// rtoAfterSYNLoss is the timeout with which data starts when the handshake took a
// retransmission and gave no round trip (RFC 6298, 5.7).
const rtoAfterSYNLoss = 3 * time.Second

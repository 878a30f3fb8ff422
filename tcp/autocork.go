package tcp

import "time"

// Small Writes that follow each other closely become large segments, also with Nagle off:
// autocorking, as Linux calls it (RFC 9293, 3.9.1.2, MAY-16 and SHLD-28). Each segment costs
// a system call and all that a kernel does with a packet, some microseconds; a Write that
// only copies costs a tenth of that. (A stream of 64-byte Writes on one connection into a TUN
// went 16 times as fast.)
//
// What is held leaves when it fills all that one segment may carry, with an ACK that leaves
// anyway, when the peer acknowledges something, when the application turns to Read and finds
// nothing, or closes, and after autocorkTime: nothing is held for ever (MUST-60). A Write alone,
// and any in answer to what the peer has said last, leave at once.
const (
	// autocorkAfter is how many Writes must have followed each other, none later than
	// autocorkGap microseconds after the one before.
	autocorkAfter = 8
	autocorkGap   = 50
	// autocorkTime is how long something is held at most.
	autocorkTime = time.Millisecond
)

// wrote follows a Write, of which the send buffer took all or not. Several before Next is
// asked count as one.
func (t *TCB) wrote(now Time, all bool) {
	at := uint32(now / 1000) // in microseconds; what lies 71 minutes back or more may seem to be near
	switch {
	case t.params.NoAutocork:
		return
	case t.is(written):
	case at-t.lastWrite > autocorkGap:
		t.streak = 0
	case t.streak < autocorkAfter:
		t.streak++
	}
	t.set(written)
	t.lastWrite = at
	switch {
	case t.streak < autocorkAfter,
		!all,             // the writer waits: nothing will be added
		!t.outstanding(), // no ACK will come
		t.recovery.mode != recoveryNone || t.recovery.frto != frtoOff: // new data helps to find losses
		t.letGo()
	default:
		t.set(gathering)
	}
}

// letGo has nothing held until the next Write.
func (t *TCB) letGo() {
	t.clear(gathering)
	t.timers.stop(timerAutocork)
}

// autocorks reports whether a segment of data bytes, all that is left to send, is held back
// to become larger. mss is as for allowed.
func (t *TCB) autocorks(now Time, data, mss int) bool {
	switch held := t.timers.armed(timerAutocork); {
	case !t.is(gathering), t.is(finQueued | ackNow), data >= t.fill(maxPacket, mss),
		!held && uint32(now/1000)-t.lastWrite > autocorkGap: // something else held it back since
		t.timers.stop(timerAutocork)
		return false
	case !held:
		t.timers.arm(timerAutocork, now.Add(autocorkTime))
		t.tally(CountAutoCorking)
	}
	return true
}

// turnedToRead lets go what is held when Read has found nothing: the application waits for
// the peer, which may wait for this.
func (t *TCB) turnedToRead() {
	if t.timers.armed(timerAutocork) {
		t.letGo()
		t.set(pushDue)
	}
}

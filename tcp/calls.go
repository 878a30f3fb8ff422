package tcp

import (
	"errors"
	"io"

	"github.com/a644562b/portico/internal/buffer"
)

// The user calls (RFC 9293, 3.10.1 to 3.10.6). None waits; what they want to send comes
// out of Next.

// Errors that end a connection or answer a call. Package stack turns them into what
// package net would say.
var (
	// ErrRefused: a reset answered our SYN.
	ErrRefused = errors.New("tcp: connection refused")
	// ErrReset: the peer reset the connection.
	ErrReset = errors.New("tcp: connection reset by peer")
	// ErrAborted: we reset the connection ourselves.
	ErrAborted = errors.New("tcp: connection aborted")
	// ErrTimeout: R2, the user timeout or the last keep-alive probe passed.
	ErrTimeout = errors.New("tcp: connection timed out")
	// ErrClosing: Write after CloseWrite or Close ("connection closing").
	ErrClosing = errors.New("tcp: connection closing")
	// ErrNotConnected: a call on a TCB that is not open ("connection does not exist").
	ErrNotConnected = errors.New("tcp: connection does not exist")
)

// OpenActive is an active OPEN (3.10.1): Next sends the SYN.
func (t *TCB) OpenActive(now Time, s Setup) {
	t.setup(now, s)
	t.move(now, StateSynSent, WhyNone)
}

// OpenPassive is a passive OPEN (3.10.1): LISTEN for the peer named in s. A driver
// makes such a TCB for each SYN that reaches a listener.
func (t *TCB) OpenPassive(now Time, s Setup) {
	t.setup(now, s)
	t.set(passiveOpen)
	t.move(now, StateListen, WhyNone)
}

// Write is SEND (3.10.2): it copies what the send buffer takes of p and returns how
// many bytes that was, 0 when it is full. Before the handshake is complete the data
// waits for it.
func (t *TCB) Write(now Time, p []byte) (int, error) {
	if err := t.maySend(); err != nil {
		return 0, err
	}
	n := min(len(p), t.writeRoom())
	t.setTo(writerWaits, n < len(p))
	if n > 0 {
		t.sendBuf.Append(p[:n])
		t.charge()
		t.wrote(now, n == len(p))
	} else {
		t.letGo() // as in wrote: the writer waits
	}
	return n, nil
}

// WriteBlock is Write of p, which lies in block, without the copy. It takes block over and
// is true where p is large enough to be worth a block and the buffer has room for all of
// it; else it does nothing.
func (t *TCB) WriteBlock(now Time, block *buffer.Block, p []byte) bool {
	if t.maySend() != nil || len(p) < buffer.BlockSize/2 || len(p) > t.writeRoom() {
		return false
	}
	t.sendBuf.Link(block, p)
	t.charge()
	t.wrote(now, true)
	return true
}

// maySend is why nothing can be sent, or nil.
func (t *TCB) maySend() error {
	if t.err != nil {
		return t.err
	}
	switch t.state {
	case StateClosed:
		if t.is(finQueued) {
			return ErrClosing
		}
		return ErrNotConnected
	case StateListen:
		return ErrNotConnected
	}
	if t.is(finQueued) {
		return ErrClosing
	}
	return nil
}

// writeLimit is how much the send buffer may hold now.
func (t *TCB) writeLimit() int {
	limit := int(t.sendLimit)
	switch {
	case !t.params.Budget.Short():
	case !t.params.Budget.Spent():
		limit = min(limit, 64<<10)
	default:
		limit = min(limit, 4*int(t.mss))
	}
	return limit
}

func (t *TCB) writeRoom() int {
	room := t.writeLimit() - t.sendBuf.Len()
	if low := int(t.settings().unsentLow); low > 0 {
		room = min(room, low-t.unsent())
	}
	return max(0, room)
}

// Writable reports whether a writer that waits should be woken: Write would return an
// error, or take a quarter of what the buffer holds. (For less it would be woken by every
// ACK.)
func (t *TCB) Writable() bool {
	limit := t.writeLimit()
	if low := int(t.settings().unsentLow); low > 0 {
		limit = min(limit, 2*low) // half of it, as on Linux
	}
	return t.err != nil || t.is(finQueued) || t.state == StateClosed || 4*t.writeRoom() >= limit
}

// Read is RECEIVE (3.10.3): it copies what is there to p and returns how many bytes
// that was, 0 when nothing is there yet. After the last byte it returns io.EOF if the
// peer closed, or what ended the connection otherwise (MUST-12): what was
// acknowledged is never lost.
func (t *TCB) Read(now Time, p []byte) (int, error) {
	if !t.mayReceive() {
		return 0, t.noMore()
	}
	n := t.recvBuf.Read(p)
	t.received(now, n)
	return n, nil
}

// ReadBlock is Read of what is first, as much as is convenient, without the copy where it
// is much: the bytes are handed over with the block that they lie in. The block is nil
// when nothing is there yet, or with an error.
func (t *TCB) ReadBlock(now Time) (*buffer.Block, []byte, error) {
	if !t.mayReceive() {
		return nil, nil, t.noMore()
	}
	block, p := t.recvBuf.Take()
	t.received(now, len(p))
	return block, p, nil
}

func (t *TCB) mayReceive() bool { return t.recvBuf.Len() > 0 && !t.is(readShut) }

// received follows n bytes that the application has got.
func (t *TCB) received(now Time, n int) {
	t.urgentPassed()
	t.charge()
	t.tuneReceiveBuffer(now, n)
	t.clear(readerWaits)
	if t.is(ackSoon) && t.secondSegment() {
		t.set(ackNow) // it waited for this call, see ackText
	}
	t.ackRead()
	t.readerMadeRoom()
}

// noMore is why there is nothing to read, nil when the reader is to wait.
func (t *TCB) noMore() error {
	switch {
	case t.is(readShut), t.is(finReceived):
		return io.EOF
	case t.err != nil:
		return t.err
	case t.state == StateClosed && t.is(finQueued):
		return io.EOF // FIN-WAIT-2 given up
	case t.state == StateClosed:
		return ErrNotConnected
	}
	t.set(readerWaits)
	t.turnedToRead()
	return nil
}

// SendDue reports whether Read has left something to be sent: an ACK, news of the window, or
// what gathered from Writes. Most reads do not, and Next need not be asked after them.
func (t *TCB) SendDue() bool { return t.is(ackNow | updateWindow | pushDue) }

// Readable reports whether Read would return a byte or an error.
func (t *TCB) Readable() bool {
	return t.recvBuf.Len() > 0 || t.is(readShut) || t.is(finReceived) || t.err != nil || t.state == StateClosed
}

// CloseWrite is CLOSE as the RFC means it (3.10.4): no more to send; a FIN follows the
// data. Reading goes on.
func (t *TCB) CloseWrite(now Time) error {
	switch {
	case t.err != nil:
		return t.err
	case t.state == StateClosed && !t.is(finQueued), t.state == StateListen:
		return ErrNotConnected
	case t.is(finQueued):
		return ErrClosing
	}
	t.set(finQueued)
	switch t.state {
	case StateSynSent:
		if !t.openedFast() {
			t.end(now, nil, WhyNone) // delete the TCB
		}
	case StateEstablished:
		t.move(now, StateFinWait1, WhyNone)
	case StateCloseWait:
		t.move(now, StateLastAck, WhyNone)
	} // in SYN-RECEIVED the FIN waits for ESTABLISHED, as the RFC allows
	return nil
}

// openedFast reports whether the application has been given a connection in SYN-SENT: then
// CLOSE waits for the handshake, as everything does.
func (t *TCB) openedFast() bool { return t.fast != nil && !t.fast.cookie.IsZero() }

// CloseRead discards what is there to read and all that comes: the peer goes on being
// acknowledged, and Read returns io.EOF.
func (t *TCB) CloseRead(Time) {
	t.set(readShut)
	t.recvBuf.Clear()
	t.charge()
	if !t.is(orphaned) {
		t.readerMadeRoom()
	}
}

// Close is what close(2) does: the application is gone. Data that it did not read, or
// that arrives later, resets the connection (SHLD-3, MAY-1); otherwise what was
// written is delivered and the connection taken down while the driver goes on driving.
func (t *TCB) Close(now Time) {
	if t.is(orphaned) {
		return
	}
	unread := t.recvBuf.Len() > 0
	t.set(orphaned)
	t.CloseRead(now)
	switch {
	case t.state == StateClosed:
	case t.state == StateListen, t.state == StateSynSent && (!t.openedFast() || t.sendBuf.Len() == 0):
		t.end(now, nil, WhyNone)
	case unread:
		t.tally(CountAbortOnClose)
		t.abort(now, ErrAborted, WhyAborted)
	case t.settings().linger < 0:
		t.tally(CountAbortOnData)
		t.abort(now, ErrAborted, WhyAborted)
	default:
		if !t.is(finQueued) {
			_ = t.CloseWrite(now) // the states in which it errs are handled above
		}
		if t.state == StateFinWait2 {
			t.timers.arm(timerLife, now.Add(t.params.FinWait2))
		}
		if d := t.settings().linger; d > 0 && t.state != StateTimeWait {
			t.timers.arm(timerLinger, now.Add(d))
		}
	}
}

// Delivered reports, after CloseWrite or Close, that the peer has acknowledged everything,
// the FIN included, or that nothing more can be done.
func (t *TCB) Delivered() bool {
	return t.state == StateClosed || t.is(finSent) && !t.outstanding()
}

// Lingering reports that the application has closed the connection with a time of
// SetLinger, which is not over, and that something is still to be delivered.
func (t *TCB) Lingering() bool { return t.timers.armed(timerLinger) && !t.Delivered() }

// Abort is ABORT (3.10.5): a reset, and everything queued is dropped.
func (t *TCB) Abort(now Time) {
	if t.state != StateClosed {
		t.abort(now, ErrAborted, WhyAborted)
	}
	t.recvBuf.Clear()
	t.charge()
}

// abort ends the connection with a reset where the state asks for one.
func (t *TCB) abort(now Time, err error, why Why) {
	switch t.state {
	case StateSynReceived, StateEstablished, StateFinWait1, StateFinWait2, StateCloseWait:
		t.set(rstDue)
	case StateClosing, StateLastAck:
		// Once the FIN is sent there is nothing to reset. Before, the RFC would have
		// the connection in CLOSE-WAIT still.
		t.setTo(rstDue, t.unsent() > 0)
	}
	if t.state == StateTimeWait {
		err = nil
	}
	t.end(now, err, why)
}

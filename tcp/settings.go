package tcp

import "time"

// settings are what an application has set on a connection of its own, and few ever do:
// a TCB has them behind a pointer, so that the others do not pay for them.
type settings struct {
	keepAlive   KeepAlive // with all its defaults
	userTimeout time.Duration
	linger      time.Duration     // as Close takes it: 0 without end, below 0 not at all
	control     CongestionControl // nil: the stack's
	unsentLow   int32             // the most that Write lets be unsent; 0: no limit
	r1, r2      uint8             // R1 and R2; 0: the stack's
	cork        bool              // only full segments leave
}

// noSettings are those of a connection that has none of its own.
var noSettings settings

// settings returns them for reading.
func (t *TCB) settings() *settings {
	if t.own == nil {
		return &noSettings
	}
	return t.own
}

// ownSettings returns them for changing.
func (t *TCB) ownSettings() *settings {
	if t.own == nil {
		t.own = new(settings)
	}
	return t.own
}

// SetNoDelay turns Nagle off or on (MUST-17). It is on at first.
func (t *TCB) SetNoDelay(_ Time, on bool) {
	t.setTo(noDelay, on)
	t.letGo() // as on Linux what is held leaves
}

// SetKeepAlive changes the keep-alive settings (MUST-24, MUST-27). Zero fields of k
// mean the defaults.
func (t *TCB) SetKeepAlive(now Time, k KeepAlive) {
	if k.Enable || t.own != nil {
		t.ownSettings().keepAlive = k.withDefaults()
	}
	t.probes = 0
	if t.params != nil {
		t.armKeepAlive(now)
	}
}

// SetUserTimeout is how long data may stay unacknowledged before the connection is given
// up, instead of R2 (RFC 9293, 3.8.3, MUST-21). 0 means R2.
func (t *TCB) SetUserTimeout(now Time, d time.Duration) {
	t.ownSettings().userTimeout = max(d, 0)
	if t.params != nil && t.timers.armed(timerRetransmit) {
		t.armRetransmit(now)
	}
}

// SetLinger is what Close does with data that is not delivered: at 0 it resets the
// connection at once; above, it gives the peer that long; below (the default), as long
// as the connection lives.
func (t *TCB) SetLinger(d time.Duration) {
	switch {
	case d < 0:
		d = 0
	case d == 0:
		d = -1
	}
	t.ownSettings().linger = d
}

// SetCongestion changes the controller of the connection; the new one takes over the
// window. nil means the stack's.
func (t *TCB) SetCongestion(now Time, control CongestionControl) {
	t.ownSettings().control = control
	if t.cc == nil {
		return
	}
	if control == nil {
		control = t.params.Congestion
	}
	s := t.congestionSetup()
	s.Window, s.Ssthresh = t.cc.Window(), t.cc.Ssthresh()
	t.cc = control(s)
	t.observeCwnd(now, WhyNone)
}

// SetSendBuffer fixes how many bytes Write takes beyond what is acknowledged.
func (t *TCB) SetSendBuffer(n int) {
	t.sendLimit = int32(clampBuffer(n))
	t.set(fixedSend)
}

// SetReceiveBuffer fixes how many bytes wait for the reader at most. What has been
// promised to the peer already stays promised.
func (t *TCB) SetReceiveBuffer(_ Time, n int) {
	t.recvLimit = int32(clampBuffer(n))
	t.set(fixedReceive)
	t.readerMadeRoom()
}

// MaxRetries bounds SetRetries.
const MaxRetries = 240

// SetRetries sets R1 and R2 of this connection, its handshake included, in retransmissions
// of one segment (RFC 9293, 3.8.3, MUST-21): after r1 the connection is troubled, which
// LastSoftError tells, after r2 it is given up. 0 means the stack's, Params.R1 and R2; both
// are at most MaxRetries.
func (t *TCB) SetRetries(r1, r2 int) {
	own := t.ownSettings()
	own.r1, own.r2 = uint8(min(max(r1, 0), MaxRetries)), uint8(min(max(r2, 0), MaxRetries))
}

// SetCork holds back what does not fill a segment until the cork is drawn, the FIN is sent,
// or, with nothing in flight, a retransmission timeout has passed, as on Linux.
func (t *TCB) SetCork(_ Time, on bool) {
	if on || t.own != nil {
		t.ownSettings().cork = on
	}
	t.letGo()
}

// SetUnsentLowWater bounds how many bytes Write takes beyond what has been sent, so that
// what is written last does not wait behind much (TCP_NOTSENT_LOWAT of Linux). 0: only the
// send buffer bounds it.
func (t *TCB) SetUnsentLowWater(n int) {
	t.ownSettings().unsentLow = int32(min(max(n, 0), maxBuffer))
}

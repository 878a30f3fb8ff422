package tcp

// The receive window (RFC 9293, 3.8.6; RFC 7323, section 2).

// leastWindowShift is the least scale of the windows that we advertise: it is enough for
// the 16 MiB of the default.
const leastWindowShift = 8

// windowShift is the scale that the largest receive buffer needs (RFC 7323, section 2.3).
func (p *Params) windowShift() uint8 {
	shift := uint8(leastWindowShift)
	for shift < maxWScale && 65536<<shift < p.ReceiveBufferMax {
		shift++
	}
	return shift
}

// synWindow is the window that a SYN or SYN,ACK offers, which is never scaled.
func (p *Params) synWindow() int { return min(p.ReceiveBuffer, 65535) }

// rcvWnd is RCV.WND: how much beyond RCV.NXT has been promised and is accepted.
func (t *TCB) rcvWnd() int { return max(0, t.rcv.adv.Sub(t.rcv.nxt)) }

// roomForPeer is how much more the buffer could take now, as far as the window field
// can say it.
func (t *TCB) roomForPeer() int {
	room := t.ownRoom()
	switch {
	case !t.params.Budget.Short():
	case !t.params.Budget.Spent():
		room = min(room, 16*int(t.mss))
	case t.recvBuf.Len() == 0:
		room = min(room, 2*int(t.mss)) // a reader that keeps up is kept going
	default:
		room = 0
	}
	return min(max(0, room), 65535<<t.rcv.shift)
}

// ownRoom is how much more the buffer could take if the budget had no end.
func (t *TCB) ownRoom() int {
	if t.is(readShut) {
		return int(t.recvLimit)
	}
	return int(t.recvLimit) - t.recvBuf.Len()
}

// windowStep is the least by which the right edge moves (RFC 9293, 3.8.6.2.2, MUST-39).
func (t *TCB) windowStep() int { return min(int(t.mss), int(t.recvLimit)/2) }

// advertise moves the promised right edge as far as there is reason to, and returns
// the window field that says so.
//
// The edge never moves left (SHLD-14), also not by the rounding of the scale: a window
// that is not a multiple of its unit is rounded up. Each rounding may add up to a unit
// to what we owe room for; when these have added up to an eighth of the buffer the
// rounding goes down until the reader catches up, while everything once promised is
// still accepted.
func (t *TCB) advertise() uint16 {
	unit := 1 << t.rcv.shift
	have := t.rcvWnd()
	want := t.roomForPeer()
	if want < have+t.windowStep() {
		want = have
	}
	field := (want + unit - 1) / unit
	if field*unit > have && want == have {
		if overcommit := t.recvBuf.Len() + field*unit - int(t.recvLimit); overcommit > int(t.recvLimit)/8+unit {
			field = want / unit
		}
	}
	field = min(field, 65535)
	step := t.windowStep()
	t.setTo(starved, field*unit < step && t.ownRoom() >= have+step)
	t.rcv.adv = laterSeq(t.rcv.adv, t.rcv.nxt.Add(field*unit))
	return uint16(field)
}

// Starved reports whether the peer has a window of next to nothing only because the budget
// is spent. When memory has been given back the driver is to call Relieve: the peer would
// find out only by its next probe, which may be two minutes away.
func (t *TCB) Starved() bool { return t.is(starved) }

// Relieve tells the peer of a Starved connection that there is memory again, if there is.
func (t *TCB) Relieve() {
	if !t.is(starved) || t.params.Budget.Spent() {
		return
	}
	t.clear(starved)
	if t.receiving() && t.roomForPeer() >= t.rcvWnd()+t.windowStep() {
		t.set(updateWindow)
	}
}

// receiving reports whether the peer may still send data.
func (t *TCB) receiving() bool {
	switch t.state {
	case StateEstablished, StateFinWait1, StateFinWait2:
		return true
	}
	return false
}

// readerMadeRoom is called when the application has read: it decides whether the peer
// should hear of the room at once. The steps are larger than the RFC's least: as on Linux
// the window must double, so that a fast reader does not answer every segment twice.
func (t *TCB) readerMadeRoom() {
	if !t.receiving() {
		return
	}
	limit := min(int(t.recvLimit), 65535<<t.rcv.shift)
	step := max(t.rcvWnd(), min(2*int(t.mss), limit/2))
	if t.params.Budget.Short() {
		step = min(step, 2*int(t.mss)) // the window is kept small
	}
	// The 64 KiB of a handshake are enough for a peer that has sent little: the next ACK
	// offers the rest, and a short exchange costs no segment more.
	young := uint64(t.rcvWnd()) > max(16<<10, 2*t.count.bytesReceived)
	have, room := t.rcvWnd(), t.roomForPeer()
	if room-have >= step && !young {
		t.set(updateWindow)
	}
	least := t.windowStep()
	t.setTo(starved, have < least && room < have+least && t.ownRoom() >= have+least)
}

package tcp

import "time"

// ackNews is what one acknowledgment tells about what has been sent: it is filled while
// the scoreboard takes the acknowledgment, part by part in the order of sequence
// numbers, and read by everything that reacts.
type ackNews struct {
	now    Time
	minRTT time.Duration
	// echo is the timestamp of ours that the segment echoes, valid if hasEcho;
	// tsOffset is what our timestamps have added to the clock.
	echo, tsOffset uint32
	hasEcho        bool
	// cumulative: the parts come by the acknowledgment field, not by SACK.
	cumulative bool
	point      Seq // the recovery point: what lies before it was sent before the loss

	acked          int // numbers cumulatively acknowledged
	sacked         int // newly reported by SACK
	deliveredBytes int // newly known to have arrived, by either

	// The round trip: the newest part that was never sent again, valid if sampled and
	// nothing acknowledged was (Karn; what arrived behind a loss waited for its repair).
	sentAt  Time
	sampled bool
	// resent is when the newest retransmission among the parts was sent, or 0.
	resent Time

	// RACK (RFC 8985, section 6.2, step 2): the part that was sent last, as far as it
	// can be trusted.
	rackAt    Time
	rackEnd   Seq
	rackValid bool
	// fack is the highest number delivered so far; reordered says that something
	// below it arrived now that was never sent again (step 3).
	fack      Seq
	reordered bool

	// original: something of before the recovery point that was never sent again has
	// arrived (RFC 5682, section 3.1, step 3).
	original bool

	// The newest rate mark among the parts.
	mark        rateMark
	markAt      Time
	markLimited bool
	marked      bool

	// D-SACK (RFC 2883): the peer got [dsack.Start, dsack.End) twice.
	dsack    SACKBlock
	hasDSACK bool
}

// delivered takes n bytes of run r, up to end, that are now known to have arrived.
func (a *ackNews) delivered(r *sentRun, end Seq, n int) {
	a.deliveredBytes += n
	if r.retx > 0 {
		a.resent = max(a.resent, r.at)
	} else {
		if !a.sampled || r.at > a.sentAt {
			a.sentAt, a.sampled = r.at, true
		}
		if end.Before(a.fack) {
			a.reordered = true
		}
		if end.AtOrBefore(a.point) {
			a.original = true
		}
	}
	if end.After(a.fack) {
		a.fack = end
	}
	if a.trustworthy(r) && (!a.rackValid || r.at > a.rackAt || r.at == a.rackAt && end.After(a.rackEnd)) {
		a.rackAt, a.rackEnd, a.rackValid = r.at, end, true
	}
	if !a.marked || r.rate.delivered >= a.mark.delivered {
		a.mark, a.markAt, a.markLimited, a.marked = r.rate, r.at, r.appLimited, true
	}
}

// trustworthy reports whether the acknowledgment of r can be for its last transmission:
// for one that was sent again the echo must not be older, nor the round trip impossibly
// short (RFC 8985, section 6.2, step 2). A report by SACK is of data beyond a gap, whose
// timestamp is never echoed (RFC 7323, section 4.3): its echo says nothing.
func (a *ackNews) trustworthy(r *sentRun) bool {
	if r.retx == 0 {
		return true
	}
	return !(a.cumulative && a.echoedBefore(r.at)) && a.now.Sub(r.at) >= a.minRTT
}

// echoedBefore reports whether the acknowledgment echoes a timestamp from before at: it
// answers something that was sent earlier.
func (a *ackNews) echoedBefore(at Time) bool {
	return a.hasEcho && int32(a.echo-timestampAt(at, a.tsOffset)) < 0
}

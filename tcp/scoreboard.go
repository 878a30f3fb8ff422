package tcp

import "sort"

// sentState is where a run of sent data is, as far as we know.
type sentState uint8

const (
	inFlight sentState = iota // in the network, or delivered without our knowing
	sacked                    // at the receiver, who has told us so (RFC 2018)
	lost                      // gone; to be sent again
)

// sentRun is a run of sequence numbers that was sent with one call of Next and shares
// one fate. Together the runs cover [SND.UNA, SND.NXT) without gaps.
type sentRun struct {
	start, end Seq
	at         Time // when it was last sent
	state      sentState
	retx       uint8 // times it was sent again
}

func (r *sentRun) len() int { return r.end.Sub(r.start) }

// scoreboard is what has been sent and not cumulatively acknowledged, in order, and
// the sums that the sender asks for. A super-segment is one run until the peer reports
// a part of it; then it is split where the report says.
type scoreboard struct {
	runs        []sentRun
	head        int // runs before it are acknowledged
	flightBytes int // sum of the runs in flight
	sackedBytes int
	lostBytes   int
}

// all is the live runs.
func (s *scoreboard) all() []sentRun { return s.runs[s.head:] }

func (s *scoreboard) clear() { *s = scoreboard{} }

// account adds n bytes to the sum of a state.
func (s *scoreboard) account(state sentState, n int) {
	switch state {
	case inFlight:
		s.flightBytes += n
	case sacked:
		s.sackedBytes += n
	case lost:
		s.lostBytes += n
	}
}

// mark moves a run to another state.
func (s *scoreboard) mark(r *sentRun, to sentState) {
	s.account(r.state, -r.len())
	r.state = to
	s.account(to, r.len())
}

// sent records that [start, end), which follows everything recorded, was sent.
func (s *scoreboard) sent(start, end Seq, now Time) {
	if s.head > 0 && len(s.runs) == cap(s.runs) {
		s.runs = append(s.runs[:0], s.runs[s.head:]...)
		s.head = 0
	}
	s.runs = append(s.runs, sentRun{start: start, end: end, at: now})
	s.flightBytes += end.Sub(start)
}

// ackResult is what a cumulative acknowledgment covered.
type ackResult struct {
	// sentAt is when the newest of the covered runs was sent, valid if sampled: nothing
	// covered was retransmitted (Karn). What arrived behind a loss waited for its
	// repair: its time says nothing about the path either.
	sentAt  Time
	sampled bool
	// resent is when the newest of the covered retransmissions was sent, or 0.
	resent Time
	// sackedBefore is how much of it the peer had reported before.
	sackedBefore int
}

// ack drops everything before una.
func (s *scoreboard) ack(una Seq) ackResult {
	var res ackResult
	for s.head < len(s.runs) {
		r := &s.runs[s.head]
		if r.start.AtOrAfter(una) {
			break
		}
		covered := min(r.len(), una.Sub(r.start))
		switch {
		case r.state == sacked:
			res.sackedBefore += covered
		case r.retx > 0:
			res.resent = max(res.resent, r.at)
		case !res.sampled || r.at > res.sentAt:
			res.sentAt, res.sampled = r.at, true
		}
		s.account(r.state, -covered)
		r.start = r.start.Add(covered)
		if r.start != r.end {
			break
		}
		s.head++
	}
	res.sampled = res.sampled && res.resent == 0
	if s.head == len(s.runs) {
		s.runs, s.head = s.runs[:0], 0
		if cap(s.runs) > 4 {
			s.runs = nil
		}
	}
	return res
}

// find is the index of the run that holds seq, or of the first one after it.
func (s *scoreboard) find(seq Seq) int {
	live := s.all()
	return s.head + sort.Search(len(live), func(i int) bool { return live[i].end.After(seq) })
}

// split cuts the i-th run at seq, which must lie inside of it, so that a run starts
// there.
func (s *scoreboard) split(i int, seq Seq) {
	s.runs = append(s.runs, sentRun{})
	copy(s.runs[i+1:], s.runs[i:])
	s.runs[i].end = seq
	s.runs[i+1].start = seq
}

// sack marks [start, end) as reported. It returns how much of it is news, and the
// newest time at which a run of it that was never retransmitted was sent.
func (s *scoreboard) sack(start, end Seq) (news int, res ackResult) {
	for i := s.find(start); i < len(s.runs) && s.runs[i].start.Before(end); i++ {
		r := &s.runs[i]
		if r.state == sacked {
			continue
		}
		if r.start.Before(start) {
			s.split(i, start)
			continue
		}
		if r.end.After(end) {
			s.split(i, end)
			r = &s.runs[i]
		}
		if r.retx == 0 && (!res.sampled || r.at > res.sentAt) {
			res.sentAt, res.sampled = r.at, true
		}
		news += r.len()
		s.mark(r, sacked)
	}
	return news, res
}

// unsack forgets all reports: the receiver has reneged (RFC 2018, section 8).
func (s *scoreboard) unsack() {
	for i := range s.all() {
		if r := &s.runs[s.head+i]; r.state == sacked {
			s.mark(r, lost)
		}
	}
}

// loseAll marks everything in flight as lost.
func (s *scoreboard) loseAll() {
	for i := range s.all() {
		if r := &s.runs[s.head+i]; r.state == inFlight {
			s.mark(r, lost)
		}
	}
}

// loseFirst marks the first n bytes as lost, if they are in flight.
func (s *scoreboard) loseFirst(n int) {
	if s.head == len(s.runs) {
		return
	}
	if r := &s.runs[s.head]; r.state == inFlight {
		if r.len() > n {
			s.split(s.head, r.start.Add(n))
		}
		s.mark(&s.runs[s.head], lost)
	}
}

// loseBelowReports marks as lost what RFC 6675 calls IsLost: data in flight above
// which more than two segments have been reported. Data that was sent again is left to
// the timer: the reports may be older than it. It returns whether anything was marked.
func (s *scoreboard) loseBelowReports(mss int) bool {
	if s.sackedBytes <= 2*mss {
		return false
	}
	above, found := 0, false
	for i := len(s.runs) - 1; i >= s.head; i-- {
		r := &s.runs[i]
		switch {
		case r.state == sacked:
			above += r.len()
		case r.state == inFlight && r.retx == 0 && above > 2*mss:
			s.mark(r, lost)
			found = true
		}
	}
	return found
}

// firstLost is the index of the first lost run, or -1.
func (s *scoreboard) firstLost() int {
	if s.lostBytes == 0 {
		return -1
	}
	for i := s.head; i < len(s.runs); i++ {
		if s.runs[i].state == lost {
			return i
		}
	}
	return -1
}

// joinLost joins the i-th run, which is lost, with lost ones behind it until it has n
// bytes: small segments are repaired together.
func (s *scoreboard) joinLost(i, n int) {
	last := i
	for last+1 < len(s.runs) && s.runs[last].end.Sub(s.runs[i].start) < n && s.runs[last+1].state == lost {
		last++
		s.runs[i].retx = max(s.runs[i].retx, s.runs[last].retx)
	}
	if last > i {
		s.runs[i].end = s.runs[last].end
		s.runs = append(s.runs[:i+1], s.runs[last+1:]...)
	}
}

// resend records that the first n bytes of the i-th run, which is lost, were sent
// again.
func (s *scoreboard) resend(i, n int, now Time) {
	if s.runs[i].len() > n {
		s.split(i, s.runs[i].start.Add(n))
	}
	r := &s.runs[i]
	s.mark(r, inFlight)
	r.at = now
	if r.retx < 255 {
		r.retx++
	}
}

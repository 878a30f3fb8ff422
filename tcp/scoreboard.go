package tcp

import (
	"sort"

	"github.com/a644562b/portico/internal/pool"
)

// sentState is where a run of sent data is, as far as we know.
type sentState uint8

const (
	inFlight sentState = iota // in the network, or delivered without our knowing
	sacked                    // at the receiver, who has told us so (RFC 2018)
	lost                      // gone; to be sent again
)

// sentRun is a run of sequence numbers that was sent at one time and shares one fate.
// Together the runs cover [SND.UNA, SND.NXT) without gaps.
type sentRun struct {
	start, end Seq
	at         Time // when it was last sent
	state      sentState
	retx       uint8  // times it was sent again
	appLimited bool   // the application had no more to send then
	probe      bool   // one segment, larger than others: it tries out the path (RFC 4821)
	size       uint16 // the largest of its segments, with the options: what the MSS limits
	rate       rateMark
}

func (r *sentRun) len() int { return r.end.Sub(r.start) }

// segment is the size of the largest segment of the run, options included: of one whose
// beginning has been acknowledged only the end counts.
func (r *sentRun) segment() int { return min(int(r.size), r.len()+maxOptions) }

// sentBefore reports whether the run was sent before another that was sent at and ended
// at end (RFC 8985, section 6.2, RACK_sent_after).
func (r *sentRun) sentBefore(at Time, end Seq) bool {
	return r.at < at || r.at == at && r.end.Before(end)
}

// scoreboard is what has been sent and not cumulatively acknowledged, in order, and
// the sums that the sender asks for. A super-segment is one run until the peer reports
// a part of it; then it is split where the report says.
type scoreboard struct {
	runs        []sentRun
	head        int // runs before it are acknowledged
	flightBytes int // sum of the runs in flight
	sackedBytes int
	sackedSegs  int // reported segments, a small one counts as one (RACK.segs_sacked)
	lostBytes   int
}

// keepRuns is how many runs a scoreboard that goes back to the pool keeps room for.
const keepRuns = 16

var scoreboards pool.Pool[scoreboard]

// nothingSent is the scoreboard of every connection that has nothing in flight, so that
// an idle one holds none. Nobody writes to it: what changes a scoreboard finds runs in it,
// or does nothing.
var nothingSent scoreboard

// record is the scoreboard to record in what is sent.
func (t *TCB) record() *scoreboard {
	if t.scoreboard == &nothingSent {
		t.scoreboard = scoreboards.Get()
	}
	return t.scoreboard
}

// forgetSent drops what the scoreboard holds, and the scoreboard itself.
func (t *TCB) forgetSent() {
	s := t.scoreboard
	if t.scoreboard = &nothingSent; s == nil || s == t.scoreboard {
		return
	}
	runs := s.runs[:0]
	if cap(runs) > keepRuns {
		runs = nil
	}
	*s = scoreboard{runs: runs}
	scoreboards.Put(s)
}

// all is the live runs.
func (s *scoreboard) all() []sentRun { return s.runs[s.head:] }

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

// sent records that run, which follows everything recorded, was sent for the first time.
// What one batch sends, at one time, is one run: segments of mss, of which only the last
// may be smaller.
func (s *scoreboard) sent(run sentRun, mss int) {
	s.flightBytes += run.len()
	if n := len(s.runs); n > s.head {
		last := &s.runs[n-1]
		if last.at == run.at && last.state == inFlight && last.retx == 0 &&
			last.appLimited == run.appLimited && !last.probe && !run.probe && last.len()%mss == 0 {
			last.end = run.end
			last.size = max(last.size, run.size)
			return
		}
	}
	if s.head > 0 && len(s.runs) == cap(s.runs) {
		s.runs = append(s.runs[:0], s.runs[s.head:]...)
		s.head = 0
	}
	s.runs = append(s.runs, run)
}

// ack drops everything before una and tells news of each part.
func (s *scoreboard) ack(una Seq, news *ackNews) {
	news.cumulative = true
	defer func() { news.cumulative = false }()
	for s.head < len(s.runs) {
		r := &s.runs[s.head]
		if r.start.AtOrAfter(una) {
			break
		}
		covered := min(r.len(), una.Sub(r.start))
		if r.state == sacked {
			s.sackedSegs -= s.sackedSegs * covered / s.sackedBytes
		} else {
			news.delivered(r, r.start.Add(covered), covered)
		}
		s.account(r.state, -covered)
		r.start = r.start.Add(covered)
		if r.start != r.end {
			break
		}
		s.head++
	}
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

// remove takes the runs [i, j) off the list; what they covered must have been given to
// a neighbour.
func (s *scoreboard) remove(i, j int) {
	s.runs = append(s.runs[:i], s.runs[j:]...)
}

// sack marks [start, end) as reported and tells news of each part that was not before. Less than
// half a segment in the middle of a run tells it nothing: no receiver has so little of what
// was sent at once, and one that reports byte by byte would have a run made of each, which
// every later acknowledgment walks through. (Linux heeds whole segments only.)
func (s *scoreboard) sack(start, end Seq, mss int, news *ackNews) {
	first := s.find(start)
	i := first
	for ; i < len(s.runs) && s.runs[i].start.Before(end); i++ {
		r := &s.runs[i]
		if r.state == sacked {
			continue
		}
		if r.start.Before(start) {
			if r.end.AtOrBefore(end) || end.Sub(start) >= min(mss, int(r.size))/2 {
				s.split(i, start)
			}
			continue
		}
		if r.end.After(end) {
			s.split(i, end)
			r = &s.runs[i]
		}
		news.delivered(r, r.end, r.len())
		news.sacked += r.len()
		s.sackedSegs += (r.len() + mss - 1) / mss
		s.mark(r, sacked)
	}
	s.joinSacked(first, i)
}

// joinSacked joins neighbours among the runs [from, to) and beside them that have both
// been reported: nobody asks any more when they were sent.
func (s *scoreboard) joinSacked(from, to int) {
	i := max(from, s.head+1)
	for to = min(to+1, len(s.runs)); i < to; {
		last := i
		for last < to && s.runs[last].state == sacked && s.runs[i-1].state == sacked {
			s.runs[i-1].end = s.runs[last].end
			last++
		}
		if last > i {
			s.remove(i, last)
			to -= last - i
		}
		i++
	}
}

// unsack forgets all reports: the receiver has reneged (RFC 2018, section 8).
func (s *scoreboard) unsack() {
	for i := range s.all() {
		if r := &s.runs[s.head+i]; r.state == sacked {
			s.mark(r, lost)
		}
	}
	if s.sackedSegs > 0 {
		s.sackedSegs = 0
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

// loseLarger marks what is in flight in segments of more than size bytes as lost.
func (s *scoreboard) loseLarger(size int) {
	for i := range s.all() {
		if r := &s.runs[s.head+i]; r.state == inFlight && r.segment() > size {
			s.mark(r, lost)
		}
	}
}

// headLarger reports whether the segment at SND.UNA has more than size bytes.
func (s *scoreboard) headLarger(size int) bool {
	return s.head < len(s.runs) && s.runs[s.head].segment() > size
}

// unlose takes back that anything is lost: it was only late.
func (s *scoreboard) unlose() {
	for i := range s.all() {
		if r := &s.runs[s.head+i]; r.state == lost {
			s.mark(r, inFlight)
		}
	}
}

// extend adds n numbers that have not been sent to the last run, which is lost.
func (s *scoreboard) extend(n int) {
	s.runs[len(s.runs)-1].end = s.runs[len(s.runs)-1].end.Add(n)
	s.lostBytes += n
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

// loseLast marks the last segment in flight as lost and returns whether there was one. fin
// is the number of the FIN, if it has been sent: it rides on the segment before it.
func (s *scoreboard) loseLast(mss int, fin Seq, finSent bool) bool {
	for i := len(s.runs) - 1; i >= s.head; i-- {
		r := &s.runs[i]
		if r.state != inFlight {
			continue
		}
		data, extra := r.len(), 0
		if finSent && r.end == fin.Add(1) {
			data, extra = data-1, 1
		}
		n := data % mss
		if n == 0 {
			n = min(data, mss)
		}
		n += extra
		if r.len() > n {
			s.split(i, r.end.Add(-n))
			i++
		}
		s.mark(&s.runs[i], lost)
		return true
	}
	return false
}

// resentBytes is how much is in flight that was sent before.
func (s *scoreboard) resentBytes() (n int) {
	for i := range s.all() {
		if r := &s.runs[s.head+i]; r.state == inFlight && r.retx > 0 {
			n += r.len()
		}
	}
	return n
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
		s.runs[i].size = max(s.runs[i].size, s.runs[last].size)
	}
	if last > i {
		s.runs[i].end = s.runs[last].end
		s.remove(i+1, last+1)
	}
}

// resend records that the first n bytes of the i-th run, which is lost, were sent
// again, in segments of which the largest has size bytes with its options.
func (s *scoreboard) resend(i, n, size int, now Time, mark rateMark) {
	if s.runs[i].len() > n {
		s.split(i, s.runs[i].start.Add(n))
	}
	r := &s.runs[i]
	s.mark(r, inFlight)
	r.at, r.rate, r.size, r.probe = now, mark, uint16(size), false
	if r.retx < 255 {
		r.retx++
	}
}

package tcp

import (
	"testing"

	"pgregory.net/rapid"
)

// The scoreboard against a model of one cell a byte: whatever is done, the runs cover
// [SND.UNA, SND.NXT) without gaps and overlaps, the sums are those of the runs, and each
// byte has the state, the time and the count of retransmissions that it has in the model.

// cell is one byte in the model.
type cell struct {
	state sentState
	at    Time
	retx  uint8
}

type scoreboardModel struct {
	s     scoreboard
	cells []cell // from una on
	una   Seq
	now   Time
}

func (m *scoreboardModel) nxt() Seq { return m.una.Add(len(m.cells)) }

func (m *scoreboardModel) news() *ackNews {
	return &ackNews{now: m.now, fack: m.una, point: m.una}
}

func (m *scoreboardModel) set(from, to int, f func(*cell)) {
	for i := max(from, 0); i < min(to, len(m.cells)); i++ {
		f(&m.cells[i])
	}
}

func (m *scoreboardModel) check(t *rapid.T) {
	at := m.una
	var sums [3]int
	for _, r := range m.s.all() {
		if r.start != at || r.len() <= 0 {
			t.Fatalf("a run [%d,%d) after %d", r.start.Sub(m.una), r.end.Sub(m.una), at.Sub(m.una))
		}
		sums[r.state] += r.len()
		for i := range r.len() {
			c := m.cells[r.start.Sub(m.una)+i]
			if c.state != r.state || c.state != sacked && (c.at != r.at || c.retx != r.retx) {
				t.Fatalf("byte %d is %+v, in the scoreboard state %d, at %d, %d times again",
					r.start.Sub(m.una)+i, c, r.state, r.at, r.retx)
			}
		}
		at = r.end
	}
	if at != m.nxt() {
		t.Fatalf("the runs end at %d, SND.NXT is %d", at.Sub(m.una), len(m.cells))
	}
	if sums != [3]int{m.s.flightBytes, m.s.sackedBytes, m.s.lostBytes} {
		t.Fatalf("sums %d %d %d, of the runs %v", m.s.flightBytes, m.s.sackedBytes, m.s.lostBytes, sums)
	}
}

func TestScoreboardAgreesWithBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &scoreboardModel{una: Seq(1<<32 - 300)}
		steps := rapid.IntRange(1, 60).Draw(t, "steps")
		for range steps {
			m.now += Time(rapid.IntRange(0, 1).Draw(t, "time"))
			m.step(t, rapid.IntRange(0, 9).Draw(t, "step"))
			m.check(t)
		}
	})
}

func (m *scoreboardModel) step(t *rapid.T, what int) {
	n := len(m.cells)
	switch what {
	case 0, 1: // new data
		k := rapid.IntRange(1, 50).Draw(t, "n")
		m.s.sent(sentRun{start: m.nxt(), end: m.nxt().Add(k), at: m.now}, 1)
		for range k {
			m.cells = append(m.cells, cell{at: m.now})
		}
	case 2: // a cumulative ACK
		k := rapid.IntRange(0, n).Draw(t, "acked")
		want := 0
		for _, c := range m.cells[:k] {
			if c.state != sacked {
				want++
			}
		}
		news := m.news()
		m.s.ack(m.una.Add(k), news)
		m.cells, m.una = m.cells[k:], m.una.Add(k)
		if news.deliveredBytes != want {
			t.Fatalf("an ACK delivered %d bytes, want %d", news.deliveredBytes, want)
		}
	case 3, 4: // a block
		from := rapid.IntRange(0, n).Draw(t, "from")
		to := rapid.IntRange(from, n).Draw(t, "to")
		want := 0
		m.set(from, to, func(c *cell) {
			if c.state != sacked {
				want++
			}
			c.state = sacked
		})
		news := m.news()
		m.s.sack(m.una.Add(from), m.una.Add(to), 1, news)
		if news.sacked != want || news.deliveredBytes != want {
			t.Fatalf("a block [%d,%d) reported %d bytes, delivered %d; want %d", from, to, news.sacked, news.deliveredBytes, want)
		}
	case 5:
		m.loseSome(t, rapid.IntRange(0, 2).Draw(t, "which"), rapid.IntRange(1, 30).Draw(t, "n"))
	case 6:
		m.s.unsack()
		m.set(0, n, func(c *cell) {
			if c.state == sacked {
				c.state = lost
			}
		})
		m.adopt()
	case 7:
		m.s.unlose()
		m.set(0, n, func(c *cell) {
			if c.state == lost {
				c.state = inFlight
			}
		})
	default: // a retransmission
		i := m.s.firstLost()
		if (i >= 0) != (m.s.lostBytes > 0) {
			t.Fatalf("the first lost run is %d, %d bytes are lost", i, m.s.lostBytes)
		}
		if i < 0 {
			return
		}
		mss := rapid.IntRange(1, 40).Draw(t, "mss")
		m.s.joinLost(i, mss)
		m.adopt()
		start, k := m.s.runs[i].start.Sub(m.una), min(m.s.runs[i].len(), mss)
		for j := range start {
			if m.cells[j].state == lost {
				t.Fatalf("byte %d is lost and comes before the first lost run at %d", j, start)
			}
		}
		m.s.resend(i, k, k, m.now, rateMark{})
		m.set(start, start+k, func(c *cell) { c.state, c.at, c.retx = inFlight, m.now, c.retx+1 })
	}
}

// adopt takes times and counts of what was joined, which the scoreboard may choose, after
// checking that no state has changed and no count has got lost.
func (m *scoreboardModel) adopt() {
	for _, r := range m.s.all() {
		for i := range r.len() {
			c := &m.cells[r.start.Sub(m.una)+i]
			if c.state == r.state && (r.retx >= c.retx || r.state != inFlight) {
				c.at, c.retx = r.at, r.retx
			}
		}
	}
}

func (m *scoreboardModel) loseSome(t *rapid.T, which, k int) {
	n := len(m.cells)
	switch which {
	case 0:
		m.s.loseAll()
		m.set(0, n, func(c *cell) {
			if c.state == inFlight {
				c.state = lost
			}
		})
	case 1:
		var first int
		if live := m.s.all(); len(live) > 0 && live[0].state == inFlight {
			first = min(k, live[0].len())
		}
		m.s.loseFirst(k)
		m.set(0, first, func(c *cell) { c.state = lost })
	default:
		end := n
		for end > 0 && m.cells[end-1].state != inFlight {
			end--
		}
		lostAny := m.s.loseLast(k, 0, false)
		if lostAny != (end > 0) {
			t.Fatalf("loseLast says %v, %d bytes end in flight", lostAny, end)
		}
		// Within the run that ends there.
		i := m.s.find(m.una.Add(end - 1))
		if end > 0 {
			r := m.s.runs[i]
			if r.state != lost || r.end != m.una.Add(end) || r.len() > k {
				t.Fatalf("loseLast(%d) has marked [%d,%d), the last in flight ended at %d", k, r.start.Sub(m.una), r.end.Sub(m.una), end)
			}
			m.set(r.start.Sub(m.una), end, func(c *cell) { c.state = lost })
		}
	}
}

// TestScoreboardJoinsWhatIsReported: a stream with every report leaves few runs.
func TestScoreboardJoinsWhatIsReported(t *testing.T) {
	var s scoreboard
	s.sent(sentRun{start: 0, end: 100000}, 1)
	for at := 1000; at < 100000; at += 1000 {
		s.sack(Seq(at), Seq(at+1000), 1, &ackNews{})
	}
	if n := len(s.all()); n != 2 || s.sackedBytes != 99000 || s.flightBytes != 1000 {
		t.Fatalf("%d runs, %d bytes reported, %d in flight", n, s.sackedBytes, s.flightBytes)
	}
}

// TestReportsAreHeldAgainstTheSegmentsThatWereSent, not against those that would be sent now that
// the path carries more.
func TestReportsAreHeldAgainstTheSegmentsThatWereSent(t *testing.T) {
	var s scoreboard
	s.sent(sentRun{start: 0, end: 5360, size: 536 + 12}, 536)
	s.sack(536, 2*536, 1448, &ackNews{})
	s.sack(3*536, 3*536+260, 1448, &ackNews{}) // less than half of one
	if s.sackedBytes != 536 {
		t.Errorf("%d bytes count as reported, want 536", s.sackedBytes)
	}
}

// TestNothingSentStaysEmpty: all idle connections share one scoreboard, so nothing that
// may happen to one of them writes to it.
func TestNothingSentStaysEmpty(t *testing.T) {
	var news ackNews
	nothingSent.ack(5000, &news)
	nothingSent.sack(6000, 7000, 1000, &news)
	nothingSent.unsack()
	nothingSent.loseAll()
	nothingSent.unlose()
	nothingSent.loseFirst(1000)
	nothingSent.loseLast(1000, 0, false)
	if s := &nothingSent; s.runs != nil || s.head|s.flightBytes|s.sackedBytes|s.sackedSegs|s.lostBytes != 0 {
		t.Fatalf("it holds %+v", nothingSent)
	}
}

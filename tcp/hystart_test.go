package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// HyStart++, RFC 9406, as CUBIC's slow start shows it.

// starting is a controller in its first slow start.
type starting struct {
	*testing.T
	cc  tcp.Congestion
	now tcp.Time
}

func newStarting(t *testing.T) *starting {
	return &starting{T: t, now: tcp.Time(time.Hour),
		cc: tcp.CUBIC(tcp.CongestionSetup{MSS: 1000, Initial: 100000})}
}

// round is a round trip of n ACKs of a segment that measured rtt; it returns by how many
// bytes the window grew.
func (s *starting) round(n int, rtt time.Duration) int {
	before := s.cc.Window()
	for i := range n {
		s.now = s.now.Add(rtt / time.Duration(n))
		s.cc.Acked(tcp.Acked{Now: s.now, Bytes: 1000, RTT: rtt, SRTT: rtt, MinRTT: rtt, Limited: true, Round: i == 0})
	}
	return s.cc.Window() - before
}

func (s *starting) grows(n int, rtt time.Duration, want int) {
	s.Helper()
	if got := s.round(n, rtt); got != want {
		s.Fatalf("%d ACKs at %v let the window grow by %d bytes, want %d", n, rtt, got, want)
	}
}

func (s *starting) expectSlowStart() {
	s.Helper()
	if got := s.cc.Ssthresh(); got != tcp.MaxWindow {
		s.Fatalf("slow start has ended at %d", got)
	}
}

const ms = time.Millisecond

// TestHystartThresholds: 4.2: RttThresh = max(4 ms, min(lastRoundMinRTT/8, 16 ms)): a round
// below it is slow start, one at it conservative (after eight samples of growth whole).
func TestHystartThresholds(t *testing.T) {
	for _, c := range []struct{ base, thresh time.Duration }{
		{8 * ms, 4 * ms}, {32 * ms, 4 * ms}, {80 * ms, 10 * ms}, {128 * ms, 16 * ms}, {400 * ms, 16 * ms},
	} {
		s := newStarting(t)
		s.grows(20, c.base, 20000)
		s.grows(20, c.base+c.thresh-1, 20000)
		s.grows(20, c.base, 20000)
		// Eight ACKs are needed to tell; the growth of the eighth may be either.
		if got := s.round(20, c.base+c.thresh); got < 7000+13*250 || got > 8000+12*250 {
			t.Fatalf("base %v: the window grew by %d in a round at %v", c.base, got, c.base+c.thresh)
		}
		s.expectSlowStart()
	}
}

// TestHystartNeedsEightSamples: N_RTT_SAMPLE.
func TestHystartNeedsEightSamples(t *testing.T) {
	s := newStarting(t)
	s.grows(20, 40*ms, 20000)
	s.grows(7, 80*ms, 7000)
	s.grows(20, 40*ms, 20000)
	s.expectSlowStart()
}

// TestHystartEndsAfterFiveConservativeRounds: CSS_ROUNDS, of which the one that it
// began in counts as one.
func TestHystartEndsAfterFiveConservativeRounds(t *testing.T) {
	s := newStarting(t)
	s.grows(20, 40*ms, 20000)
	s.round(20, 80*ms) // conservative from its eighth ACK on
	for range 4 {
		s.expectSlowStart()
		s.grows(20, 80*ms, 20*250)
	}
	s.expectSlowStart()
	before := s.cc.Window()
	s.round(1, 80*ms) // the sixth round begins
	if got := s.cc.Ssthresh(); got < before || got > before+1000 {
		t.Fatalf("ssthresh %d after five rounds, cwnd was %d", got, before)
	}
	if got := s.round(20, 80*ms); got > 1000 {
		t.Fatalf("the window grew by %d in congestion avoidance", got)
	}
}

// TestHystartFalseAlarm: 4.2: the round trip falls below where it was when the
// conservative phase began: slow start goes on.
func TestHystartFalseAlarm(t *testing.T) {
	s := newStarting(t)
	s.grows(20, 40*ms, 20000)
	s.round(20, 80*ms)
	s.grows(20, 80*ms, 20*250)
	s.round(20, 79*ms) // it shows with the eighth ACK
	s.grows(20, 79*ms, 20000)
	s.expectSlowStart()
}

// TestHystartSteadyPathStaysInSlowStart.
func TestHystartSteadyPathStaysInSlowStart(t *testing.T) {
	s := newStarting(t)
	for range 30 {
		s.grows(50, 40*ms, 50000)
	}
	s.expectSlowStart()
}

// TestHystartOnlyWatchesTheFirstSlowStart: 4.3.
func TestHystartOnlyWatchesTheFirstSlowStart(t *testing.T) {
	s := newStarting(t)
	s.cc.Timeout(s.now, 100000, false)
	s.grows(20, 40*ms, 20000)
	s.grows(20, 80*ms, 20000)
	s.grows(20, 80*ms, 20000)
}

package tcp_test

import (
	"math"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// CUBIC against the formulas of RFC 9438, in segments and seconds, computed here anew.

const cubicMSS = 1000

// cubicModel is section 4 as it stands, for one congestion avoidance stage.
type cubicModel struct {
	cwnd, wMax, k, wEst, prior float64
	start                      tcp.Time
}

// stage begins congestion avoidance at a window, after a loss at wMax.
func stage(start tcp.Time, cwnd, wMax, prior float64) *cubicModel {
	m := &cubicModel{cwnd: cwnd, wMax: wMax, wEst: cwnd, prior: prior, start: start}
	if wMax > cwnd {
		m.k = math.Cbrt((wMax - cwnd) / 0.4) // figure 2
	} else {
		m.wMax = cwnd
	}
	return m
}

func (m *cubicModel) w(t float64) float64 { return 0.4*math.Pow(t-m.k, 3) + m.wMax } // figure 1

// acked is an ACK of segs segments (4.2 to 4.5).
func (m *cubicModel) acked(now tcp.Time, segs, rtt float64) {
	t := now.Sub(m.start).Seconds()
	alpha := 3 * (1 - 0.7) / (1 + 0.7)
	if m.wEst >= m.prior {
		alpha = 1
	}
	m.wEst += alpha * segs / m.cwnd // figure 4
	if m.w(t) < m.wEst {
		m.cwnd = m.wEst
		return
	}
	target := m.w(t + rtt)
	target = math.Max(m.cwnd, math.Min(target, 1.5*m.cwnd))
	m.cwnd += (target - m.cwnd) / m.cwnd * segs
}

// cubicRun drives a controller and a model by an ACK a segment, rounds of rtt.
func cubicRun(t *testing.T, c tcp.Congestion, m *cubicModel, now tcp.Time, rtt time.Duration, rounds int) tcp.Time {
	t.Helper()
	for r := range rounds {
		n := max(1, c.Window()/cubicMSS)
		for i := range n {
			at := now.Add(rtt * time.Duration(i) / time.Duration(n))
			c.Acked(tcp.Acked{Now: at, Bytes: cubicMSS, RTT: rtt, SRTT: rtt, MinRTT: rtt, Limited: true})
			m.acked(at, 1, rtt.Seconds())
		}
		now = now.Add(rtt)
		if got := float64(c.Window()) / cubicMSS; math.Abs(got-m.cwnd) > 0.01*m.cwnd+0.01 {
			t.Fatalf("round %d: window %.3f segments, by RFC 9438 %.3f (K %.3f)", r, got, m.cwnd, m.k)
		}
	}
	return now
}

func cubicAt(segs int) tcp.Congestion {
	return tcp.CUBIC(tcp.CongestionSetup{MSS: cubicMSS, Initial: segs * cubicMSS})
}

const cubicStart = tcp.Time(time.Hour)

// TestCubicReducesToSevenTenths: 4.6.
func TestCubicReducesToSevenTenths(t *testing.T) {
	c := cubicAt(100)
	c.Recovery(cubicStart, 100*cubicMSS)
	if c.Window() != 70*cubicMSS || c.Ssthresh() != 70*cubicMSS {
		t.Fatalf("cwnd %d, ssthresh %d", c.Window(), c.Ssthresh())
	}
	c = cubicAt(2)
	c.Recovery(cubicStart, cubicMSS)
	if c.Window() != 2*cubicMSS || c.Ssthresh() != 2*cubicMSS {
		t.Fatalf("cwnd %d, ssthresh %d; two segments are the least", c.Window(), c.Ssthresh())
	}
}

// TestCubicGrowsBackToWMax: 4.2, 4.4, 4.5: concave, W_max about K after the reduction,
// then convex, in each region as the formulas say.
func TestCubicGrowsBackToWMax(t *testing.T) {
	for _, rtt := range []time.Duration{5 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
		c := cubicAt(1000)
		c.Recovery(cubicStart, 1000*cubicMSS)
		m := stage(cubicStart, 700, 1000, 1000)
		rounds := int(1.5 * m.k / rtt.Seconds())
		cubicRun(t, c, m, cubicStart, rtt, min(rounds, 400))
	}
	c := cubicAt(1000)
	c.Recovery(cubicStart, 1000*cubicMSS)
	m := stage(cubicStart, 700, 1000, 1000)
	if math.Abs(m.k-9.0856) > 1e-3 { // cbrt(300/0.4)
		t.Fatalf("K %v", m.k)
	}
	cubicRun(t, c, m, cubicStart, 100*time.Millisecond, 91)
	if got := c.Window() / cubicMSS; got < 999 || got > 1001 {
		t.Fatalf("window %d at K, W_max is 1000", got)
	}
}

// TestCubicIsRenoFriendly: 4.3: on a short path the window grows by alpha a round trip
// until it is where it was, and then by one.
func TestCubicIsRenoFriendly(t *testing.T) {
	c := cubicAt(20)
	c.Recovery(cubicStart, 20*cubicMSS)
	m := stage(cubicStart, 14, 20, 20)
	now := cubicRun(t, c, m, cubicStart, time.Millisecond, 8)
	if got := float64(c.Window()) / cubicMSS; math.Abs(got-(14+8*9.0/17)) > 0.3 {
		t.Fatalf("window %.2f after eight round trips, AIMD(9/17, 0.7) has %.2f", got, 14+8*9.0/17)
	}
	now = cubicRun(t, c, m, now, time.Millisecond, 12)
	before := float64(c.Window())
	cubicRun(t, c, m, now, time.Millisecond, 4)
	if got := (float64(c.Window()) - before) / cubicMSS; got < 3.5 || got > 4.5 {
		t.Fatalf("above cwnd_prior the window grew by %.2f in four round trips", got)
	}
}

// TestCubicConvergesFast: 4.7: a loss below the last W_max leaves room for others.
func TestCubicConvergesFast(t *testing.T) {
	c := cubicAt(100)
	c.Recovery(cubicStart, 100*cubicMSS) // W_max 100, cwnd 70
	c.Recovery(cubicStart, 70*cubicMSS)  // cwnd 70 < W_max: W_max = 70*(1+0.7)/2
	m := stage(cubicStart, 49, 70*1.7/2, 70)
	cubicRun(t, c, m, cubicStart, 100*time.Millisecond, 60)
}

// TestCubicDoesNotGrowUnused: 5.8, RFC 7661: and the time in which the window was not
// used does not count.
func TestCubicDoesNotGrowUnused(t *testing.T) {
	const r = 100 * time.Millisecond
	c := cubicAt(100)
	c.Recovery(cubicStart, 100*cubicMSS)
	m := stage(cubicStart, 70, 100, 100)
	now := cubicRun(t, c, m, cubicStart, r, 20)
	before := c.Window()
	for range 600 { // a minute
		c.Acked(tcp.Acked{Now: now, Bytes: 10 * cubicMSS, RTT: r, SRTT: r, MinRTT: r})
		now = now.Add(r)
	}
	if c.Window() != before {
		t.Fatalf("the window went from %d to %d unused", before, c.Window())
	}
	for range c.Window() / cubicMSS {
		c.Acked(tcp.Acked{Now: now, Bytes: cubicMSS, RTT: r, SRTT: r, MinRTT: r, Limited: true})
	}
	if got := c.Window() - before; got > 3*cubicMSS {
		t.Fatalf("the window jumped by %d bytes in the first round trip after", got)
	}
}

// TestCubicTimeout: 4.8: one segment, ssthresh at seven tenths; the congestion avoidance
// that follows starts with K = 0 and W_max = cwnd.
func TestCubicTimeout(t *testing.T) {
	const r = 100 * time.Millisecond
	c := cubicAt(100)
	c.Timeout(cubicStart, 100*cubicMSS, false)
	if c.Window() != cubicMSS || c.Ssthresh() != 70*cubicMSS {
		t.Fatalf("cwnd %d, ssthresh %d", c.Window(), c.Ssthresh())
	}
	c.Timeout(cubicStart, cubicMSS, true)
	if c.Ssthresh() != 70*cubicMSS {
		t.Fatalf("ssthresh %d after the second timeout of the same segment", c.Ssthresh())
	}
	now := cubicStart
	for range 69 {
		c.Acked(tcp.Acked{Now: now, Bytes: cubicMSS, RTT: r, SRTT: r, MinRTT: r, Limited: true})
	}
	if c.Window() != 70*cubicMSS {
		t.Fatalf("slow start ends at %d", c.Window())
	}
	m := stage(now, 70, 70, 100)
	cubicRun(t, c, m, now, r, 30)
}

// TestCubicUndo: 4.9: as before, and the cubic function goes on where it was.
func TestCubicUndo(t *testing.T) {
	const r = 100 * time.Millisecond
	for name, reduce := range map[string]func(tcp.Congestion, tcp.Time){
		"recovery": func(c tcp.Congestion, now tcp.Time) { c.Recovery(now, c.Window()) },
		"timeout":  func(c tcp.Congestion, now tcp.Time) { c.Timeout(now, c.Window(), false) },
	} {
		c := cubicAt(100)
		c.Recovery(cubicStart, 100*cubicMSS)
		m := stage(cubicStart, 70, 100, 100)
		now := cubicRun(t, c, m, cubicStart, r, 20)
		cwnd, ssthresh := c.Window(), c.Ssthresh()
		reduce(c, now)
		c.Undo(now)
		if c.Window() != cwnd || c.Ssthresh() != ssthresh {
			t.Fatalf("%s: cwnd %d, ssthresh %d after undo, were %d, %d", name, c.Window(), c.Ssthresh(), cwnd, ssthresh)
		}
		cubicRun(t, c, m, now, r, 20)
	}
}

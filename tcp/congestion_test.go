package tcp_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/a644562b/portico/tcp"
)

// TestControllersStayWithinBounds: whatever happens to a controller, in whatever order,
// its window is at least a segment and at most 1 GiB, and nothing overflows.
func TestControllersStayWithinBounds(t *testing.T) {
	for _, name := range []string{"cubic", "newreno"} {
		t.Run(name, func(t *testing.T) {
			make, err := tcp.CongestionByName(name)
			if err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(t *rapid.T) { boundsHold(t, make) })
		})
	}
}

func boundsHold(t *rapid.T, control tcp.CongestionControl) {
	mss := rapid.IntRange(88, 65535).Draw(t, "mss")
	s := tcp.CongestionSetup{MSS: mss, Initial: mss * rapid.IntRange(1, 100).Draw(t, "initial")}
	if rapid.Bool().Draw(t, "takes over") {
		s.Window = rapid.IntRange(mss, 1<<29).Draw(t, "window")
		s.Ssthresh = rapid.SampledFrom([]int{2 * mss, 1 << 29, tcp.MaxWindow}).Draw(t, "ssthresh")
	}
	c := control(s)
	now := tcp.Time(rapid.Int64Range(0, int64(10*time.Hour)).Draw(t, "now"))
	span := func(name string) time.Duration {
		// 1 µs to 1 h, all magnitudes alike.
		return time.Duration(math.Pow(10, rapid.Float64Range(3, 12.556).Draw(t, name)))
	}
	for range rapid.IntRange(1, 60).Draw(t, "events") {
		now = now.Add(span("passed"))
		flight := rapid.IntRange(0, c.Window()).Draw(t, "flight")
		before := c.Window()
		switch what := rapid.IntRange(0, 9).Draw(t, "event"); what {
		case 0:
			c.Recovery(now, flight)
		case 1:
			c.Recovered(now)
		case 2:
			c.Timeout(now, flight, rapid.Bool().Draw(t, "again"))
		case 3:
			c.Undo(now)
		case 4:
			c.Idle(now)
			if c.Window() > before {
				t.Fatalf("an idle time has raised the window from %d to %d", before, c.Window())
			}
		default:
			r := span("rtt")
			a := tcp.Acked{
				Now: now, Bytes: rapid.IntRange(1, max(1, 2*before)).Draw(t, "bytes"),
				RTT: r, SRTT: span("srtt"), MinRTT: r, Flight: flight,
				Limited: rapid.Bool().Draw(t, "limited"), Round: rapid.Bool().Draw(t, "round"),
			}
			if rapid.IntRange(0, 3).Draw(t, "no sample") == 0 {
				a.RTT = 0
			}
			c.Acked(a)
			if c.Window() < before {
				t.Fatalf("an ACK has lowered the window from %d to %d", before, c.Window())
			}
			if !a.Limited && c.Window() != before {
				t.Fatalf("the window grew from %d to %d without being used", before, c.Window())
			}
		}
		if w := c.Window(); w < mss || w > 1<<30 {
			t.Fatalf("window %d at an MSS of %d", w, mss)
		}
		if st := c.Ssthresh(); st < 2*mss || st > tcp.MaxWindow {
			t.Fatalf("ssthresh %d at an MSS of %d", st, mss)
		}
		if p := c.PacingRate(); math.IsNaN(p) || math.IsInf(p, 0) || p < 0 {
			t.Fatalf("pacing rate %v", p)
		}
	}
}

// TestNewRenoGrowth: RFC 5681, 3.1: slow start by what was acknowledged, congestion
// avoidance by a segment a window.
func TestNewRenoGrowth(t *testing.T) {
	c := tcp.NewReno(tcp.CongestionSetup{MSS: 1000, Initial: 10000})
	ack := func(bytes int) { c.Acked(tcp.Acked{Now: 1, Bytes: bytes, Limited: true}) }
	window := func(want int) {
		t.Helper()
		if c.Window() != want {
			t.Fatalf("window %d, want %d", c.Window(), want)
		}
	}
	for n := range 10 {
		ack(1000)
		window(11000 + n*1000)
	}
	c.Recovery(1, 20000)
	window(10000)
	if c.Ssthresh() != 10000 {
		t.Fatalf("ssthresh %d", c.Ssthresh())
	}
	for w := 10000; w < 15000; w += 1000 {
		for n := range w / 1000 {
			window(w)
			_ = n
			ack(1000)
		}
	}
	window(15000)
	c.Undo(1)
	window(20000)
	c.Timeout(1, 20000, false)
	window(1000)
	if c.Ssthresh() != 10000 {
		t.Fatalf("ssthresh %d", c.Ssthresh())
	}
	ack(1000)
	window(2000)
	c.Timeout(1, 2000, true)
	window(1000)
	if c.Ssthresh() != 10000 {
		t.Fatalf("ssthresh %d after the second timeout of a segment", c.Ssthresh())
	}
	c.Recovery(1, 1000)
	window(2000) // RFC 5681, equation 4: two segments are the least
}

// TestControllerChangesOnTheWay: the new one takes over the window.
func TestControllerChangesOnTheWay(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.send(". 1 ack 1 <nop,nop,sack 1001:4001>")
	d.expect(". 1(1000) ack 1")
	d.send(". 1 ack 10001")
	d.expectNothing()
	before := d.info()
	d.call("SetCongestion", func() { d.tcb.SetCongestion(d.now, tcp.NewReno) })
	if i := d.info(); i.Congestion != "newreno" || i.Cwnd != before.Cwnd || i.Ssthresh != before.Ssthresh {
		d.fail("%s with cwnd %d, ssthresh %d; were %d, %d", i.Congestion, i.Cwnd, i.Ssthresh, before.Cwnd, before.Ssthresh)
	}
}

package path

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
)

const ms = mono.Time(time.Millisecond)

// full is a packet of 1,250 bytes: 10,000 bits, 1 ms at 10 Mbit/s.
var full = Packet{Size: 1250}

func direction(t *testing.T, c Config) *Direction {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return New(c, 0)
}

// arrives wants v to be an arrival at that time after that wait.
func arrives(t *testing.T, v Verdict, at mono.Time, wait time.Duration) {
	t.Helper()
	if v.Fate != Arrives || v.At != at || v.Wait != wait {
		t.Errorf("%v at %v after waiting %v, want an arrival at %v after %v",
			v.Fate, time.Duration(v.At), v.Wait, time.Duration(at), wait)
	}
}

func TestAnIdlePathTakesSerializationAndPropagation(t *testing.T) {
	d := direction(t, Config{Rate: 10_000_000, Delay: 20 * time.Millisecond})
	arrives(t, d.Send(5*ms, full), 5*ms+1*ms+20*ms, 0)
	arrives(t, d.Send(100*ms, Packet{Size: 40}), 100*ms+32_000+20*ms, 0)
}

func TestPacketsQueueBehindOneAnother(t *testing.T) {
	d := direction(t, Config{Rate: 10_000_000, Delay: 20 * time.Millisecond})
	for i := range 5 {
		arrives(t, d.Send(0, full), mono.Time(i+1)*ms+20*ms, time.Duration(i)*time.Millisecond)
	}
	arrives(t, d.Send(3*ms, full), 6*ms+20*ms, 2*time.Millisecond)
}

// 3 Mbit/s do not divide a second: a thousand packets take what they take to a
// nanosecond, not a thousand roundings more.
func TestTheRateIsMetExactly(t *testing.T) {
	d := direction(t, Config{Rate: 3_000_000})
	var v Verdict
	for range 1000 {
		v = d.Send(0, full)
	}
	if want := mono.Time(10_000 * 1000 * 1000 / 3); v.At != want {
		t.Errorf("the last arrives at %d, want %d", v.At, want)
	}
}

func TestWithoutARateAndDelayPacketsArriveAtOnce(t *testing.T) {
	d := direction(t, Config{})
	arrives(t, d.Send(7, Packet{Size: 65535}), 7, 0)
}

func TestTheQueueDropsAtItsLimitExactly(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		fits int
	}{
		{"packets", Config{Rate: 10_000_000, QueuePackets: 3}, 3},
		{"bytes", Config{Rate: 10_000_000, QueueBytes: 3750}, 3},
		{"one byte short", Config{Rate: 10_000_000, QueueBytes: 3749}, 2},
	} {
		d := direction(t, c.cfg)
		for i := range 5 {
			want := Arrives
			if i >= c.fits {
				want = QueueFull
			}
			if v := d.Send(0, full); v.Fate != want {
				t.Errorf("%s: packet %d: %v, want %v", c.name, i, v.Fate, want)
			}
		}
		// At 1 ms, the first has left.
		if v := d.Send(1*ms-1, full); v.Fate != QueueFull {
			t.Errorf("%s: there is room before the first has left: %v", c.name, v.Fate)
		}
		arrives(t, d.Send(1*ms, full), mono.Time(c.fits+1)*ms, time.Duration(c.fits-1)*time.Millisecond)
		s := d.Stats(1 * ms)
		if s.Packets[QueueFull] != uint64(6-c.fits) || s.Packets[Arrives] != uint64(c.fits+1) || s.MaxPackets != c.fits || s.Sent() != 7 {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func TestTheRateChangesInTheMiddleOfAPacket(t *testing.T) {
	d := direction(t, Config{Rate: 10_000_000, Rates: []RateChange{{At: 10*ms + ms/2, Rate: 1_000_000}, {At: 20 * ms, Rate: 100_000_000}}})
	// Half a packet in half a millisecond, the other half at a tenth of the rate.
	arrives(t, d.Send(10*ms, full), 10*ms+ms/2+5*ms, 0)
	// Of the next, 15.5 to 20 ms carry 4,500 bits; 5,500 bits take 55 µs.
	arrives(t, d.Send(10*ms, full), 20*ms+55_000, 5500*time.Microsecond)
	arrives(t, d.Send(30*ms, full), 30*ms+100_000, 0)
	for _, c := range []struct {
		at   mono.Time
		want int64
	}{{0, 10_000_000}, {11 * ms, 1_000_000}, {20 * ms, 100_000_000}} {
		if got := d.Rate(c.at); got != c.want {
			t.Errorf("rate at %v is %d", time.Duration(c.at), got)
		}
	}
}

func TestAStallHoldsPacketsAndLosesNone(t *testing.T) {
	d := direction(t, Config{Rate: 10_000_000, Stalls: []Window{{From: 10 * ms, To: 30 * ms}}})
	arrives(t, d.Send(9*ms+ms/2, full), 30*ms+ms/2, 0) // half before, half after
	arrives(t, d.Send(15*ms, full), 31*ms+ms/2, 15500*time.Microsecond)
	arrives(t, d.Send(40*ms, full), 41*ms, 0)
	d = direction(t, Config{Stalls: []Window{{From: 10 * ms, To: 30 * ms}}}) // of a link without a rate
	arrives(t, d.Send(10*ms, full), 30*ms, 20*time.Millisecond)
	arrives(t, d.Send(30*ms, full), 30*ms, 0)
}

func TestABlackHoleTakesWhatIsSentIntoIt(t *testing.T) {
	d := direction(t, Config{Rate: 10_000_000, BlackHoles: []Window{{From: 5 * ms, To: 7 * ms}}})
	arrives(t, d.Send(5*ms-1, full), 6*ms-1, 0)
	for _, at := range []mono.Time{5 * ms, 6 * ms, 7*ms - 1} {
		if v := d.Send(at, full); v.Fate != BlackHole {
			t.Errorf("at %v: %v", time.Duration(at), v.Fate)
		}
	}
	arrives(t, d.Send(7*ms, full), 8*ms, 0)
}

func TestTheDelayChanges(t *testing.T) {
	d := direction(t, Config{Delay: 20 * time.Millisecond, Delays: []DelayChange{{At: 10 * ms, Delay: 50 * time.Millisecond}, {At: 20 * ms, Delay: 5 * time.Millisecond}}})
	arrives(t, d.Send(10*ms-1, full), 30*ms-1, 0)
	arrives(t, d.Send(10*ms, full), 60*ms, 0)
	arrives(t, d.Send(20*ms, full), 60*ms, 0) // it does not overtake
	arrives(t, d.Send(56*ms, full), 61*ms, 0)
}

func TestTheQueueMarksFromItsThresholdOn(t *testing.T) {
	for _, cfg := range []Config{{Rate: 10_000_000, MarkPackets: 2}, {Rate: 10_000_000, MarkBytes: 2500}} {
		d := direction(t, cfg)
		for i := range 4 {
			if v := d.Send(0, Packet{Size: 1250, ECT: true}); v.Marked != (i >= 2) {
				t.Errorf("packet %d: marked is %v", i, v.Marked)
			}
		}
		if v := d.Send(0, full); v.Marked || v.Fate != Arrives {
			t.Errorf("a packet that is not ECT: %+v", v)
		}
		if s := d.Stats(0); s.Marked != 2 {
			t.Errorf("%d are counted", s.Marked)
		}
	}
}

func TestThePolicerDropsWhatExceedsItsBucket(t *testing.T) {
	d := direction(t, Config{PoliceRate: 10_000_000, PoliceBurst: 2500})
	for i, want := range []Fate{Arrives, Arrives, Policed} {
		if v := d.Send(0, full); v.Fate != want {
			t.Errorf("packet %d: %v", i, v.Fate)
		}
	}
	if v := d.Send(1*ms-1, full); v.Fate != Policed {
		t.Errorf("a nanosecond early: %v", v.Fate)
	}
	if v := d.Send(1*ms, full); v.Fate != Arrives {
		t.Errorf("when paid for: %v", v.Fate)
	}
	for i, want := range []Fate{Arrives, Arrives, Policed} { // an hour fills no more than the bucket
		if v := d.Send(mono.Time(time.Hour), full); v.Fate != want {
			t.Errorf("after an hour, packet %d: %v", i, v.Fate)
		}
	}
}

func TestAPacketThatIsHeldBackIsOvertaken(t *testing.T) {
	d := direction(t, Config{Delay: 10 * time.Millisecond, Reorder: 0.5, ReorderBy: 3 * time.Millisecond})
	late := 0
	for i := range 1000 {
		now := mono.Time(i) * ms
		want := now + 10*ms
		v := d.Send(now, full)
		if v.Late {
			late++
			want += 3 * ms
		}
		arrives(t, v, want, 0)
	}
	if late < 450 || late > 550 {
		t.Errorf("%d of 1000 are late at 50 %%", late)
	}
}

func TestJitterKeepsTheOrder(t *testing.T) {
	d := direction(t, Config{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond})
	var last mono.Time
	spread := false
	for i := range 1000 {
		now := mono.Time(i) * ms
		v := d.Send(now, full)
		if v.At < last || v.At < now+10*ms || v.At > now+15*ms {
			t.Fatalf("packet %d: %v after %v", i, time.Duration(v.At), time.Duration(last))
		}
		spread = spread || v.At > now+14*ms
		last = v.At
	}
	if !spread {
		t.Error("nothing was delayed by nearly the most")
	}
}

func TestLossesComeAsOftenAsAsked(t *testing.T) {
	const n = 200_000
	count := func(c Config, p Packet, fate Fate) float64 {
		d := direction(t, c)
		for i := range n {
			d.Send(mono.Time(i), p)
		}
		s := d.Stats(n)
		return float64(s.Packets[fate]) / n
	}
	bare := Packet{Size: 52, Bare: true}
	for _, c := range []struct {
		name string
		got  float64
		want float64
	}{
		{"at random", count(Config{Loss: 0.01}, full, Lost), 0.01},
		{"of ACKs", count(Config{BareLoss: 0.2}, bare, Lost), 0.2},
		{"of ACKs, met by data", count(Config{BareLoss: 0.2}, full, Lost), 0},
		{"in bursts", count(Config{Burst: Bursts(0.01, 5)}, full, LostBurst), 0.01},
	} {
		if math.Abs(c.got-c.want) > c.want*0.1 {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestBurstsHaveTheirLength(t *testing.T) {
	d := direction(t, Config{Burst: Bursts(0.02, 8)})
	runs, lost, before := 0, 0, false
	for i := range 500_000 {
		now := d.Send(mono.Time(i), full).Fate == LostBurst
		if now {
			lost++
			if !before {
				runs++
			}
		}
		before = now
	}
	if mean := float64(lost) / float64(runs); math.Abs(mean-8) > 0.5 {
		t.Errorf("bursts of %.2f packets on average, want 8", mean)
	}
}

// One setting does not deal the fates of another anew.
func TestChancesAreIndependentOfOneAnother(t *testing.T) {
	fates := func(c Config) (lost []bool) {
		d := direction(t, c)
		for i := range 2000 {
			f := d.Send(mono.Time(i), full).Fate
			lost = append(lost, f == Lost)
		}
		return lost
	}
	alone := fates(Config{Seed: 3, Loss: 0.1})
	with := fates(Config{Seed: 3, Loss: 0.1, Reorder: 0.3, ReorderBy: 1, Jitter: 5, Duplicate: 0.2, Rate: 1_000_000})
	other := fates(Config{Seed: 4, Loss: 0.1})
	same := true
	for i := range alone {
		if alone[i] != with[i] {
			t.Fatalf("packet %d has another fate", i)
		}
		same = same && alone[i] == other[i]
	}
	if same {
		t.Error("another seed deals the same fates")
	}
}

func TestTheStreamsOfASeedDiffer(t *testing.T) {
	a, b := New(Config{Loss: 0.5}, 0), New(Config{Loss: 0.5}, 1)
	same := 0
	for i := range 1000 {
		if a.Send(mono.Time(i), full).Fate == b.Send(mono.Time(i), full).Fate {
			same++
		}
	}
	if same > 600 {
		t.Errorf("%d of 1000 fates are the same", same)
	}
}

// Two packets: 2 ms with a packet or two, then nothing. Weighted by time that is
// 1 ms of 2,500 bytes, 1 ms of 1,250, 8 ms of none.
func TestTheDepthOfTheQueueIsWeightedByTime(t *testing.T) {
	d := direction(t, Config{Rate: 10_000_000})
	d.Send(0, full)
	d.Send(0, full)
	if packets, bytes := d.Backlog(ms / 2); packets != 2 || bytes != 2500 {
		t.Errorf("backlog of %d packets, %d bytes", packets, bytes)
	}
	if left := d.Drain(ms / 2); left != 1500*time.Microsecond {
		t.Errorf("it takes %v more", left)
	}
	depth := d.Stats(10 * ms).Depth
	if depth.Mean() != 375 || depth.Quantile(0.8) != 0 || depth.Quantile(0.85) != 1250 || depth.Max() < 2499 || depth.Weight() != int64(10*ms) {
		t.Errorf("mean %v p80 %d p85 %d max %d over %d", depth.Mean(), depth.Quantile(0.8), depth.Quantile(0.85), depth.Max(), depth.Weight())
	}
}

func TestBadConfigsAreRefused(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Loss: 1.1}, "Loss"},
		{Config{BareLoss: math.NaN()}, "BareLoss"},
		{Config{Delay: -1}, "Delay"},
		{Config{Rate: 10}, "rate"},
		{Config{Rates: []RateChange{{0, 5}}}, "rate"},
		{Config{QueueBytes: -1}, "length"},
		{Config{Burst: Burst{Enter: 0.1}}, "never end"},
		{Config{Reorder: 0.1}, "ReorderBy"},
		{Config{PoliceRate: 1000000}, "PoliceBurst"},
		{Config{Stalls: []Window{{From: 5, To: 5}}}, "empty"},
		{Config{Rates: []RateChange{{5, 1000}, {4, 1000}}}, "order"},
		{Config{Delays: []DelayChange{{5, 1}, {4, 1}}}, "order"},
	} {
		if err := c.cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

func TestPacketsWithDataAreDroppedByTheirNumber(t *testing.T) {
	d := direction(t, Config{Drops: []Range{{2, 2}, {4, 5}}})
	data := Packet{Size: 1250, Data: true}
	for i, want := range []Fate{Arrives, Dropped, Arrives, Dropped, Dropped, Arrives} {
		if v := d.Send(0, data); v.Fate != want {
			t.Errorf("packet %d: %v, want %v", i+1, v.Fate, want)
		}
		if v := d.Send(0, Packet{Size: 40}); v.Fate != Arrives {
			t.Errorf("one without data: %v", v.Fate)
		}
	}
}

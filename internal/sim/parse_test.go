package sim

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/sim/path"
)

const ms = time.Millisecond

func parse(t testing.TB, lines ...string) *Scenario {
	t.Helper()
	s, err := Parse("test", strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryLineIsUnderstood(t *testing.T) {
	s := parse(t,
		"# a comment", "", "   ",
		"rate 20mbit down, 5mbit up   # and another",
		"rtt 41ms",
		"at 10s rate 10mbit down",
		"at 12s rtt 80ms",
		"queue 100pkt down, 20ms up",
		"mark 20pkt down",
		"police 10mbit burst 100KB up",
		"loss 0.5% random down",
		"loss-burst 1% of 8 packets up",
		"ack-loss 20% up",
		"drop 5 8..10 down",
		"reorder 2% by 5ms",
		"duplicate 1% down",
		"jitter 3ms up",
		"blackhole 5s..7s",
		"stall 8s..8.5s down",
		"flow 2x newreno 10MB at 1s every 500ms up",
		"flow for 20s writing 2mbit",
		"flow cubic 3s writing 100KB every 1s",
		"cross 5mbit down on 1s off 2s from 5s to 20s",
		"web 5/s 50KB newreno up",
		"time 30s", "measure from 5s", "seed 7", "mtu 9000", "gso off", "gro 50us", "buffers 4MB", "ecn on", "pacing on",
	)
	want := NewScenario()
	want.Name = "test"
	down, up := &want.Path[Down], &want.Path[Up]
	down.Rate, up.Rate = 20e6, 5e6
	down.Delay, up.Delay = 20500*time.Microsecond, 20500*time.Microsecond
	down.Rates = []path.RateChange{{At: mono.Time(10 * time.Second), Rate: 10e6}}
	down.Delays = []path.DelayChange{{At: mono.Time(12 * time.Second), Delay: 40 * ms}}
	up.Delays = down.Delays
	down.Queue, up.Queue = Amount{100, UnitPackets}, Amount{float64(20 * ms), UnitTime}
	down.Mark = Amount{20, UnitPackets}
	up.PoliceRate, up.PoliceBurst = 10e6, 100e3
	down.Loss = 0.005
	up.Burst = path.Bursts(0.01, 8)
	up.BareLoss = 0.2
	down.Drops = []path.Range{{First: 5, Last: 5}, {First: 8, Last: 10}}
	for _, d := range []*Direction{down, up} {
		d.Reorder, d.ReorderBy = 0.02, 5*ms
		d.BlackHoles = []path.Window{{From: mono.Time(5 * time.Second), To: mono.Time(7 * time.Second)}}
	}
	down.Duplicate = 0.01
	up.Jitter = 3 * ms
	down.Stalls = []path.Window{{From: mono.Time(8 * time.Second), To: mono.Time(8500 * ms)}}
	want.Flows = []Flow{
		{Count: 2, Congestion: "newreno", Bytes: 10e6, Start: time.Second, Every: 500 * ms, Way: Up},
		{Count: 1, Time: 20 * time.Second, Chunk: 5000, Pause: 20 * ms},
		{Count: 1, Congestion: "cubic", Time: 3 * time.Second, Chunk: 100e3, Pause: time.Second},
	}
	want.Cross = []Cross{{Way: Down, Rate: 5e6, On: time.Second, Off: 2 * time.Second, From: 5 * time.Second, To: 20 * time.Second}}
	want.Web = []Web{{Way: Up, PerSecond: 5, Bytes: 50e3, Congestion: "newreno"}}
	want.Time, want.MeasureFrom, want.Seed, want.MTU, want.GSO, want.GRO = 30*time.Second, 5*time.Second, 7, 9000, 0, 50*time.Microsecond
	want.SendBuffer, want.ReceiveBuffer, want.ECN, want.Pacing = 4e6, 4e6, true, true
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got\n%+v, want\n%+v", s, want)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
}

// Every line that is wrong is named by its number, with what would be right.
func TestBadLinesNameTheLineAndWhatIsAccepted(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"speed 5mbit", `"speed" is nothing that a scenario says: want one of rate, rtt, delay, at, queue,`},
		{"rate", "rate: something is missing (as in: rate 20mbit down, 5mbit up)"},
		{"rate 5", `rate: "5" is no rate: want one from 1kbit to 10tbit`},
		{"rate 5mbit sideways", `rate: "sideways" is not expected here`},
		{"rate 5mbit down,", "rate: something is missing"},
		{"rtt 40", `rtt: "40" is no time`},
		{"rtt 40ms 50ms", `rtt: "50ms" is not expected here`},
		{"delay fast", `delay: "fast" is no time`},
		{"at 10s loss 1%", "at: neither rate nor rtt follows the time"},
		{"at 10s rate", "at: something is missing"},
		{"at soon rate 5mbit", `at: "soon" is no time`},
		{"at 10s rtt 5ms up", `at: a round trip is both ways: leave "up" out`},
		{"queue big", `queue: "big" is no length of a queue: want one such as 1bdp, 100pkt, 64KB or 20ms`},
		{"mark 0pkt", `mark: "0pkt" is no length`},
		{"police 5mbit", `police: "burst" is missing`},
		{"loss 5mbit", `loss: "5mbit" is no share: want one from 0% to 100%`},
		{"loss-burst 1%", `loss-burst: "of" is missing`},
		{"loss-burst 1% of 0", `loss-burst: "0" is no number from 1 to 100000`},
		{"loss-burst 95% of 5", "loss-burst: a share of 95 % in bursts leaves no good times"},
		{"ack-loss 120%", `ack-loss: "120%" is no share`},
		{"drop", "drop: something is missing"},
		{"drop 0", `drop: "0" is no number`},
		{"drop 5..3", `drop: "5..3" ends before it has begun`},
		{"reorder 2%", `reorder: "by" is missing`},
		{"reorder 2% by", "reorder: something is missing"},
		{"duplicate often", `duplicate: "often" is no share`},
		{"jitter -3ms", `jitter: "-3ms" is no time`},
		{"blackhole 5s", `blackhole: "5s" is no stretch of time: want one such as 5s..7s`},
		{"blackhole 7s..5s", `blackhole: "7s..5s" ends before it has begun`},
		{"stall 5s..x", `stall: "x" is no time`},
		{"flow fast", `flow: "fast" is neither a size (10MB), nor a time (20s), nor a controller`},
		{"flow cubic at", "flow: something is missing"},
		{"flow writing lots", `flow: "lots" is neither a rate (2mbit) nor a size (100KB)`},
		{"flow writing 100KB", `flow: "every" is missing`},
		{"flow writing 100KB every 0s", "flow: writing every 0s has no end"},
		{"cross", "cross: something is missing"},
		{"cross unlimited", "cross: cross traffic needs a rate"},
		{"cross 5mbit on 1s", "cross: on and off go together"},
		{"cross 5mbit from 5s to 4s", "cross: it ends at 4s, before it begins at 5s"},
		{"cross 5mbit now", `cross: "now" is not expected here`},
		{"web 5 50KB", `web: "5" is no number of flows a second`},
		{"web 0/s 50KB", `web: "0/s" is no number`},
		{"web 5/s", "web: something is missing"},
		{"web 5/s 50KB fast", "web: tcp: no congestion control"},
		{"time forever", `time: "forever" is no time`},
		{"measure from", "measure: something is missing"},
		{"seed -1", `seed: "-1" is no whole number`},
		{"mtu 100", `mtu: "100" is no MTU: want 576 to 9216`},
		{"gso yes", `gso: "yes" is no size`},
		{"gro yes", `gro: "yes" is no time`},
		{"buffers 100MB", "buffers: 100 MB is too much: want at most 64MiB"},
		{"ecn maybe", `ecn: "maybe" is neither on nor off`},
		{"pacing", "pacing: something is missing"},
	} {
		_, err := Parse("f.txt", "rtt 5ms\n\n"+c.line+"\nrate 5mbit\n")
		var at *LineError
		if !errors.As(err, &at) || at.Line != 3 || at.File != "f.txt" {
			t.Errorf("%q: %v", c.line, err)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, "f.txt:3: "+c.want) || strings.Contains(text, "\n") {
			t.Errorf("%q: %q, want %q", c.line, text, c.want)
		}
	}
}

func TestUsageParses(t *testing.T) {
	for _, u := range Usage() {
		if _, err := Parse("usage", u[0]); err != nil {
			t.Error(err)
		}
		if u[1] == "" {
			t.Errorf("%q is not explained", u[0])
		}
	}
}

func TestReplaceForgetsWhatWasSaidBefore(t *testing.T) {
	s := parse(t, "flow cubic 1MB", "flow cubic 2MB", "blackhole 1s..2s", "at 1s rate 5mbit", "loss 1%")
	for word, args := range map[string][]string{
		"flow": {"newreno 3MB"}, "blackhole": {"3s..4s down", "5s..6s up"}, "at": {"2s rate 6mbit"}, "loss": {"2% up"},
	} {
		if err := s.Replace(word, args...); err != nil {
			t.Error(err)
		}
	}
	if len(s.Flows) != 1 || s.Flows[0].Bytes != 3e6 || len(s.Path[Down].BlackHoles) != 1 || len(s.Path[Up].Rates) != 1 ||
		s.Path[Up].Rates[0].Rate != 6e6 || s.Path[Up].Loss != 0.02 || s.Path[Down].Loss != 0.01 {
		t.Errorf("%+v", s)
	}
	if err := s.Replace("nonsense", "x"); err == nil {
		t.Error("nonsense is accepted")
	}
	if err := s.Replace("loss", "x"); err == nil || err.Error() != `"x" is no share: want one from 0% to 100%, such as 0.5% (as in: 0.5% down)` {
		t.Errorf("%v", err)
	}
}

func TestScenariosThatMakeNoSense(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"rate 5mbit", "there is no flow: add one, such as: flow cubic 10MB"},
		{"flow 1000x cubic\nflow cubic", "there are 1001 flows: want at most 1000"},
		{"flow cubic\ntime 5s\nmeasure from 5s", "the measurement starts at 5s, but the run ends at 5s: start earlier"},
	} {
		s := parse(t, c.text)
		if _, err := Run(s, Options{}); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func TestFlowsByFlags(t *testing.T) {
	s := parse(t, "flow cubic 1MB every 2s")
	s.SetFlowCount(4)
	s.SetBytes(5e6)
	if err := s.SetCongestion([]string{"cubic", "newreno"}); err != nil {
		t.Fatal(err)
	}
	all := s.expand()
	if len(all) != 4 || all[1].Congestion != "newreno" || all[2].Congestion != "cubic" || all[3].Start != 6*time.Second || all[3].Bytes != 5e6 {
		t.Errorf("%+v", all)
	}
	s.SetTime(9 * time.Second)
	if s.Time != 9*time.Second || s.Flows[0].Bytes != 0 {
		t.Errorf("%+v", s)
	}
	if err := s.SetCongestion([]string{"nosuch"}); err == nil {
		t.Error("an unknown controller is accepted")
	}
}

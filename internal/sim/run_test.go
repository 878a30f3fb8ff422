package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// play runs a scenario, given as its lines.
func play(t testing.TB, opt Options, lines ...string) *Report {
	t.Helper()
	rep, err := Run(parse(t, lines...), opt)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// everything is a scenario in which nothing is left out.
var everything = []string{
	"rate 20mbit down, 5mbit up", "rtt 40ms", "queue 64KB", "loss 0.2%", "loss-burst 0.1% of 4", "ack-loss 2%", "reorder 0.5% by 3ms",
	"duplicate 0.1%", "jitter 2ms", "blackhole 3s..3.1s", "stall 4s..4.1s", "at 5s rate 8mbit down", "at 6s rtt 60ms", "mark 30pkt", "drop 50",
	"flow cubic 2MB", "flow 2x newreno 4s at 1s every 500ms", "flow cubic up writing 100KB every 300ms", "cross 2mbit on 300ms off 300ms",
	"web 5/s 20KB", "gro 100us", "ecn on", "time 8s",
}

// outputs are all that a run can be written as.
func outputs(t *testing.T, lines ...string) (all [4][]byte) {
	t.Helper()
	var trace Trace
	rep := play(t, Options{Trace: &trace}, lines...)
	var text, svg, png bytes.Buffer
	j, err := json.Marshal(rep)
	for _, e := range []error{err, rep.Text(&text), trace.Figure(rep).SVG(&svg), trace.Figure(rep).PNG(&png)} {
		if e != nil {
			t.Fatal(e)
		}
	}
	return [4][]byte{j, text.Bytes(), svg.Bytes(), png.Bytes()}
}

// TestTheSameSeedGivesTheSameBytes: of every kind of output; another seed gives others.
func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	first, second := outputs(t, everything...), outputs(t, everything...)
	other := outputs(t, append(everything, "seed 2")...)
	for i, name := range []string{"JSON", "text", "SVG", "PNG"} {
		if !bytes.Equal(first[i], second[i]) {
			t.Errorf("%s differs from one run to the next", name)
		}
		if bytes.Equal(first[i], other[i]) {
			t.Errorf("%s is the same for another seed", name)
		}
	}
}

// TestObservingChangesNothing: neither the trace nor the observer nor the packet hook nor
// the verification has an influence on the run.
func TestObservingChangesNothing(t *testing.T) {
	plain := play(t, Options{NoVerify: true}, everything...)
	watched := play(t, Options{Trace: new(Trace), Packets: func(*PacketEvent) {}}, everything...)
	for i := range watched.Flows {
		watched.Flows[i].TCPRTT = nil
	}
	a, _ := json.Marshal(plain)
	b, _ := json.Marshal(watched)
	if !bytes.Equal(a, b) {
		t.Errorf("plain\n%s\nwatched\n%s", a, b)
	}
}

// random is a scenario of a seed, bad in many ways at once, with flows that end.
func random(seed uint64) []string {
	r := rand.New(rand.NewPCG(seed, 77))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	lines := []string{
		fmt.Sprintf("seed %d", seed),
		"rate " + pick("unlimited", "1mbit", "20mbit down, 2mbit up", "100mbit"),
		"rtt " + pick("0s", "1ms", "30ms", "200ms"),
		"queue " + pick("1bdp", "20pkt", "200pkt", "32KB"),
		"loss " + pick("0", "0", "1%", "5% down", "3% up"),
		"loss-burst " + pick("0", "1% of 2"), "reorder " + pick("0%", "2% by 7ms"), "duplicate " + pick("0%", "2%"), "jitter " + pick("0s", "4ms"),
		"gso " + pick("off", "64KB", "10KB"), "gro " + pick("off", "0s", "200us"), "mtu " + pick("576", "1500", "9000"),
		"buffers " + pick("auto", "16KB", "1MB"), "ecn " + pick("on", "off"), "pacing " + pick("on", "off"), "mark " + pick("5pkt", "50pkt"),
	}
	for range 1 + r.IntN(4) {
		lines = append(lines, fmt.Sprintf("flow %s %dB at %dms %s", pick("cubic", "newreno"), 1+r.IntN(400_000), r.IntN(500), pick("up", "down")))
	}
	if r.IntN(3) == 0 {
		lines = append(lines, "blackhole 200ms..900ms")
	}
	return lines
}

// TestEveryByteArrivesOnceInOrder: over paths bad in all ways; Run compares every byte.
func TestEveryByteArrivesOnceInOrder(t *testing.T) {
	for seed := range uint64(60) {
		lines := random(seed)
		sc := parse(t, lines...)
		rep, err := Run(sc, Options{})
		if err != nil {
			t.Fatalf("%s\n%v", strings.Join(lines, "\n"), err)
		}
		for i, f := range rep.Flows {
			if f.Error != "" || f.Delivered != sc.Flows[i].Bytes || !f.Complete {
				t.Errorf("%s\nflow %d: %d of %d bytes; %s", strings.Join(lines, "\n"), f.Flow, f.Delivered, sc.Flows[i].Bytes, f.Error)
			}
		}
	}
}

// TestAByteTakesWhatThePathTakes: a handshake and one byte, to the nanosecond. A SYN has
// 60 bytes, an ACK with timestamps 52, the byte 53.
func TestAByteTakesWhatThePathTakes(t *testing.T) {
	rep := play(t, Options{}, "rate 1mbit", "rtt 30ms", "flow cubic 1B")
	us := time.Microsecond
	want := (15*ms + 480*us) + (15*ms + 480*us) + (15*ms + 416*us) + (15*ms + 424*us)
	if got := rep.Flows[0].Completion; got != want {
		t.Errorf("it took %v, want %v", got, want)
	}
	if got := rep.Flows[0].Delay; got.Min != 15*ms+424*us || got.Max != got.Min {
		t.Errorf("one way %+v", got)
	}
	// The uploader's byte goes with the ACK of the handshake.
	up := play(t, Options{}, "rate 1mbit", "rtt 30ms", "flow cubic 1B up")
	if got, most := up.Flows[0].Completion, want; got >= most {
		t.Errorf("up it took %v", got)
	}
}

// TestAPathWithoutLimitsIsFilledByTheWindow: with a fixed window the rate is a window a
// round trip.
func TestAPathWithoutLimitsIsFilledByTheWindow(t *testing.T) {
	f := play(t, Options{}, "rtt 100ms", "buffers 100KB", "flow cubic", "time 20s", "measure from 5s").Flows[0]
	if got, want := f.Goodput, 100_000*8/0.1; math.Abs(got-want) > want*0.04 {
		t.Errorf("%s, want %s", FormatRate(got), FormatRate(want))
	}
	if f.PathRTT.P50 != 100*ms || f.PathRTT.Max != 100*ms {
		t.Errorf("%+v", f.PathRTT)
	}
}

// TestTheReportCountsWhatThePathDid: drops by number are seen as losses, and repaired by
// needed retransmissions.
func TestTheReportCountsWhatThePathDid(t *testing.T) {
	rep := play(t, Options{}, "rate 10mbit", "rtt 20ms", "queue 4MB", "drop 100 200..202 down", "flow cubic 2MB")
	f, down := rep.Flows[0], rep.Path[Down]
	if down.Dropped != 4 || f.Lost != 4 || f.Needed.Segments != 4 || f.Needed.Bytes != 4*1448 || down.QueueDrops != 0 {
		t.Errorf("%+v\n%+v", f, down)
	}
	if rep.Total.Needed != f.Needed || rep.Total.Goodput != f.Goodput || rep.Total.Completion != f.Completion {
		t.Errorf("%+v", rep.Total)
	}
}

// TestADelaySpikeMakesSpuriousRetransmissions: nothing is lost, so whatever is sent again
// is spurious.
func TestADelaySpikeMakesSpuriousRetransmissions(t *testing.T) {
	f := play(t, Options{}, "rate 10mbit", "rtt 20ms", "queue 4MB", "buffers 100KB", "stall 2s..3s down", "flow cubic", "time 5s").Flows[0]
	if f.Lost != 0 || f.Needed.Segments != 0 || f.Spurious.Segments == 0 || f.Timeouts == 0 {
		t.Errorf("%+v", f)
	}
}

// TestABlackHoleIsSurvived: everything sent in it is lost, and sent again.
func TestABlackHoleIsSurvived(t *testing.T) {
	rep := play(t, Options{}, "rate 10mbit", "rtt 20ms", "blackhole 1s..3s", "flow cubic 5MB")
	f := rep.Flows[0]
	if f.Delivered != 5e6 || rep.Path[Down].BlackHole == 0 || f.Timeouts == 0 || f.Completion < 6*time.Second {
		t.Errorf("%+v", f)
	}
}

// TestAFlowThatIsGivenUpSaysSo: a path that dies for good ends the connection, not the
// simulator.
func TestAFlowThatIsGivenUpSaysSo(t *testing.T) {
	rep := play(t, Options{}, "rate 10mbit", "rtt 20ms", "blackhole 1s..24h", "flow cubic 50MB")
	if f := rep.Flows[0]; f.Error != tcp.ErrTimeout.Error() || f.Complete || rep.Duration < 10*time.Minute {
		t.Errorf("%v: %+v", rep.Duration, f)
	}
}

// TestTheRateFollowsItsChanges: half a run at ten times the rate.
func TestTheRateFollowsItsChanges(t *testing.T) {
	run := []string{"rate 20mbit", "rtt 20ms", "at 10s rate 2mbit", "flow cubic", "time 20s"}
	fast := play(t, Options{}, append(run, "time 10s")...).Flows[0].Goodput
	slow := play(t, Options{}, append(run, "measure from 12s")...).Flows[0].Goodput
	if fast < 18e6 || slow > 2e6 || slow < 1.8e6 {
		t.Errorf("%s, then %s", FormatRate(fast), FormatRate(slow))
	}
}

// TestAnApplicationThatIsSlowSetsTheRate: by a constant rate, and by chunks.
func TestAnApplicationThatIsSlowSetsTheRate(t *testing.T) {
	for _, c := range []struct {
		writing string
		want    float64
	}{{"2mbit", 2e6}, {"100KB every 400ms", 2e6}} {
		f := play(t, Options{}, "rate 100mbit", "rtt 20ms", "flow cubic writing "+c.writing, "time 20s").Flows[0]
		if math.Abs(f.Goodput-c.want) > c.want*0.02 {
			t.Errorf("writing %s: %s", c.writing, FormatRate(f.Goodput))
		}
	}
}

// TestFlowsStartAndEndWhenTheyShould: bytes, time, starts; and the run ends with them.
func TestFlowsStartAndEndWhenTheyShould(t *testing.T) {
	rep := play(t, Options{}, "rate 10mbit", "rtt 20ms", "flow cubic 4s at 1s", "flow newreno 1MB at 2s up")
	a, b := rep.Flows[0], rep.Flows[1]
	if a.Start != time.Second || a.Measured != 4*time.Second || rep.Duration != 5*time.Second || a.Complete {
		t.Errorf("%v %+v", rep.Duration, a)
	}
	if b.Start != 2*time.Second || b.Delivered != 1e6 || !b.Complete || b.Completion > 2*time.Second || b.Way != "up" {
		t.Errorf("%+v", b)
	}
	rep = play(t, Options{}, "rate 10mbit", "flow cubic", "flow 2x cubic at 40s")
	if rep.Duration != 70*time.Second {
		t.Errorf("flows without end run until %v", rep.Duration)
	}
}

// TestFairnessIsMeasuredWhileAllRun: one flow alone for ten seconds and then two for ten
// are not unfair for that. A little jitter keeps the phase of a short queue out of it, which
// package grid looks at.
func TestFairnessIsMeasuredWhileAllRun(t *testing.T) {
	rep := play(t, Options{}, "rate 10mbit", "rtt 10ms", "jitter 0.5ms", "flow newreno 30s", "flow newreno at 10s 20s")
	if rep.Total.Jain < 0.97 || rep.Flows[0].Delivered < rep.Flows[1].Delivered*3/2 {
		t.Errorf("Jain %.3f of %d and %d", rep.Total.Jain, rep.Flows[0].Delivered, rep.Flows[1].Delivered)
	}
	if one := play(t, Options{}, "rate 10mbit", "flow cubic 1MB"); one.Total.Jain != 0 {
		t.Errorf("one flow has a fairness of %v", one.Total.Jain)
	}
}

// TestCrossTrafficTakesItsRate: what does not react gets what it asks for, and the flow
// the rest.
func TestCrossTrafficTakesItsRate(t *testing.T) {
	rep := play(t, Options{}, "rate 10mbit", "rtt 20ms", "cross 4mbit from 1s to 9s", "flow cubic", "time 10s")
	sent := float64(rep.Cross[0].Packets) * 1500 * 8 / 8
	if math.Abs(sent-4e6) > 0.01*4e6 {
		t.Errorf("it sends %s", FormatRate(sent))
	}
	if rest := rep.Flows[0].Goodput; rest > (10e6*10-4e6*8*0.9)/10 || rest < 5e6 {
		t.Errorf("the flow gets %s", FormatRate(rest))
	}
	rep = play(t, Options{}, "rate 10mbit", "cross 4mbit on 100ms off 100ms", "flow cubic", "time 60s")
	if sent := float64(rep.Cross[0].Packets) * 1500 * 8 / 60; math.Abs(sent-2e6) > 0.25e6 {
		t.Errorf("on and off it sends %s on average", FormatRate(sent))
	}
}

// TestShortFlowsComeAndGo: as many as asked for, all complete.
func TestShortFlowsComeAndGo(t *testing.T) {
	rep := play(t, Options{}, "rate 50mbit", "rtt 20ms", "web 20/s 30KB", "time 30s")
	w := rep.Web[0]
	if w.Begun < 500 || w.Begun > 700 || w.Completed < w.Begun-10 || w.Completion.Min < 40*ms || w.Completion.P50 > 300*ms {
		t.Errorf("%+v", w)
	}
	if mean := float64(w.Delivered) / float64(w.Completed); mean < 25e3 || mean > 35e3 {
		t.Errorf("of %.0f bytes on average", mean)
	}
}

// TestECNMarksInsteadOfLosing: the queue never fills, and nothing is sent again.
func TestECNMarksInsteadOfLosing(t *testing.T) {
	run := []string{"rate 20mbit", "rtt 20ms", "queue 100pkt", "mark 30pkt", "flow cubic", "time 20s"}
	f := play(t, Options{}, append(run, "ecn on")...).Flows[0]
	if f.Marked == 0 || f.Lost != 0 || f.Needed.Segments != 0 || f.Goodput < 18e6 {
		t.Errorf("with ECN: %+v", f)
	}
	if f := play(t, Options{}, run...).Flows[0]; f.Marked != 0 || f.Lost == 0 {
		t.Errorf("without: %+v", f)
	}
}

// TestGROMergesWhatIsContiguous: fewer acknowledgments come back, the data is the same.
func TestGROMergesWhatIsContiguous(t *testing.T) {
	run := []string{"rate 1gbit", "rtt 2ms", "flow cubic 20MB"}
	plain, merged := play(t, Options{}, run...), play(t, Options{}, append(run, "gro 100us")...)
	if p, m := plain.Path[Up].Sent, merged.Path[Up].Sent; m > p/3 {
		t.Errorf("%d packets back without GRO, %d with", p, m)
	}
	if g := merged.Flows[0].Goodput; g < 0.9*plain.Flows[0].Goodput {
		t.Errorf("%s with GRO, %s without", FormatRate(g), FormatRate(plain.Flows[0].Goodput))
	}
}

// TestTheHookSeesThePacketsOfTheSender: every packet with its bytes, in order of time, and
// what is out of the ordinary about it.
func TestTheHookSeesThePacketsOfTheSender(t *testing.T) {
	var out, in, bytes int
	notes := make(map[string]int)
	var last time.Duration
	rep := play(t, Options{Packets: func(e *PacketEvent) {
		if now := time.Duration(e.Time); now < last {
			t.Errorf("at %v after %v", now, last)
		} else {
			last = now
		}
		if e.Segment.Payload != nil || e.Flow != 1 || !e.Ends.Local.IsValid() {
			t.Errorf("%+v", e)
		}
		if e.Out {
			out++
			bytes += len(e.Data)
			notes[e.Note]++
		} else {
			in++
		}
	}}, "rate 10mbit", "rtt 20ms", "queue 4MB", "drop 100 down", "flow cubic 1MB")
	if want := 1e6 + 1448; bytes != int(want) || in == 0 || out < 690 {
		t.Errorf("%d bytes in %d packets out, %d in", bytes, out, in)
	}
	if notes["lost on the path: dropped by its number"] != 1 || notes["retransmission, needed"] != 1 || len(notes) != 3 {
		t.Errorf("%v of %+v", notes, rep.Flows[0])
	}
}

// TestRunDoesNotChangeTheScenario: it can be run again.
func TestRunDoesNotChangeTheScenario(t *testing.T) {
	sc := parse(t, "rate 10mbit", "flow cubic")
	before := fmt.Sprintf("%+v", sc)
	if _, err := Run(sc, Options{}); err != nil {
		t.Fatal(err)
	}
	if after := fmt.Sprintf("%+v", sc); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

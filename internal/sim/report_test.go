package sim

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

// keys lists the names in JSON that programs rely on, with their paths.
func keys(v any, prefix string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			into[prefix+k] = true
			keys(x, prefix+k+".", into)
		}
	case []any:
		for _, x := range v {
			keys(x, prefix, into)
		}
	}
}

// TestTheNamesInJSONAreStable: programs read them. A name may be added here; one that goes
// or changes breaks somebody's script.
func TestTheNamesInJSONAreStable(t *testing.T) {
	rep := play(t, Options{Observe: true}, everything...)
	b, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	keys(v, "", found)
	quantiles := func(p string) string {
		return p + " " + p + ".min_ns " + p + ".mean_ns " + p + ".p50_ns " + p + ".p95_ns " + p + ".p99_ns " + p + ".max_ns "
	}
	repairs := func(p string) string { return p + " " + p + ".segments " + p + ".bytes " }
	want := strings.Fields(`scenario seed duration_ns measured_from_ns rtt_ns flows total path cross web
flows.flow flows.congestion flows.direction flows.start_ns flows.delivered flows.measured_ns flows.goodput_bps flows.throughput_bps flows.completion_ns flows.complete total.complete
flows.packets flows.lost flows.marked flows.timeouts flows.tlp_probes flows.fast_recoveries flows.undos flows.srtt_ns flows.min_rtt_ns flows.cwnd flows.ssthresh
total.delivered total.goodput_bps total.throughput_bps total.packets total.lost total.timeouts total.tlp_probes total.fast_recoveries total.undos total.jain total.completion_ns
path.direction path.rate_bps path.utilisation path.packets path.dropped_queue path.lost_random path.lost_burst path.lost_blackhole path.dropped_policer path.dropped_number
path.held_back path.duplicated path.marked path.queue_limit_bytes path.queue_limit_packets path.queue_mean path.queue_p50 path.queue_p95 path.queue_max path.queue_max_packets
cross.direction cross.packets cross.lost web.direction web.begun web.completed web.delivered ` +
		quantiles("flows.rtt_path") + quantiles("flows.rtt_measured") + quantiles("flows.one_way_delay") + quantiles("web.completion") +
		repairs("flows.retrans_needed") + repairs("flows.retrans_spurious") + repairs("total.retrans_needed") + repairs("total.retrans_spurious") +
		repairs("web.retrans_needed") + repairs("web.retrans_spurious"))
	for _, k := range want {
		if !found[k] {
			t.Errorf("%q has gone", k)
		}
		delete(found, k)
	}
	for _, k := range slices.Sorted(maps.Keys(found)) {
		t.Errorf("%q is new: add it to the test", k)
	}
	var back Report
	if err := json.Unmarshal(b, &back); err != nil || back.Flows[0].Goodput != rep.Flows[0].Goodput {
		t.Errorf("read back: %v", err)
	}
}

// TestTheTextNamesEverything and keeps its columns aligned.
func TestTheTextNamesEverything(t *testing.T) {
	var b bytes.Buffer
	if err := play(t, Options{Observe: true}, everything...).Text(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"test: 2 x cubic, 2 x newreno", "down 20 Mbit/s, queue 64 KB", "rtt 40 ms, 8 s in virtual time, seed 1",
		"goodput", "needed", "spurious", "timeouts", "tail probes", "undone", "fairness while all ran", "queue mean", "cross traffic down", "short flows down",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	lines := strings.Split(text, "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "flow  control") })
	end := strings.Index(lines[i], "goodput") + len("goodput")
	for _, l := range lines[i+1 : i+5] {
		if r := []rune(l); !strings.HasSuffix(string(r[:end]), "bit/s") {
			t.Errorf("the goodput does not end in column %d of\n%s", end, l)
		}
	}
	for _, l := range lines {
		if strings.HasSuffix(l, " ") {
			t.Errorf("blanks at the end of %q", l)
		}
	}
}

func TestManyFlowsAreNotListedOneByOne(t *testing.T) {
	var b bytes.Buffer
	if err := play(t, Options{}, "rate 100mbit", "rtt 10ms", "flow 60x cubic 20KB").Text(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "20 more") || strings.Contains(b.String(), "\n41 ") {
		t.Error(b.String())
	}
}

// TestTheSVGIsWellFormed, and says what it shows.
func TestTheSVGIsWellFormed(t *testing.T) {
	var trace Trace
	rep := play(t, Options{Trace: &trace}, everything...)
	var b bytes.Buffer
	if err := trace.Figure(rep).SVG(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	d := xml.NewDecoder(&b)
	elements := make(map[string]int)
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			elements[e.Name.Local]++
		}
	}
	if elements["svg"] != 1 || elements["polyline"] < 20 || elements["text"] < 30 || elements["clipPath"] != 5 {
		t.Errorf("%v", elements)
	}
	for _, want := range []string{"Congestion window", "Round trip", "Delivered", "Goodput", "Queue", "time in s", "retransmitted, needed", "limit"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not stand in it", want)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Error("a coordinate is no number")
	}
}

func TestThePNGIsAPicture(t *testing.T) {
	var trace Trace
	rep := play(t, Options{Trace: &trace}, "rate 10mbit", "rtt 20ms", "drop 20 down", "flow cubic 200KB")
	var b bytes.Buffer
	if err := trace.Figure(rep).PNG(&b); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	colors := make(map[[3]uint32]int)
	size := img.Bounds()
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			colors[[3]uint32{r >> 8, g >> 8, b >> 8}]++
		}
	}
	// White paper, the blue of the first flow, the red of the loss, the ink of the title.
	for _, c := range [][3]uint32{{0xff, 0xff, 0xff}, {0x1f, 0x6f, 0xb4}, {0xc6, 0x28, 0x28}, {0x22, 0x26, 0x2b}} {
		if colors[c] < 20 {
			t.Errorf("color %x covers %d pixels", c, colors[c])
		}
	}
	if size.Dx() != 2400 || size.Dy() < 1500 {
		t.Errorf("it is %v", size)
	}
}

// TestALongRunIsTracedInBoundedMemory: the samples are thinned, and still show the end.
func TestALongRunIsTracedInBoundedMemory(t *testing.T) {
	var trace Trace
	play(t, Options{Trace: &trace, NoVerify: true}, "rate 1mbit", "rtt 20ms", "loss 2%", "flow cubic", "time 20m")
	n := len(trace.times)
	if n < maxSamples/4 || n > maxSamples || trace.times[n-1] < 1190 {
		t.Errorf("%d samples, the last at %v s", n, trace.times[n-1])
	}
	f := trace.flows[0]
	for _, s := range f.all() {
		if len(*s) != n {
			t.Errorf("a series has %d of %d samples", len(*s), n)
		}
	}
	if len(f.lost.x) > maxMarks || f.lost.count < 500 {
		t.Errorf("%d marks of %d losses", len(f.lost.x), f.lost.count)
	}
}

package grid

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/internal/sim"
)

// controllers are what everything is proven for.
var controllers = []string{"newreno", "cubic"}

// The sizes of a packet and of the data in it, in bytes: IP and TCP headers with
// timestamps.
const (
	packet = 1500
	data   = 1448
)

// simulate runs a scenario, given as its lines.
func simulate(t *testing.T, opt sim.Options, lines ...string) *sim.Report {
	t.Helper()
	sc, err := sim.Parse(t.Name(), strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := sim.Run(sc, opt)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// one is the only flow of a run.
func one(t *testing.T, lines ...string) *sim.FlowReport {
	t.Helper()
	return &simulate(t, sim.Options{NoVerify: true}, lines...).Flows[0]
}

// departure is a packet with data that left the sender.
type departure struct {
	at   mono.Time
	from int // its first byte in the flow, from 0
	note string
}

// departures runs a scenario of one flow and lists the packets with data that its sender
// sent.
func departures(t *testing.T, lines ...string) (*sim.FlowReport, []departure) {
	t.Helper()
	var all []departure
	var first uint32
	rep := simulate(t, sim.Options{NoVerify: true, Packets: func(e *sim.PacketEvent) {
		if !e.Out || len(e.Data) == 0 {
			return
		}
		if len(all) == 0 {
			first = uint32(e.Segment.Seq)
		}
		all = append(all, departure{e.Time, int(uint32(e.Segment.Seq) - first), e.Note})
	}}, lines...)
	return &rep.Flows[0], all
}

// withoutRaceDetector skips a test under it: a simulation is one goroutine, has nothing to
// race, and takes twenty times longer.
func withoutRaceDetector(t *testing.T) {
	t.Helper()
	if race.Enabled {
		t.Skip("a simulation is one goroutine: run this without -race")
	}
}

// each runs a test for each controller.
func each(t *testing.T, f func(t *testing.T, cc string)) {
	t.Helper()
	withoutRaceDetector(t)
	for _, cc := range controllers {
		t.Run(cc, func(t *testing.T) {
			t.Parallel()
			f(t, cc)
		})
	}
}

// repairs is what a flow sent again and why, for messages.
func repairs(f *sim.FlowReport) string {
	return fmt.Sprintf("%d packets lost; sent again: %d needed, %d spurious; %d timeouts, %d tail probes, %d fast recoveries, %d undone",
		f.Lost, f.Needed.Segments, f.Spurious.Segments, f.Timeouts, f.TLPProbes, f.FastRecovery, f.Undos)
}

const ms = time.Millisecond

package main

import (
	"math"
	"strings"
	"testing"

	"github.com/a644562b/portico/scripts/peers/internal/result"
)

// bulk is a measurement that went well.
func bulk(label, mode string, conns, round int, gbps, cpu float64) result.Line {
	return result.Line{Label: label, Mode: mode, Conns: conns, Round: round, Path: "direct", Loss: "none",
		Gbps: gbps, MachPerGB: cpu, Verified: true}
}

func lossy(label, loss string, conns, round int, gbps float64) result.Line {
	l := bulk(label, "download", conns, round, gbps, 1)
	l.Path, l.Loss = "routed", "down:"+loss
	return l
}

func TestTableHoldsRoundsAgainstEachOther(t *testing.T) {
	failed := lossy("gvisor-vnet", "1", 1, 2, 0)
	failed.Verified, failed.Errors, failed.ErrSample = false, 1, "stood still"
	stalled := result.Line{Label: "gvisor-wg", Mode: "verify", Conns: 4, Round: 1, Path: "direct", Errors: 1, ErrSample: "timeout"}
	lines := []result.Line{
		{Label: "portico", Mode: "verify", Conns: 4, Round: 1, Path: "direct", Verified: true}, stalled,
		// In: ratios 1 and 2 beside vnet, 0.5 and 1 beside the kernel.
		bulk("portico", "upload", 1, 1, 10, 0.4), bulk("gvisor-vnet", "upload", 1, 1, 10, 0.8), bulk("kernel", "upload", 1, 1, 20, 0.4),
		bulk("kernel", "upload", 1, 2, 20, 0.4), bulk("gvisor-vnet", "upload", 1, 2, 10, 0.8), bulk("portico", "upload", 1, 2, 20, 0.4),
		lossy("portico", "1", 1, 1, 2), lossy("gvisor-vnet", "1", 1, 1, 0.02), lossy("portico", "1", 1, 2, 2), failed,
	}
	want := `| work | portico | gvisor-vnet | ratio, target | gvisor-wg | ratio, target | kernel | ratio, target |
|---|---|---|---|---|---|---|---|
| 1 connection in, Gbit/s | 15.0 | 10.0 | 1.50 (1.00–2.00), ≥ 1.3 ✓ | - | - | 20.0 | **0.75 (0.50–1.00), ≥ 0.9 ✗** |
| machine, CPU s a GB in, 1 connection | 0.40 | 0.80 | 0.50 (0.50–0.50), ≤ 0.75 ✓ | - | - | 0.40 | 1.00 (1.00–1.00), ≤ 1.15 ✓ |
| 1 connection out at 1 % loss, Gbit/s | 2.00 | 0.02 | 100.00, ≥ 5 ✓ | - | - | - | - |

Of 5 targets 4 are met (✓).

16 MiB both ways at once on 4 connections, with every byte compared: right at portico; gvisor-wg failed (timeout).

12 measurements; in 0 of them others used 8 % of the cores or more, in 0 an interface on the way dropped packets that nobody asked it to drop, 2 failed (those of portico count as 0):

- gvisor-wg, direct, loss , verify:4, round 1: timeout
- gvisor-vnet, routed, loss down:1, download:1, round 2: stood still
`
	if got := newTable(lines).markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestARoundInWhichOursFailedIsTheWorst(t *testing.T) {
	own := bulk("portico", "upload", 1, 1, 100, 0.01)
	own.Verified = false
	table := newTable([]result.Line{own, bulk("kernel", "upload", 1, 1, 1, 1)})
	for _, c := range table.cells() {
		want := 0.0
		if c.figure.less {
			want = math.Inf(1)
		}
		if len(c.ratios) != 1 || c.ratios[0] != want || c.verdict != missedFar {
			t.Errorf("%s: ratios %v, verdict %d, want %v and missed by far", c.figure.name, c.ratios, c.verdict, want)
		}
	}
}

func TestAMissWithinTheNoiseIsNoneForTheGate(t *testing.T) {
	of := func(target float64, less bool, ratios ...float64) *cell {
		return &cell{figure: &figure{less: less}, target: target, ratios: ratios}
	}
	for _, tc := range []struct {
		name string
		cell *cell
		want verdict
	}{
		{"reached", of(1, false, 0.8, 1, 1.2), met},
		{"short of it by half of the range", of(1, false, 0.8, 0.9, 1), missed},
		{"short of it by more", of(1, false, 0.7, 0.72, 0.74), missedFar},
		{"too much by half of the range", of(1, true, 0.99, 1.08, 1.2), missed},
		{"too much by more", of(1, true, 1.3, 1.32, 1.34), missedFar},
		{"little enough", of(1, true, 0.5, 1, 1.5), met},
		{"a range of nothing borrows the noise of the others", of(1, false, 0.97, 0.97, 0.97), missed},
		{"no target", of(0, false, 0.1, 0.1, 0.1), unjudged},
	} {
		// The cell in the middle has a noise of 0.05.
		judge([]*cell{tc.cell, of(0, false, 0.95, 1, 1.05), of(0, false, 0.95, 1, 1.05), of(0, false, 0.95, 1, 1.05)})
		if tc.cell.verdict != tc.want {
			t.Errorf("%s: verdict %d, want %d", tc.name, tc.cell.verdict, tc.want)
		}
	}
}

func TestRetransmissionsHaveToBeNone(t *testing.T) {
	line := func(round int, n float64) result.Line {
		l := bulk("portico", "download", 8, round, 20, 0.4)
		l.Extra = map[string]any{"retransmits": n}
		return l
	}
	for _, tc := range []struct {
		counts []float64
		want   string
		far    int
	}{
		{[]float64{0, 0, 3}, "| 0 (0–3), = 0 ✓ |", 0},
		{[]float64{0, 2, 3}, "| **2 (0–3), = 0 ✗** |", 0},
		{[]float64{1, 2, 3}, "| **2 (1–3), = 0 ✗** |", 1},
	} {
		var lines []result.Line
		for i, n := range tc.counts {
			lines = append(lines, line(i+1, n))
		}
		table := newTable(lines)
		if got := table.markdown(); !strings.Contains(got, tc.want) {
			t.Errorf("%v: want %q in\n%s", tc.counts, tc.want, got)
		}
		if far := table.far(); len(far) != tc.far {
			t.Errorf("%v: %d are missed by far, want %d: %q", tc.counts, len(far), tc.far, far)
		}
	}
}

// Package result is the line of JSON that a measurement leaves behind: cmd/load
// writes it, run.sh adds what only it knows, cmd/summary and cmd/ratios read it.
package result

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Line is one measurement.
type Line struct {
	// Which stack, what was measured, over how many connections.
	Label string `json:"label,omitempty"`
	Mode  string `json:"mode"`
	Conns int    `json:"conns"`
	Size  int    `json:"size,omitempty"`

	// The path, added by run.sh: "direct", "routed" or the round trip of the relay as
	// in "20ms", the loss as in "down:1", the number of the round, and by interface the
	// packets that were dropped on the way without anybody asking for it.
	Path  string           `json:"path,omitempty"`
	Loss  string           `json:"loss,omitempty"`
	Round int              `json:"round,omitempty"`
	Drops map[string]int64 `json:"drops,omitempty"`

	Seconds   float64 `json:"seconds"`
	Bytes     int64   `json:"bytes,omitempty"`
	Gbps      float64 `json:"gbps,omitempty"`
	Ops       int64   `json:"ops,omitempty"`
	Rate      float64 `json:"rate,omitempty"` // operations a second
	P50       float64 `json:"p50_us,omitempty"`
	P90       float64 `json:"p90_us,omitempty"`
	P99       float64 `json:"p99_us,omitempty"`
	P999      float64 `json:"p999_us,omitempty"`
	Max       float64 `json:"max_us,omitempty"`
	Errors    int64   `json:"errors"`
	ErrSample string  `json:"err_sample,omitempty"`
	Verified  bool    `json:"verified"` // counts and bytes agree on both ends
	Note      string  `json:"note,omitempty"`

	PeerCPU   float64 `json:"peer_cpu_s"`
	MachCPU   float64 `json:"mach_cpu_s"`
	Steal     float64 `json:"steal_s"`
	ClientCPU float64 `json:"client_cpu_s"`
	Foreign   float64 `json:"foreign_cpu_share"` // of all cores, by processes outside the benchmark
	PeerPerGB float64 `json:"peer_cpu_s_per_gb,omitempty"`
	MachPerGB float64 `json:"mach_cpu_s_per_gb,omitempty"`
	PeerUsOp  float64 `json:"peer_cpu_us_per_op,omitempty"`
	MachUsOp  float64 `json:"mach_cpu_us_per_op,omitempty"`

	RSSConn   float64 `json:"rss_per_conn,omitempty"`
	RSSGCConn float64 `json:"rss_after_gc_per_conn,omitempty"`
	MemConn   float64 `json:"mach_mem_per_conn,omitempty"`

	// Extra is how much the peer's counters grew; of idle, the counters themselves.
	Extra map[string]any `json:"extra,omitempty"`
}

// Noisy is the share of the cores used by others from which a measurement counts as
// spoilt.
const Noisy = 0.08

// OK reports whether the measurement did what it should.
func (l *Line) OK() bool { return l.Verified && l.Errors == 0 }

// Dropped is how many packets were dropped on the way in all.
func (l *Line) Dropped() (n int64) {
	for _, d := range l.Drops {
		n += d
	}
	return n
}

// Read reads the lines of a file, from the one numbered skip on.
func Read(name string, skip int) ([]Line, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []Line
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for n := 0; sc.Scan(); n++ {
		if n < skip || strings.TrimSpace(sc.Text()) == "" {
			continue
		}
		var l Line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, n+1, err)
		}
		lines = append(lines, l)
	}
	return lines, sc.Err()
}

// Spread is the median of some figures, with the least and the greatest.
type Spread struct{ Median, Min, Max float64 }

// SpreadOf works out the spread of v, which must not be empty.
func SpreadOf(v []float64) Spread {
	v = slices.Sorted(slices.Values(v))
	mid := len(v) / 2
	m := v[mid]
	if len(v)%2 == 0 {
		m = (v[mid-1] + v[mid]) / 2
	}
	return Spread{Median: m, Min: v[0], Max: v[len(v)-1]}
}

// Text writes the spread with format for each figure; a spread of n = 1 is just its
// figure.
func (s Spread) Text(format string, n int) string {
	if n == 1 {
		return fmt.Sprintf(format, s.Median)
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", s.Median, s.Min, s.Max)
}

// Package nstat writes counters in the manner of nstat(8): the same names, the same
// columns, the same shape of JSON, so that what reads the kernel's counters reads
// portico's.
//
// It does not ask anybody for them, and keeps no history of its own: it only selects,
// subtracts and formats.
package nstat

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/api"
	"github.com/a644562b/portico/stack"
)

// Filter says which counters.
type Filter struct {
	// Patterns are those of the shell, of which case does not matter; without any every
	// name matches.
	Patterns []string
	Zeros    bool // also those that are 0
}

// Check returns what is wrong with a pattern.
func (f *Filter) Check() error {
	for _, p := range f.Patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("%q is not a pattern: write one of the shell, as in 'Tcp*'", p)
		}
	}
	return nil
}

// Matches reports whether the patterns ask for a name.
func (f *Filter) Matches(name string) bool {
	for _, p := range f.Patterns {
		if ok, _ := path.Match(strings.ToLower(p), strings.ToLower(name)); ok {
			return true
		}
	}
	return len(f.Patterns) == 0
}

// Select returns the counters that f lets through, in their order. An error says that no
// counter has such a name at all.
func (f *Filter) Select(all []api.Counter) ([]api.Counter, error) {
	selected, known := []api.Counter{}, false
	for _, c := range all {
		if !f.Matches(c.Name) {
			continue
		}
		known = true
		if c.Value != 0 || f.Zeros {
			selected = append(selected, c)
		}
	}
	if !known && len(all) > 0 {
		return nil, fmt.Errorf("no counter is called %s: `portico stat --all` lists all", strings.Join(f.Patterns, " or "))
	}
	return selected, nil
}

// Since returns by how much the counters have grown since before. A gauge, of which there
// are some now, stays what it is.
func Since(before, now []api.Counter) []api.Counter {
	old := make(map[string]uint64, len(before))
	for _, c := range before {
		old[c.Name] = c.Value
	}
	grown := make([]api.Counter, len(now))
	for i, c := range now {
		if !stack.IsGauge(c.Name) {
			c.Value -= old[c.Name]
		}
		grown[i] = c
	}
	return grown
}

// source is who counts, where nstat says "kernel".
const source = "portico"

// Write writes names and values.
func Write(w io.Writer, counters []api.Counter) error {
	return write(w, counters, func(api.Counter) string { return "" })
}

// WriteRates is Write for what was counted in a time, with the rate a second.
func WriteRates(w io.Writer, counters []api.Counter, in time.Duration) error {
	return write(w, counters, func(c api.Counter) string {
		if stack.IsGauge(c.Name) {
			return ""
		}
		return fmt.Sprintf("%.1f", float64(c.Value)/in.Seconds())
	})
}

func write(w io.Writer, counters []api.Counter, rate func(api.Counter) string) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "#"+source)
	for _, c := range counters {
		fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("%-31s %-15d %6s", c.Name, c.Value, rate(c)), " "))
	}
	return out.Flush()
}

// WriteJSON writes one line: an object of one object, whose keys are in the order of the
// counters.
func WriteJSON(w io.Writer, counters []api.Counter) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `{"%s":{`, source)
	for i, c := range counters {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := json.Marshal(c.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s:%d", name, c.Value)
	}
	out.WriteString("}}\n")
	return out.Flush()
}

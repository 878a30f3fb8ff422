package ladder

import (
	"fmt"
	"strings"
	"time"
)

// condense sums up long runs of plain rows: the first and the last of a run stay.
func condense(rows []Row) []Row {
	var out []Row
	for len(rows) > 0 {
		n := 0
		for n < len(rows) && rows[n].Plain {
			n++
		}
		if n > runHead+runTail+1 {
			out = append(out, rows[:runHead]...)
			out = append(out, sumUp(rows[runHead:n-runTail]))
			out = append(out, rows[n-runTail:n]...)
		} else {
			out = append(out, rows[:n]...)
		}
		if n < len(rows) {
			out = append(out, rows[n])
			n++
		}
		rows = rows[n:]
	}
	return out
}

// lane sums up one direction of a run.
type lane struct {
	segments, data int
	bytes          uint64
}

func (l *lane) add(s *Segment) {
	l.segments += s.Packets
	l.bytes += uint64(s.Len)
	if s.Len > 0 {
		l.data += s.Packets
	}
}

func (l *lane) words(arrow string) string {
	switch {
	case l.segments == 0:
		return ""
	case l.data == 0:
		return fmt.Sprintf("%s %d ACKs", arrow, l.segments)
	}
	return fmt.Sprintf("%s %d segments, %s", arrow, l.segments, size(l.bytes))
}

// sumUp makes one row of many, without an arrow.
func sumUp(rows []Row) Row {
	var right, left lane
	for i := range rows {
		if rows[i].From == FromClient {
			right.add(rows[i].Segment)
		} else {
			left.add(rows[i].Segment)
		}
	}
	var parts []string
	for _, words := range []string{right.words("▶"), left.words("◀")} {
		if words != "" {
			parts = append(parts, words)
		}
	}
	last := rows[len(rows)-1]
	return Row{
		At: rows[0].At, Client: last.Client, Server: last.Server,
		label: "··· " + strings.Join(parts, "   "),
		Notes: []string{"in " + (last.At - rows[0].At).Round(time.Microsecond).String()},
	}
}

package ladder

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/a644562b/portico/cmd/portico/internal/wrap"
)

// The columns of the drawing, in characters. It is 110 wide.
const (
	timeWidth  = 8
	stateWidth = 14 // "~SYN-RECEIVED" and a space
	arrowWidth = 46
	noteWidth  = 110 - (timeWidth + 1 + stateWidth + arrowWidth + 1 + stateWidth)

	leftColumn  = timeWidth + 1
	arrowColumn = leftColumn + stateWidth
	rightColumn = arrowColumn + arrowWidth + 1
	noteColumn  = rightColumn + stateWidth
)

// A run of plain rows that is longer than these together is summed up.
const (
	runHead = 6
	runTail = 3
)

// Text says how to draw.
type Text struct {
	// All draws every row that was recorded instead of summing up runs.
	All bool
}

// WriteText draws the ladder for a person.
func (l *Ladder) WriteText(w io.Writer, style Text) error {
	p := &pen{w: bufio.NewWriter(w), ladder: l}
	if len(l.Phases) == 0 {
		p.line("no segment of this connection has been recorded")
	}
	for i := range l.Phases {
		if i > 0 {
			p.line("")
		}
		p.line(l.Phases[i].Title)
		if i == 0 {
			p.ends()
		}
		rows := l.Phases[i].Rows
		if !style.All {
			rows = condense(rows)
		}
		for j := range rows {
			p.row(&rows[j])
		}
	}
	p.legend()
	return p.w.Flush()
}

// pen puts text into columns. Errors stay in the bufio.Writer until Flush.
type pen struct {
	w      *bufio.Writer
	ladder *Ladder
	col    int
}

func (p *pen) line(s string) {
	p.put(s)
	p.newline()
}

func (p *pen) put(s string) {
	p.w.WriteString(s)
	p.col += utf8.RuneCountInString(s)
}

func (p *pen) newline() {
	p.w.WriteByte('\n')
	p.col = 0
}

// at moves to a column, by at least one space if the line is there already.
func (p *pen) at(col int) {
	if p.col > 0 && p.col >= col {
		p.put(" ")
		return
	}
	p.put(strings.Repeat(" ", col-p.col))
}

// ends writes the names of both ends and the states they start from.
func (p *pen) ends() {
	l := p.ladder
	p.put("      ms")
	p.at(leftColumn)
	p.put(l.Client.Name + " " + l.Client.Addr.String())
	p.at(rightColumn)
	p.line(l.Server.Name + " " + l.Server.Addr.String())
	p.at(leftColumn)
	p.put(l.Client.mark(l.Client.Initial))
	p.at(rightColumn)
	p.line(l.Server.mark(l.Server.Initial))
}

// mark writes a state, with a tilde in front if it is inferred.
func (e *End) mark(state string) string {
	if e.Inferred && state != "" && state != "?" {
		return "~" + state
	}
	return state
}

// row writes one row and as many lines below it as its label and notes need.
func (p *pen) row(r *Row) {
	label, more := rowLabel(r)
	notes := wrapNotes(r.Notes, noteWidth)
	p.put(fmt.Sprintf("%*s", timeWidth, milliseconds(r.At)))
	p.at(leftColumn)
	p.put(p.ladder.Client.mark(r.Client))
	p.at(arrowColumn)
	p.put(arrow(r.From, label))
	p.at(rightColumn)
	p.put(p.ladder.Server.mark(r.Server))
	for i := 0; i < max(1, len(notes), len(more)+1); i++ {
		if i > 0 && i <= len(more) {
			p.at(arrowColumn + 4)
			p.put(more[i-1])
		}
		if i < len(notes) {
			p.at(noteColumn)
			p.put(notes[i])
		}
		p.newline()
	}
}

// milliseconds writes a time to the microsecond, and long ones to the tenth of a
// second.
func milliseconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.3f", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// arrow draws the label on an arrow from its sender, or bare when there is none.
func arrow(from, label string) string {
	fill := func(used int) string {
		return strings.Repeat("─", max(2, arrowWidth-used-utf8.RuneCountInString(label)))
	}
	switch from {
	case FromClient:
		return "── " + label + " " + fill(5) + "▶"
	case FromServer:
		return "◀── " + label + " " + fill(5)
	}
	return label
}

// rowLabel is what stands on the arrow, and what is left for the lines below.
func rowLabel(r *Row) (label string, more []string) {
	switch {
	case r.Gap != nil:
		return "··· not recorded: " + gapWords(r), nil
	case r.Segment == nil:
		return r.label, nil
	}
	s := r.Segment
	words := []string{s.Flags, "seq=" + s.SeqRel}
	if s.AckRel != "" {
		words = append(words, "ack="+s.AckRel)
	}
	syn := strings.Contains(s.Flags, "SYN")
	if !syn || s.AckRel == "" {
		words = append(words, fmt.Sprintf("len=%d", s.Len))
	}
	words = append(words, s.Options...)
	if syn || s.Window == 0 && !strings.Contains(s.Flags, "RST") {
		words = append(words, fmt.Sprintf("win %d", s.Window))
	}
	const room = arrowWidth - 7
	label = words[0]
	for i, word := range words[1:] {
		if utf8.RuneCountInString(label)+1+len(word) > room {
			return label, wrap.Words(words[i+1:], arrowWidth-4)
		}
		label += " " + word
	}
	return label, nil
}

// gapWords counts what was left out, by direction.
func gapWords(r *Row) string {
	g := r.Gap
	return fmt.Sprintf("%d segments, %s", g.SegmentsIn+g.SegmentsOut, size(g.BytesIn+g.BytesOut))
}

// wrapNotes breaks each note into lines of at most width.
func wrapNotes(notes []string, width int) []string {
	var lines []string
	for _, note := range notes {
		lines = append(lines, wrap.Words(strings.Fields(note), width)...)
	}
	return lines
}

// size writes a number of bytes for a person.
func size(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// legend says what the signs mean.
func (p *pen) legend() {
	l := p.ladder
	p.line("")
	for _, end := range []*End{&l.Client, &l.Server} {
		if end.HasISN {
			p.line(fmt.Sprintf("%s = %d is the initial sequence number of %s; sums are modulo 2^32.", end.Symbol, end.ISN, end.Name))
		}
	}
	inferred := l.Client.Name
	if l.Server.Inferred {
		inferred = l.Server.Name
	}
	p.line(fmt.Sprintf("~ marks states of %s, inferred from the segments; those of our end are known.", inferred))
	t := l.Totals
	p.line(fmt.Sprintf("%d segments in with %s, %d out with %s; %d sent again, %d not accepted.",
		t.SegmentsIn, size(t.BytesIn), t.SegmentsOut, size(t.BytesOut), t.Retransmissions, t.Dropped))
}

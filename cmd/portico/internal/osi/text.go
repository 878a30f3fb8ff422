package osi

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/a644562b/portico/cmd/portico/internal/wrap"
)

// Columns of the text. It is at most 110 wide.
const (
	width      = 110
	nameColumn = 18
	fieldName  = 18
)

// WriteText writes the request layer by layer, and of the answer the layers that have more
// to show.
func (a *Anatomy) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "the request, %s to %s, from the application down to the wire\n", a.Client, a.Server)
	for _, l := range a.Request.Layers {
		l.write(out)
	}
	a.Request.sum(out)
	fmt.Fprintf(out, "\nthe answer, %s to %s, in its upper layers\n", a.Server, a.Client)
	for _, l := range a.Answer.Layers {
		if l.Number >= 5 {
			l.write(out)
		}
	}
	a.Answer.sum(out)
	return out.Flush()
}

// sum adds up what the layers added.
func (m *Message) sum(w io.Writer) {
	if m.Packets != 1 {
		fmt.Fprintf(w, "  sum              %d bytes of the application are %d bytes in %d packets on the wire\n", m.AppBytes, m.WireBytes, m.Packets)
		return
	}
	var transport, network int
	for _, l := range m.Layers {
		switch l.Number {
		case 4:
			transport = l.Adds
		case 3:
			network = l.Adds
		}
	}
	fmt.Fprintf(w, "  sum              %d of the application + %d TCP + %d IP + 0 + 0 = %d bytes on the wire\n",
		m.AppBytes, transport, network, m.WireBytes)
}

func (l *Layer) write(w io.Writer) {
	head := fmt.Sprintf("  %d %s", l.Number, l.Name)
	added := fmt.Sprintf("+%d", l.Adds)
	lead := fmt.Sprintf("%-*s %5s  ", nameColumn, head, added)
	indent := strings.Repeat(" ", len(lead))
	for _, text := range append(slices.Clip(l.Text), l.Hex) {
		if text != "" {
			fmt.Fprintln(w, wrap.Text(lead, text, width))
			lead = indent
		}
	}
	for _, f := range l.Fields {
		fmt.Fprintln(w, wrap.Text(indent+fmt.Sprintf("%-*s", fieldName, f.Name), f.Value, width))
	}
}

package demo

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/ladder"
)

func TestStoryOnAPipeIsWhole(t *testing.T) {
	begun := time.Now()
	s, err := OnPipe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("took %v", time.Since(begun))
	var titles []string
	for _, l := range s.Ladders {
		for _, p := range l.Phases {
			titles = append(titles, p.Title)
		}
		if l.Totals.Retransmissions != 0 || l.Totals.Dropped != 0 {
			t.Errorf("on a wire without loss: %+v", l.Totals)
		}
	}
	if got, want := strings.Join(titles, "; "), "three-way handshake; data; four-way teardown; three-way handshake; data; four-way teardown"; !strings.HasPrefix(strings.ReplaceAll(got, ", in three segments", ""), want) {
		t.Errorf("the phases are %s", got)
	}
	last := func(i int) (client, server string) {
		ph := s.Ladders[i].Phases
		rows := ph[len(ph)-1].Rows
		return rows[len(rows)-1].Client, rows[len(rows)-1].Server
	}
	if c, p := last(0); c != "TIME-WAIT" || p != "CLOSED" {
		t.Errorf("the client closed first, and they end in %s and %s", c, p)
	}
	if c, p := last(1); c != "CLOSED" || p != "TIME-WAIT" {
		t.Errorf("portico closed first, and they end in %s and %s", c, p)
	}
	if !strings.Contains(s.Page, "visit 2") {
		t.Errorf("the second visit is not the second:\n%s", s.Page)
	}
	if len(s.Sockets.Connections) != 1 || s.Sockets.Connections[0].State != "ESTABLISHED" || len(s.Sockets.Listeners) != 2 {
		t.Errorf("sockets %+v", s.Sockets)
	}

	var text bytes.Buffer
	if err := s.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"three-way handshake", "~SYN-SENT", "SYN seq=x len=0 mss 1460", "SYN,ACK seq=y ack=x+1", "a SYN takes one number", "a bare ACK takes none",
		"four-way teardown", "~FIN-WAIT-1", "LAST-ACK", "TIME-WAIT: 2·MSL = 60 s", "7 application", "1 physical",
		"Cookie: portico_session=", "gzip made", "no MAC", "ESTAB", "What to try next",
		"A wire that loses a segment", "window closed: wait",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the story lacks %q", want)
		}
	}
	if b, err := json.Marshal(s); err != nil || !json.Valid(b) {
		t.Errorf("as JSON: %v", err)
	}
}

// In virtual time, so that nothing but what is to be seen happens.
func TestTroubleIsALossAndAShutWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := trouble(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := l.WriteText(&text, ladder.Text{All: true}); err != nil {
			t.Fatal(err)
		}
		// The lost segment, the second probe, and the probes' byte with what follows it.
		if l.Totals.Retransmissions != 3 || l.Totals.Timeouts != 0 {
			t.Errorf("%d sent again, %d timeouts", l.Totals.Retransmissions, l.Totals.Timeouts)
		}
		rest := text.String()
		for _, want := range []string{
			"ack=y+2897", "data is missing", "sack y+4345..y+8689", "seq=y+2897", "sent again: later data",
			"ack=y+8689 len=0 win 0", "len=1 ", "zero-window probe", "sent again: zero-window", "window open:", "len=1448",
			"teardown", "~FIN-WAIT-1",
		} {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Fatalf("%q is missing, or in the wrong place:\n%s", want, text.String())
			}
			rest = after
		}
	})
}

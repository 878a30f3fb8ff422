package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/a644562b/portico/stack"
	"github.com/a644562b/portico/tcp"
)

// trace writes events as text, one a line:
//
//	SECONDS SERIAL in|out SEQ+LEN ack ACK wnd WINDOW FLAGS [sack …] [why]
//	SECONDS SERIAL cwnd CWND ssthresh SSTHRESH flight FLIGHT why
//	SECONDS SERIAL rtt RTT srtt SRTT rto RTO
//	SECONDS SERIAL state FROM -> TO [why]
//
// Sequence numbers are absolute, so that they can be found in a capture.
type trace struct {
	file *os.File

	mu  sync.Mutex
	out *bufio.Writer
}

func newTrace(name string) (*trace, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	return &trace{file: f, out: bufio.NewWriterSize(f, 1<<20)}, nil
}

func (t *trace) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.out.Flush(), t.file.Close())
}

// observe is stack.Config.Observe.
func (t *trace) observe(id stack.ConnID) tcp.Observer {
	return func(e *tcp.Event) {
		t.mu.Lock()
		defer t.mu.Unlock()
		fmt.Fprintf(t.out, "%.6f %d ", time.Duration(e.Time).Seconds(), id.Serial)
		t.event(e)
		if e.Why != tcp.WhyNone {
			fmt.Fprintf(t.out, " (%s)", e.Why)
		}
		t.out.WriteByte('\n')
	}
}

func (t *trace) event(e *tcp.Event) {
	switch e.Kind {
	case tcp.EventState:
		fmt.Fprintf(t.out, "state %s -> %s", e.From, e.To)
	case tcp.EventSegmentIn:
		t.segment("in", &e.Segment)
	case tcp.EventSegmentOut:
		t.segment("out", &e.Segment)
	case tcp.EventDrop:
		fmt.Fprintf(t.out, "drop")
	case tcp.EventRTT:
		fmt.Fprintf(t.out, "rtt %v srtt %v rto %v", e.RTT, e.SRTT, e.RTO)
	case tcp.EventCwnd:
		fmt.Fprintf(t.out, "cwnd %d ssthresh %d flight %d", e.Cwnd, e.Ssthresh, e.Flight)
	default:
		fmt.Fprintf(t.out, "event %d cwnd %d ssthresh %d flight %d", e.Kind, e.Cwnd, e.Ssthresh, e.Flight)
	}
}

func (t *trace) segment(way string, s *tcp.SegmentInfo) {
	fmt.Fprintf(t.out, "%s %d+%d ack %d wnd %d %v", way, s.Seq, s.DataLen, s.Ack, s.Window, s.Flags)
	if n := s.Options.SACKBlocks; n > 0 {
		fmt.Fprintf(t.out, " sack %v", s.Options.SACK[:n])
	}
}

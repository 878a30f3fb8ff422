package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// What becomes of a connection whose application is gone.

// givenUpAfter waits until the TCB gives up, and returns how many segments it has sent by then,
// and how long it took.
func (d *dialogue) givenUpAfter() (segments int, after time.Duration) {
	d.Helper()
	start := d.now
	for d.tcb.State() != tcp.StateClosed {
		if d.tcb.Deadline() == tcp.Never {
			d.fail("it waits for ever")
		}
		d.wait(d.tcb.Deadline().Sub(d.now))
		segments += len(d.overheard())
	}
	return segments, d.now.Sub(start)
}

// TestOrphanIsGivenUpEarlier: eight retransmissions, which with the least of timeouts last
// longer than the 100 s of SHLD-11, as on Linux; an R2 of its own holds for an orphan too.
func TestOrphanIsGivenUpEarlier(t *testing.T) {
	for name, c := range map[string]struct {
		params tcp.Params
		before func(d *dialogue)
		want   int
	}{
		"orphan":                {want: 8},
		"R2Orphan is set":       {params: tcp.Params{R2Orphan: 3}, want: 3},
		"R2 is set for all":     {params: tcp.Params{R2: 20}, want: 20},
		"R2 of the connection":  {before: func(d *dialogue) { d.tcb.SetRetries(0, 5) }, want: 5},
		"both, the own one":     {params: tcp.Params{R2Orphan: 3}, before: func(d *dialogue) { d.tcb.SetRetries(0, 5) }, want: 5},
		"closed for writing":    {before: func(d *dialogue) { d.closeWrite() }, want: 15},
		"closed after troubles": {before: func(d *dialogue) { d.wait(3 * time.Second); d.overheard() }, want: 8 - 3},
	} {
		t.Run(name, func(t *testing.T) {
			d := established(t, withParams(c.params))
			d.write(100)
			d.expect("P. 1(100) ack 1")
			if c.before != nil {
				c.before(d)
				d.overheard()
			}
			if name != "closed for writing" {
				d.close()
				d.overheard()
			}
			n, after := d.givenUpAfter()
			if n != c.want {
				d.fail("%d retransmissions in %v, want %d", n, after, c.want)
			}
			if name == "orphan" && after < 100*time.Second {
				d.fail("given up after %v (SHLD-11)", after)
			}
			d.expectClosed(tcp.ErrTimeout)
		})
	}
}

// TestOrphanWithAShutWindow: probes without an answer are counted like retransmissions; while
// they are answered the data wait as long as it takes (MUST-37).
func TestOrphanWithAShutWindow(t *testing.T) {
	d := established(t)
	d.send(". 1 ack 1 win 0")
	d.write(100)
	d.close()
	d.expectNothing()
	for range 40 {
		d.wait(d.tcb.Deadline().Sub(d.now))
		if n := len(d.overheard()); n != 1 {
			d.fail("%d probes at once", n)
		}
		d.send(". 1 ack 1 win 0")
		d.expectNothing()
	}
	d.expectState(tcp.StateFinWait1)
	if n, _ := d.givenUpAfter(); n != 8 {
		d.fail("%d probes without an answer, want 8", n)
	}
	d.expectClosed(tcp.ErrTimeout)
}

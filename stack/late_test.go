package stack

import (
	"testing"
	"time"
)

// TestATimerTakesInWhatHasCome: before a timer says that an ACK has not come, the stack looks,
// for the engine may be late; where it has, nothing is sent again.
func TestATimerTakesInWhatHasCome(t *testing.T) {
	withLateEngine(t, func(t *testing.T, d *lateEngine, client, server *Conn) {
		for range 10 {
			mustWrite(t, client, "y")
			wantRead(t, server, "y")
			<-time.After(5 * time.Second)
		}
		if n := server.Info().DuplicateIn; n != 0 {
			t.Errorf("%d segments came twice", n)
		}
		if i := client.Info(); i.SndUna != i.SndNxt || i.TailProbes != 0 || i.RetransSegs != 0 {
			t.Errorf("SND.UNA is %d, SND.NXT %d, %d probes and %d retransmissions were sent", i.SndUna, i.SndNxt, i.TailProbes, i.RetransSegs)
		}
		if d.polls.Load() == 0 {
			t.Error("nobody polled")
		}
	})
}

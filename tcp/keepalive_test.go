package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Keep-alives: RFC 9293, 3.8.4.

func TestKeepAliveIsOffByDefault(t *testing.T) {
	d := established(t) // MUST-25
	if dl := d.tcb.Deadline(); dl != tcp.Never {
		d.fail("an idle connection has a deadline in %v", dl.Sub(d.now))
	}
	d.wait(48 * time.Hour)
	d.expectNothing()
}

func keptAlive(t *testing.T, k tcp.KeepAlive) *dialogue {
	d := established(t)
	k.Enable = true
	d.call("SetKeepAlive", func() { d.tcb.SetKeepAlive(d.now, k) })
	d.expectNothing()
	return d
}

// TestKeepAliveDefaults: two hours (MUST-28), then Linux's nine probes 75 s apart;
// each without data at SND.NXT-1 (SHLD-12); then the peer is dead, and is told so.
func TestKeepAliveDefaults(t *testing.T) {
	d := keptAlive(t, tcp.KeepAlive{})
	d.wait(2*time.Hour - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@2h . 0 ack 1")
	for range 8 {
		d.mark = d.now
		d.wait(75*time.Second - 1)
		d.expectNothing()
		d.wait(1)
		d.expect("@75s . 0 ack 1")
		d.expectState(tcp.StateEstablished) // MUST-29
	}
	d.wait(75*time.Second - 1)
	d.expectNothing()
	d.expectState(tcp.StateEstablished)
	d.wait(1)
	if len(d.heard) > 0 { // as Linux does
		d.expect("@* R. 1 ack 1")
	}
	d.expectReadError(tcp.ErrTimeout)
	d.expectClosed(tcp.ErrTimeout)
}

// TestKeepAliveAnswered: MUST-29: one answer of many is enough, and the idle time
// begins again.
func TestKeepAliveAnswered(t *testing.T) {
	d := keptAlive(t, tcp.KeepAlive{Idle: time.Minute, Interval: 10 * time.Second, Count: 3})
	for range 20 {
		d.mark = d.now
		d.wait(70 * time.Second)
		d.expect("@60s . 0 ack 1", "@70s . 0 ack 1")
		d.send(". 1 ack 1")
		d.expectNothing()
	}
	d.expectState(tcp.StateEstablished)
	if n := d.info().ProbesUnseen; n != 0 {
		d.fail("%d probes unanswered", n)
	}
}

// TestKeepAliveCount: exactly as many as were asked for.
func TestKeepAliveCount(t *testing.T) {
	d := keptAlive(t, tcp.KeepAlive{Idle: time.Minute, Interval: 10 * time.Second, Count: 3})
	d.wait(90*time.Second - 1)
	d.expect("@60s . 0 ack 1", "@70s . 0 ack 1", "@80s . 0 ack 1")
	if n := d.info().ProbesUnseen; n != 3 {
		d.fail("Info counts %d of 3 unanswered probes", n)
	}
	d.expectState(tcp.StateEstablished)
	d.wait(1)
	d.overheard()
	d.expectClosed(tcp.ErrTimeout)
}

// TestTrafficPostponesKeepAlive: MUST-26: only after nothing has come for the
// interval.
func TestTrafficPostponesKeepAlive(t *testing.T) {
	d := keptAlive(t, tcp.KeepAlive{Idle: time.Minute})
	for off := 1; off < 11; off++ {
		d.wait(59 * time.Second)
		d.send("P. " + itoa(off) + "(1) ack 1")
		d.expectLate(". 1 ack " + itoa(off+1))
	}
	start := d.mark
	d.wait(start.Add(time.Minute).Sub(d.now) - 1)
	d.expectNothing()
	d.wait(1)
	d.expect("@60s . 0 ack 11")
}

// TestNoKeepAliveWithDataInFlight: MUST-26: the retransmission timer sees to it.
func TestNoKeepAliveWithDataInFlight(t *testing.T) {
	d := keptAlive(t, tcp.KeepAlive{Idle: time.Second, Interval: time.Second, Count: 1})
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.wait(30 * time.Second)
	for _, u := range d.overheard() {
		if len(u.Payload) != 100 {
			d.fail("a probe with data in flight: %s", u.text)
		}
	}
	d.expectState(tcp.StateEstablished)
}

// TestKeepAliveOfARestartedPeer: the peer has restarted and answers by a reset.
func TestKeepAliveOfARestartedPeer(t *testing.T) {
	d := keptAlive(t, tcp.KeepAlive{Idle: time.Minute})
	d.wait(time.Minute)
	d.expect("@60s . 0 ack 1")
	d.send("R 1")
	d.expectClosed(tcp.ErrReset)
}

// TestKeepAliveCanBeTurnedOff: MUST-24.
func TestKeepAliveCanBeTurnedOff(t *testing.T) {
	d := keptAlive(t, tcp.KeepAlive{Idle: time.Minute})
	d.wait(59 * time.Second)
	d.call("SetKeepAlive off", func() { d.tcb.SetKeepAlive(d.now, tcp.KeepAlive{}) })
	d.wait(24 * time.Hour)
	d.expectNothing()
	d.expectState(tcp.StateEstablished)
}

// TestKeepAliveInFinWait2: a half-closed connection may be kept alive too.
func TestKeepAliveInFinWait2(t *testing.T) {
	d := inState(t, tcp.StateFinWait2)
	d.call("SetKeepAlive", func() { d.tcb.SetKeepAlive(d.now, tcp.KeepAlive{Enable: true, Idle: time.Minute}) })
	d.wait(time.Minute)
	d.expect("@60s . 1 ack 1")
	d.send(". 1 ack 2")
	d.expectNothing()
}

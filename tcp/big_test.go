package tcp_test

import (
	"testing"
	"time"
)

// longest takes what the TCB has said and returns the length of its longest segment in bytes.
func (d *dialogue) longest() (n int) {
	d.Helper()
	for _, u := range d.overheard() {
		n = max(n, len(u.Payload))
	}
	return n
}

// TestSuperSegmentsLongerThanAnyPacket: where the driver takes them they are sent, until a
// timeout: then it may be their length for which they were lost.
func TestSuperSegmentsLongerThanAnyPacket(t *testing.T) {
	d := established(t, withGSO(190_000), withPeer(bulk))
	grow := func() (n int) {
		d.write(1 << 20)
		for d.info().SendQueue > 0 {
			n = max(n, d.longest())
			d.wait(rtt)
			d.send(". 1 ack " + itoa(d.info().SndNxt.Sub(d.iss)))
		}
		d.overheard()
		return n
	}
	for range 2 {
		grow() // the congestion window
	}
	if n := grow(); n <= 65535 || n > 190_000 {
		d.fail("the longest segment has %d bytes", n)
	}
	d.write(200_000)
	if n := d.longest(); n <= 65535 {
		d.fail("the longest segment has %d bytes", n)
	}
	d.wait(2 * time.Second) // a probe, and timeouts
	if n := d.longest(); n > 65535 {
		d.fail("after a timeout a segment of %d bytes is sent", n)
	}
	d.send(". 1 ack " + itoa(d.info().SndNxt.Sub(d.iss)))
	for range 8 {
		if n := grow(); n > 65535 || n < 60_000 && d.info().Cwnd > 200_000 {
			d.fail("after a timeout the longest segment has %d bytes", n)
		}
	}
	if d.info().Cwnd < 200_000 {
		d.fail("the congestion window is %d: the test sees too little", d.info().Cwnd)
	}
}

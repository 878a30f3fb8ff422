package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Small Writes in a row share segments, also with Nagle off (RFC 9293, 3.9.1.2, MAY-16), and
// nothing is held for long (MUST-60).

// closely is what two Writes may lie apart to count as in a row, hold how long something is held.
const (
	closely = 50 * time.Microsecond
	hold    = time.Millisecond
)

// hurried is a connection without Nagle on which nine Writes of 10 bytes have come in a row:
// eight have left, and the ninth is held.
func hurried(t *testing.T, opts ...option) *dialogue {
	t.Helper()
	d := established(t, opts...)
	d.tcb.SetNoDelay(d.now, true)
	for i := range 8 {
		d.write(10)
		d.expect("P. " + itoa(1+10*i) + "(10) ack 1")
	}
	d.write(10)
	d.expectNothing()
	return d
}

func TestWritesInARowShareSegments(t *testing.T) {
	d := hurried(t)
	for range 20 {
		d.write(10)
		d.expectNothing()
	}
	d.send(". 1 ack 21") // any ACK, also of the first two only
	d.expect("P. 81(210) ack 1")
	d.write(10) // and on: the rest is in flight
	d.expectNothing()
	d.send(". 1 ack 291")
	d.expect("P. 291(10) ack 1")
}

// TestWritesAreHeldForAMillisecond: without any ACK, from the first that is held on.
func TestWritesAreHeldForAMillisecond(t *testing.T) {
	d := hurried(t)
	began := d.now
	for range 19 {
		d.wait(closely)
		d.write(10)
		d.expectNothing()
	}
	d.at(began.Add(hold - 1).Sub(d.mark))
	d.expectNothing()
	d.wait(1)
	d.expect("@* P. 81(200) ack 1")
}

// TestWritesLeaveWithAFullSegment: what fills a segment leaves, and only that.
func TestWritesLeaveWithAFullSegment(t *testing.T) {
	d := hurried(t)
	d.write(989)
	d.expectNothing()
	d.write(1)
	d.expect(". 81(1000) ack 1")
	d.write(1500)
	d.expect(". 1081(1000) ack 1")
	d.wait(hold)
	d.expect("@1ms P. 2081(500) ack 1")
}

// TestWritesFillASuperSegment: where the device cuts segments more is gathered.
func TestWritesFillASuperSegment(t *testing.T) {
	d := hurried(t, withGSO(4500), withWindow(65535))
	for range 3 {
		d.write(1000)
		d.expectNothing()
	}
	d.write(989)
	d.expectNothing()
	d.write(2)
	d.expect(". 81(4000) ack 1")
	d.wait(hold)
	d.expect("@1ms P. 4081(1) ack 1")
}

// TestWritesApartLeaveAtOnce: a Write that comes later than the gap is the first of a row.
func TestWritesApartLeaveAtOnce(t *testing.T) {
	d := established(t)
	d.tcb.SetNoDelay(d.now, true)
	for i := range 30 {
		d.write(10)
		d.expect("P. " + itoa(1+10*i) + "(10) ack 1")
		d.wait(closely + time.Microsecond)
	}
	d = hurried(t)
	d.wait(closely + time.Microsecond)
	d.write(10) // takes with it what is held
	d.expect("P. 81(20) ack 1")
}

// TestWritesWithNothingInFlightLeaveAtOnce: there is no ACK to wait for.
func TestWritesWithNothingInFlightLeaveAtOnce(t *testing.T) {
	d := established(t)
	d.tcb.SetNoDelay(d.now, true)
	for i := range 30 {
		d.write(10)
		d.expect("P. " + itoa(1+10*i) + "(10) ack 1")
		d.send(". 1 ack " + itoa(11+10*i))
		d.expectNothing()
	}
}

// TestHeldWritesAreLetGo: by whatever says that nothing will be added, or that it is to leave.
func TestHeldWritesAreLetGo(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(d *dialogue)
		want []string
	}{
		"Read that finds nothing": {func(d *dialogue) {
			d.call("Read", func() {
				if n, err := d.tcb.Read(d.now, make([]byte, 10)); n != 0 || err != nil {
					d.fail("Read: %d, %v", n, err)
				}
				if !d.tcb.SendDue() {
					d.fail("Read does not say that there is something to send")
				}
			})
			if d.tcb.SendDue() {
				d.fail("there is still something to send")
			}
		}, []string{"P. 81(10) ack 1"}},
		"CloseWrite": {(*dialogue).closeWrite, []string{"FP. 81(10) ack 1"}},
		"SetNoDelay": {func(d *dialogue) {
			d.call("SetNoDelay", func() { d.tcb.SetNoDelay(d.now, true) })
		}, []string{"P. 81(10) ack 1"}},
		"SetCork": {func(d *dialogue) {
			d.call("SetCork", func() { d.tcb.SetCork(d.now, false) })
		}, []string{"P. 81(10) ack 1"}},
		"Write that has to wait": {func(d *dialogue) {
			d.tcb.SetSendBuffer(4096)
			d.tcb.SetUnsentLowWater(500)
			if n := d.tryWrite(600); n != 490 {
				d.fail("Write took %d", n)
			}
		}, []string{"P. 81(500) ack 1"}},
		"Write that finds no room": {func(d *dialogue) {
			d.tcb.SetUnsentLowWater(10)
			if n := d.tryWrite(600); n != 0 {
				d.fail("Write took %d", n)
			}
		}, []string{"P. 81(10) ack 1"}},
		"an ACK that leaves anyway": {func(d *dialogue) {
			d.send("P. 1(10) ack 1", "P. 11(10) ack 1")
		}, []string{"P. 81(10) ack 21"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := hurried(t)
			c.do(d)
			d.expect(c.want...)
		})
	}
}

// TestWritesOfOneCallCountAsOne: several Writes before Next is asked are one to the
// application, WriteBuffers of package stack for one.
func TestWritesOfOneCallCountAsOne(t *testing.T) {
	d := established(t)
	d.tcb.SetNoDelay(d.now, true)
	d.write(10)
	d.expect("P. 1(10) ack 1")
	d.call("twenty Writes", func() {
		for i := range 20 {
			p := []byte{ours(10 + i)}
			if n, err := d.tcb.Write(d.now, p); n != 1 || err != nil {
				d.fail("Write: %d, %v", n, err)
			}
			d.watch.written++
		}
	})
	d.expect("P. 11(20) ack 1")
}

// TestWritesLeaveAtOnceWhileLossesAreRepaired: new data tells whether more is lost.
func TestWritesLeaveAtOnceWhileLossesAreRepaired(t *testing.T) {
	d := flight(t, 10, withSACK)
	d.tcb.SetNoDelay(d.now, true)
	d.send(". 1 ack 1 <nop,nop,sack 1001:9001>")
	d.overheard()
	for range 30 {
		d.write(10)
		d.expect("P. " + itoa(d.info().SndNxt.Sub(d.iss)-10) + "(10) ack 1")
	}
}

func TestNoAutocork(t *testing.T) {
	d := established(t, withParams(tcp.Params{NoAutocork: true}))
	d.tcb.SetNoDelay(d.now, true)
	for i := range 30 {
		d.write(10)
		d.expect("P. " + itoa(1+10*i) + "(10) ack 1")
	}
}

// TestWritesThatFillSegmentsWaitForNothing: where each leaves at once no timer runs, which would have
// the driver look in every millisecond, and nothing is counted.
func TestWritesThatFillSegmentsWaitForNothing(t *testing.T) {
	held := make(tallied)
	d := established(t, withGSO(4500), withParams(tcp.Params{InitialWindow: 60}), withTally(held))
	d.tcb.SetNoDelay(d.now, true)
	for i := range 15 {
		d.write(4000)
		d.expect(". " + itoa(1+4000*i) + "(4000) ack 1")
		if i := d.info(); i.Timer == "autocork" {
			d.fail("the timer of autocork runs")
		}
	}
	if n := held["TcpExtTCPAutoCorking"]; n != 0 {
		t.Errorf("%d times something was held, by the counter", n)
	}
}

// TestWhatTheWindowHeldBackIsNotHeldAgain: the Writes are over when it opens.
func TestWhatTheWindowHeldBackIsNotHeldAgain(t *testing.T) {
	d := established(t, withWindow(2000))
	d.tcb.SetNoDelay(d.now, true)
	for i := range 8 {
		d.write(10)
		d.expect("P. " + itoa(1+10*i) + "(10) ack 1")
	}
	d.write(2500)
	d.expect(". 81(1000) ack 1")
	d.wait(100 * time.Microsecond)
	d.send(". 1 ack 1 win 5000")
	d.expect(". 1081(1000) ack 1", "P. 2081(500) ack 1")
}

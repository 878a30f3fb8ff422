package tcp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Path MTU: RFC 1191, 8201, 5927 and 4821. The peer of these tests takes 1,000 bytes a
// segment, or 1,460.

// tooBig lets the driver report that the path carries segments of mss, as it does after
// an ICMP error that quotes seq, and returns whether the TCB heeded it.
func (d *dialogue) tooBig(seq tcp.Seq, mss int) (heeded bool) {
	d.Helper()
	d.call("fragmentation needed, "+itoa(mss), func() {
		heeded = d.tcb.InFlight(seq) && d.tcb.TooBig(d.now, mss, d.now.Add(10*time.Minute))
	})
	return heeded
}

// TestTooBigSendsAgainAtOnceInSmallerSegments: and the congestion window stays.
func TestTooBigSendsAgainAtOnceInSmallerSegments(t *testing.T) {
	for name, opts := range map[string][]option{"without SACK": nil, "with SACK": {withSACK}} {
		t.Run(name, func(t *testing.T) {
			d := established(t, opts...)
			before := d.info()
			d.write(2000)
			d.expect(". 1(1000) ack 1", "P. 1001(1000) ack 1")
			if !d.tooBig(d.iss.Add(1), 600) {
				d.fail("not heeded")
			}
			d.expect(". 1(600) ack 1", ". 601(600) ack 1", ". 1201(600) ack 1", "P. 1801(200) ack 1")
			after := d.info()
			if after.Cwnd != before.Cwnd || after.Ssthresh != before.Ssthresh || after.FastRecovery != 0 || after.Timeouts != 0 {
				d.fail("congestion control has reacted: window %d, was %d", after.Cwnd, before.Cwnd)
			}
			d.tooBig(d.iss.Add(1001), 600) // about the other one: known already
			d.expectNothing()
			d.wait(rtt)
			d.send(". 1 ack 2001")
			d.write(1000)
			d.expect(". 2001(600) ack 1", "P. 2601(400) ack 1")
		})
	}
}

// TestTooBigLeavesSmallSegmentsAlone: what fits may well have arrived.
func TestTooBigLeavesSmallSegmentsAlone(t *testing.T) {
	d := established(t)
	d.tcb.SetNoDelay(d.now, true)
	d.write(100)
	d.expect("P. 1(100) ack 1")
	d.wait(time.Millisecond)
	d.write(1000)
	d.expect("P. 101(1000) ack 1")
	d.wait(time.Millisecond)
	d.write(300)
	d.expect("P. 1101(300) ack 1")
	d.tooBig(d.iss.Add(101), 500)
	d.expect(". 101(500) ack 1", ". 601(500) ack 1")
	d.send(". 1 ack 1401")
	d.expectNothing()
}

// TestTooBigMustBeAboutSomethingInFlight: RFC 5927, 4.1: a sequence number that is not
// outstanding was guessed, or the packet has arrived.
func TestTooBigMustBeAboutSomethingInFlight(t *testing.T) {
	d := established(t)
	d.write(2000)
	d.overheard()
	d.wait(rtt)
	d.send(". 1 ack 1001")
	for _, off := range []int{-100000, 0, 1, 1000, 2001, 2002, 1 << 30} {
		if d.tooBig(d.iss.Add(off), 500) {
			d.fail("heeded for the number %d", off)
		}
		d.expectNothing()
	}
	d.write(1000)
	d.expect("P. 2001(1000) ack 1")
	if !d.tooBig(d.iss.Add(1001), 500) {
		d.fail("not heeded for SND.UNA")
	}
	d.overheard()
}

// TestTooBigMustBeBelowWhatIsSent: RFC 5927, 7.2: an MTU that our packets fit says
// nothing.
func TestTooBigMustBeBelowWhatIsSent(t *testing.T) {
	d := established(t)
	d.write(1000)
	d.expect("P. 1(1000) ack 1")
	for _, mss := range []int{1000, 1001, 1460, 65535, 0, -40} {
		if d.tooBig(d.iss.Add(1), mss) {
			d.fail("heeded %d", mss)
		}
		d.expectNothing()
	}
	if !d.tooBig(d.iss.Add(1), 999) {
		d.fail("not heeded")
	}
	d.expect(". 1(999) ack 1", "P. 1000(1) ack 1")
}

// TestTooBigCountsTheOptions: timestamps take their room in what the path carries.
func TestTooBigCountsTheOptions(t *testing.T) {
	d := established(t, withTS)
	d.write(900)
	d.expect("P. 1(900) ack 1")
	d.tooBig(d.iss.Add(1), 512)
	d.expect(". 1(500) ack 1", "P. 501(400) ack 1")
}

// TestTooBigCutsSuperSegmentsSmaller: the device cuts them to what the path carries.
func TestTooBigCutsSuperSegmentsSmaller(t *testing.T) {
	d := established(t, withGSO(64<<10))
	d.write(10000)
	for _, u := range d.overheard() {
		if len(u.Payload) > 1000 && u.GSOSize != 1000 {
			d.fail("cut at %d", u.GSOSize)
		}
	}
	d.tooBig(d.iss.Add(1), 700)
	sent := 0
	for _, u := range d.overheard() {
		sent += len(u.Payload)
		if len(u.Payload) > 700 && u.GSOSize != 700 {
			d.fail("%s", u.text)
		}
	}
	if sent != 10000 {
		d.fail("%d of 10,000 bytes were sent again", sent)
	}
	d.wait(rtt)
	d.send(". 1 ack 10001")
	d.write(2100)
	d.expect("P. 10001(2100) ack 1")
}

// TestTooBigTwice: the path has two narrow places; each is found.
func TestTooBigTwice(t *testing.T) {
	d := established(t, withSACK)
	d.write(1000)
	d.expect("P. 1(1000) ack 1")
	d.tooBig(d.iss.Add(1), 700)
	d.expect(". 1(700) ack 1", "P. 701(300) ack 1")
	d.tooBig(d.iss.Add(1), 400)
	d.expect(". 1(400) ack 1", ". 401(300) ack 1") // the small one was small enough
	d.wait(rtt)
	d.send(". 1 ack 1001")
	d.expectNothing()
}

// TestTooBigDoesNotHideALaterLoss: after what was too big has been repaired losses mean
// congestion again.
func TestTooBigDoesNotHideALaterLoss(t *testing.T) {
	d := established(t, withSACK)
	d.write(1000)
	d.expect("P. 1(1000) ack 1")
	d.tooBig(d.iss.Add(1), 500)
	d.expect(". 1(500) ack 1", "P. 501(500) ack 1")
	d.wait(rtt)
	d.send(". 1 ack 1001")
	d.write(3000)
	if n := len(d.overheard()); n != 6 {
		d.fail("%d segments", n)
	}
	d.wait(rtt)
	d.send(". 1 ack 1001 <nop,nop,sack 1501:4001>")
	d.expect(". 1001(500) ack 1")
	if i := d.info(); i.FastRecovery != 1 {
		d.fail("no recovery")
	}
}

// TestPathMTUAges: what was learned holds until its time is over; then full segments are
// tried again, and fail or not.
func TestPathMTUAges(t *testing.T) {
	d := established(t)
	d.write(1000)
	d.overheard()
	d.tooBig(d.iss.Add(1), 600)
	d.overheard()
	d.send(". 1 ack 1001")
	d.wait(10*time.Minute - 1)
	d.write(1000)
	d.expect(". 1001(600) ack 1", "P. 1601(400) ack 1")
	d.send(". 1 ack 2001")
	d.wait(1)
	d.write(1000)
	d.expect("P. 2001(1000) ack 1")
	if !d.tooBig(d.iss.Add(2001), 600) {
		d.fail("not heeded again")
	}
	d.expect(". 2001(600) ack 1", "P. 2601(400) ack 1")
}

// TestKnownPathLimitsANewConnection: another connection has found the path narrow. Data
// heeds it, the MSS that we announce does not (MUST-67; the watch of every dialogue
// compares it with the interface's).
func TestKnownPathLimitsANewConnection(t *testing.T) {
	until := tcp.Time(time.Hour + 10*time.Minute)
	known := func(d *dialogue) { d.setup.PathMSS, d.setup.PathUntil = 600, until }
	for name, start := range map[string]func(testing.TB, tcp.State, ...option) *dialogue{"active": inState, "passive": passively} {
		t.Run(name, func(t *testing.T) {
			d := start(t, tcp.StateEstablished, known)
			d.write(1000)
			d.expect(". 1(600) ack 1", "P. 601(400) ack 1")
			d.send(". 1 ack 1001")
			d.wait(until.Sub(d.now))
			d.write(1000)
			d.expect("P. 1001(1000) ack 1")
		})
	}
}

// TestPathLearnedElsewhere: a live connection is told what another one found, and that it
// is not true any more.
func TestPathLearnedElsewhere(t *testing.T) {
	d := established(t)
	d.call("SetPathMSS 600", func() { d.tcb.SetPathMSS(d.now, 600, d.now.Add(time.Hour)) })
	d.expectNothing()
	d.write(1000)
	d.expect(". 1(600) ack 1", "P. 601(400) ack 1")
	d.send(". 1 ack 1001")
	d.call("SetPathMSS 0", func() { d.tcb.SetPathMSS(d.now, 0, 0) })
	d.write(1000)
	d.expect("P. 1001(1000) ack 1")
}

// blackHole is a connection whose path swallows all segments of more than mtu bytes, data
// and options, and delivers all others after rtt, with the peer acknowledging each flight.
type blackHole struct {
	*dialogue
	mtu     int
	onWire  []utterance
	rcvd    int         // number after the last byte that arrived in order
	beyond  map[int]int // what arrived beyond a gap, by its first number
	largest int         // size of the largest segment that arrived
}

// leave puts what the TCB has said onto the wire.
func (b *blackHole) leave() { b.onWire = append(b.onWire, b.overheard()...) }

// carry lets what is on the wire arrive or vanish. When something arrived the peer has
// acknowledged it a round trip later.
func (b *blackHole) carry() (arrived bool) {
	b.Helper()
	b.leave()
	flight := b.onWire
	b.onWire = nil
	for _, u := range flight {
		size := len(u.Payload)
		if u.GSOSize != 0 {
			size = u.GSOSize
		}
		if size += len(u.header) - tcp.HeaderLen; size > b.mtu || len(u.Payload) == 0 {
			continue
		}
		arrived = true
		b.largest = max(b.largest, size)
		from, to := u.Seq.Sub(b.iss), u.Seq.Sub(b.iss)+len(u.Payload)
		b.beyond[from] = max(b.beyond[from], to)
	}
	if !arrived {
		return false
	}
	sack := b.reassemble()
	b.wait(rtt)
	b.leave()
	opts := b.usualOptions(tcp.ACK)
	if sack != "" {
		opts = strings.TrimPrefix(opts+",nop,nop,"+sack, ",")
	}
	b.send(". 1 ack " + itoa(b.rcvd) + " <" + opts + ">")
	b.leave()
	return true
}

// reassemble moves the peer's RCV.NXT and returns its SACK option, of one block.
func (b *blackHole) reassemble() (sack string) {
	for moved := true; moved; {
		moved = false
		for from, to := range b.beyond {
			if from <= b.rcvd {
				b.rcvd, moved = max(b.rcvd, to), true
				delete(b.beyond, from)
			}
		}
	}
	first, last := 0, 0
	for from, to := range b.beyond {
		if first == 0 || from < first {
			first = from
			last = to
		}
	}
	for to, ok := b.beyond[last]; ok; to, ok = b.beyond[last] {
		last = to
	}
	if first == 0 {
		return ""
	}
	return "sack " + itoa(first) + ":" + itoa(last)
}

// deliver writes until n bytes have arrived.
func (b *blackHole) deliver(n int) {
	b.Helper()
	for b.rcvd <= n {
		if room := 64<<10 - (b.watch.written + 1 - b.rcvd); room > 0 {
			b.tryWrite(room)
			b.leave()
		}
		for start := b.now; !b.carry(); b.wait(b.tcb.Deadline().Sub(b.now)) {
			if b.tcb.Deadline() == tcp.Never || b.now.Sub(start) > time.Hour {
				b.fail("nothing arrives any more, %d bytes have", b.rcvd)
			}
		}
	}
}

// settleWire lets all that was written arrive.
func (b *blackHole) settleWire() {
	b.Helper()
	for b.rcvd <= b.watch.written {
		if !b.carry() {
			b.wait(b.tcb.Deadline().Sub(b.now))
		}
	}
}

func swallowing(t *testing.T, mtu int, opts ...option) *blackHole {
	t.Helper()
	opts = append([]option{withSACK, withPeer(func(p *peer) { p.mss = 1460 })}, opts...)
	return &blackHole{dialogue: established(t, opts...), mtu: mtu, rcvd: 1, beyond: make(map[int]int)}
}

// TestBlackHoleIsFound: no ICMP tells that large packets vanish. After R1 timeouts the
// segments become smaller, and then as large as the path carries, to within 8 bytes;
// failed probes cost no congestion window (RFC 4821).
func TestBlackHoleIsFound(t *testing.T) {
	for _, mtu := range []int{1400, 1300, 1024, 900, 500, 300} {
		for name, opts := range map[string][]option{"plain": nil, "timestamps": {withTS}, "super-segments": {withGSO(64 << 10)}} {
			t.Run(itoa(mtu)+" "+name, func(t *testing.T) {
				b := swallowing(t, mtu, opts...)
				b.deliver(10)
				found := b.now
				b.deliver(2 << 20)
				if b.largest < mtu-8 {
					b.fail("a path of %d is used to %d", mtu, b.largest)
				}
				i := b.info()
				if i.FastRecovery != 0 {
					b.fail("%d fast recoveries: a probe was taken for congestion", i.FastRecovery)
				}
				if since := found.Sub(tcp.Time(time.Hour)); mtu >= searchBase && since > 10*time.Second {
					b.fail("the first byte arrived after %v", since)
				}
			})
		}
	}
}

const searchBase = 1024

// TestNoSearchWithoutTimeouts: with tcp_mtu_probing=1 nothing is probed as long as
// nothing suggests a black hole.
func TestNoSearchWithoutTimeouts(t *testing.T) {
	b := swallowing(t, 65535)
	b.deliver(2 << 20)
	if b.largest != 1460 || b.info().RetransSegs != 0 {
		b.fail("largest segment %d", b.largest)
	}
}

// TestNoBlackHoleForSmallSegments: a peer that does not answer a small request is dead,
// and gets the same segment again.
func TestNoBlackHoleForSmallSegments(t *testing.T) {
	d := established(t)
	d.write(200)
	d.expect("P. 1(200) ack 1")
	d.wait(10 * time.Minute)
	for _, u := range d.overheard() {
		if len(u.Payload) != 200 {
			d.fail("%s", u.text)
		}
	}
}

// TestSearchCanBeTurnedOff: then segments stay as large as they are.
func TestSearchCanBeTurnedOff(t *testing.T) {
	d := established(t, withParams(tcp.Params{NoMTUProbing: true}), withPeer(func(p *peer) { p.mss = 1460 }))
	d.write(1460)
	d.expect("P. 1(1460) ack 1")
	d.wait(10 * time.Minute)
	for _, u := range d.overheard() {
		if len(u.Payload) != 1460 {
			d.fail("%s", u.text)
		}
	}
}

// TestSearchOverIPv6StopsAtItsMinimum: every link carries 1280 bytes.
func TestSearchOverIPv6StopsAtItsMinimum(t *testing.T) {
	d := established(t, withIPv6, withPeer(func(p *peer) { p.mss = 1440 }))
	d.write(1440)
	d.expect("P. 1(1440) ack 1")
	d.wait(10 * time.Minute)
	last := 0
	for _, u := range d.overheard() {
		last = len(u.Payload)
	}
	if last != 1220 {
		d.fail("segments of %d bytes in the end, want 1220", last)
	}
}

// TestSearchFollowsAPathThatWidens: after ten minutes larger segments are tried again.
func TestSearchFollowsAPathThatWidens(t *testing.T) {
	b := swallowing(t, 1100)
	b.deliver(1 << 20)
	if b.largest < 1092 || b.largest > 1100 {
		b.fail("a path of 1100 is used to %d", b.largest)
	}
	b.mtu = 1460
	b.deliver(2 << 20)
	if b.largest > 1100 {
		b.fail("tried %d too soon", b.largest)
	}
	b.settleWire()
	b.wait(10 * time.Minute)
	b.deliver(4 << 20)
	if b.largest < 1452 {
		b.fail("a path of 1460 is used to %d", b.largest)
	}
}

package record

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/tcp"
)

func id(serial uint64) ID {
	return ID{
		Serial: serial, Passive: true,
		Local:  netip.MustParseAddrPort("10.77.0.2:80"),
		Remote: netip.AddrPortFrom(netip.MustParseAddr("10.77.0.1"), uint16(40000+serial)),
	}
}

func segment(kind tcp.EventKind, at tcp.Time, seq tcp.Seq, flags tcp.Flags, n int) *tcp.Event {
	return &tcp.Event{Time: at, Kind: kind, From: tcp.StateEstablished,
		Segment: tcp.SegmentInfo{Seq: seq, Flags: flags, DataLen: n, Window: 1000}}
}

func state(at tcp.Time, from, to tcp.State, why tcp.Why) *tcp.Event {
	return &tcp.Event{Time: at, Kind: tcp.EventState, From: from, To: to, Why: why}
}

func TestLongRecordingStaysBoundedAndCountsWhatItLeftOut(t *testing.T) {
	c := &Conn{ID: id(1)}
	const n = 100_000
	for i := range n {
		c.Observe(segment(tcp.EventSegmentOut, tcp.Time(i), tcp.Seq(i*10), tcp.ACK, 10))
	}
	tr := c.Trace()
	if got, want := len(tr.Entries), FirstSegments+LastSegments; got != want {
		t.Fatalf("%d entries are kept, want %d", got, want)
	}
	var skipped uint64
	for i, e := range tr.Entries {
		if i > 0 && e.Time <= tr.Entries[i-1].Time {
			t.Fatalf("entry %d is out of order", i)
		}
		if e.Skipped != nil {
			if i != FirstSegments {
				t.Errorf("a gap before entry %d", i)
			}
			skipped += e.Skipped.SegmentsOut
		}
	}
	if want := uint64(n - FirstSegments - LastSegments); skipped != want {
		t.Errorf("%d segments are said to be left out, want %d", skipped, want)
	}
	if tr.Totals.SegmentsOut != n || tr.Totals.BytesOut != 10*n {
		t.Errorf("totals %+v", tr.Totals)
	}
	if cap(c.head)+cap(c.tail)+cap(c.mid) > 2*(FirstSegments+LastSegments) {
		t.Errorf("the recording holds memory for %d entries", cap(c.head)+cap(c.tail)+cap(c.mid))
	}
}

func TestWhatMattersSurvivesInTheMiddle(t *testing.T) {
	c := &Conn{ID: id(1)}
	at := tcp.Time(0)
	bulk := func(n int) {
		for range n {
			at++
			c.Observe(segment(tcp.EventSegmentOut, at, tcp.Seq(at), tcp.ACK, 1))
		}
	}
	bulk(1000)
	at++
	c.Observe(segment(tcp.EventSegmentIn, at, 7, tcp.FIN|tcp.ACK, 0))
	c.Observe(state(at, tcp.StateEstablished, tcp.StateCloseWait, tcp.WhyNone))
	bulk(1000)
	at++
	again := segment(tcp.EventSegmentOut, at, 5, tcp.ACK, 1)
	again.Segment.Again = true
	c.Observe(again)
	bulk(1000)

	var kept []string
	var skipped uint64
	for _, e := range c.Trace().Entries {
		if e.Skipped != nil {
			skipped += e.Skipped.SegmentsOut
		}
		switch {
		case e.Flags.Has(tcp.FIN):
			kept = append(kept, "fin")
		case e.Kind == tcp.EventState:
			kept = append(kept, e.To.String())
		case e.Again:
			kept = append(kept, "again")
		}
	}
	if got, want := strings.Join(kept, " "), "fin CLOSE-WAIT again"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	if want := uint64(3000 - FirstSegments - LastSegments); skipped != want {
		t.Errorf("%d left out, want %d", skipped, want)
	}
}

func TestStormOfRetransmissionsStaysBounded(t *testing.T) {
	c := &Conn{ID: id(1)}
	for i := range 100_000 {
		ev := segment(tcp.EventSegmentOut, tcp.Time(i), 1, tcp.ACK|tcp.FIN, 1)
		ev.Segment.Again = true
		c.Observe(ev)
	}
	if got, most := len(c.Trace().Entries), FirstSegments+LastSegments+MaxTurns+MaxRepairs; got > most {
		t.Errorf("%d entries are kept, at most %d may be", got, most)
	}
	if got := c.Summary().Totals.Retransmissions; got != 100_000 {
		t.Errorf("%d retransmissions are counted", got)
	}
}

func TestDropMarksTheSegmentThatArrivedLast(t *testing.T) {
	for _, before := range []int{0, FirstSegments, FirstSegments + LastSegments + 5} {
		c := &Conn{ID: id(1)}
		for i := range before {
			c.Observe(segment(tcp.EventSegmentOut, tcp.Time(i), 1, tcp.ACK, 1))
		}
		c.Observe(segment(tcp.EventSegmentIn, tcp.Time(before), 42, tcp.ACK, 1))
		c.Observe(segment(tcp.EventSegmentOut, tcp.Time(before), 1, tcp.ACK, 0))
		c.Observe(&tcp.Event{Time: tcp.Time(before), Kind: tcp.EventDrop, Why: tcp.WhyPAWS})
		var marked []tcp.Seq
		tr := c.Trace()
		for _, e := range tr.Entries {
			if e.Drop == tcp.WhyPAWS {
				marked = append(marked, e.Seq)
			}
		}
		if len(marked) != 1 || marked[0] != 42 || tr.Totals.Dropped != 1 {
			t.Errorf("after %d segments: marked %v, counted %d", before, marked, tr.Totals.Dropped)
		}
	}
}

func TestSuperSegmentCountsAsItsPackets(t *testing.T) {
	c := &Conn{ID: id(1)}
	ev := segment(tcp.EventSegmentOut, 1, 1, tcp.ACK, 14481)
	ev.Segment.GSOSize = 1448
	c.Observe(ev)
	if got := c.Summary().Totals.SegmentsOut; got != 11 {
		t.Errorf("%d segments, want 11", got)
	}
}

func TestBookKeepsOpenOnesAndTheLastClosed(t *testing.T) {
	b := NewBook()
	changes := 0
	b.OnChange = func() { changes++ }
	const n = 200
	for i := uint64(1); i <= n; i++ {
		observe := b.Observe(id(i))
		observe(state(1, tcp.StateClosed, tcp.StateListen, tcp.WhyNone))
		if i > 3 {
			observe(state(2, tcp.StateListen, tcp.StateClosed, tcp.WhyReset))
		}
	}
	list := b.List()
	if got, want := len(list), 3+ClosedKept; got != want {
		t.Fatalf("%d recordings, want %d", got, want)
	}
	if list[0].Serial != 1 || list[3].Serial != n-ClosedKept+1 || list[len(list)-1].Serial != n {
		t.Errorf("kept %d, %d … %d", list[0].Serial, list[3].Serial, list[len(list)-1].Serial)
	}
	if want := 2*n - 3; changes != want {
		t.Errorf("%d changes were told, want %d", changes, want)
	}
}

func TestSettledOnlyWhenTheLastACKHasBeenSent(t *testing.T) {
	b := NewBook()
	told := 0
	b.OnChange = func() { told++ }
	observe := b.Observe(id(1))
	check := func(want bool, after string) {
		t.Helper()
		if told == 0 || b.List()[0].Settled != want {
			t.Errorf("after %s: told %d times, settled %v, want %v", after, told, !want, want)
		}
		told = 0
	}
	observe(state(1, tcp.StateEstablished, tcp.StateFinWait2, tcp.WhyNone))
	check(false, "FIN-WAIT-2")
	observe(state(2, tcp.StateFinWait2, tcp.StateTimeWait, tcp.WhyNone))
	check(false, "TIME-WAIT")
	ack := segment(tcp.EventSegmentOut, 2, 1, tcp.ACK, 0)
	ack.From = tcp.StateTimeWait
	observe(ack)
	check(true, "the ACK")

	observe = b.Observe(id(2))
	observe(state(1, tcp.StateClosing, tcp.StateTimeWait, tcp.WhyNone))
	if !b.List()[1].Settled {
		t.Error("TIME-WAIT by way of CLOSING owes no ACK")
	}
}

func TestFindTakesNumberOrNewestWithThatPeer(t *testing.T) {
	b := NewBook()
	first := id(1)
	b.Observe(first)(state(2, tcp.StateListen, tcp.StateClosed, tcp.WhyReset))
	second := first
	second.Serial = 2
	b.Observe(second)
	// The peer's own tools write its link-local address with a zone.
	third := id(3)
	third.Remote = netip.MustParseAddrPort("[fe80::1]:40112")
	b.Observe(third)
	for ref, want := range map[string]uint64{"1": 1, "2": 2, first.Remote.String(): 2, "[fe80::1]:40112": 3, "[fe80::1%tun0]:40112": 3} {
		if tr, err := b.Find(ref); err != nil || tr.Serial != want {
			t.Errorf("%s: found %d, %v; want %d", ref, tr.Serial, err, want)
		}
	}
	for _, ref := range []string{"4", "10.9.9.9:1", "curl", ""} {
		if _, err := b.Find(ref); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v", ref, err)
		}
	}
}

// packetOf makes the IP packet of a segment.
func packetOf(from, to netip.AddrPort, s tcp.Segment) []byte {
	s.SrcPort, s.DstPort = from.Port(), to.Port()
	body := append(s.AppendHeader(nil), s.Payload...)
	h := ip.Header{Src: from.Addr(), Dst: to.Addr(), Protocol: ip.TCP, TTL: 64}
	return append(h.Append(nil, len(body)), body...)
}

func TestRemarkIsFoundByItsPacketOnce(t *testing.T) {
	b := NewBook()
	b.Remarks = NewRemarks()
	who := id(1)
	observe := b.Observe(who)
	in := segment(tcp.EventSegmentIn, 5, 1000, tcp.ACK, 0)
	in.Segment.Ack = 77
	observe(in)
	observe(state(5, tcp.StateSynReceived, tcp.StateEstablished, tcp.WhyNone))
	observe(state(6, tcp.StateEstablished, tcp.StateFinWait1, tcp.WhyNone))
	out := segment(tcp.EventSegmentOut, 6, 77, tcp.FIN|tcp.ACK, 3000)
	out.Segment.Ack, out.Segment.GSOSize = 1000, 1448
	observe(out)

	arrived := packetOf(who.Remote, who.Local, tcp.Segment{Seq: 1000, Ack: 77, Flags: tcp.ACK})
	first := packetOf(who.Local, who.Remote, tcp.Segment{Seq: 77, Ack: 1000, Flags: tcp.ACK, Payload: make([]byte, 1448)})
	last := packetOf(who.Local, who.Remote, tcp.Segment{Seq: 77 + 2*1448, Ack: 1000, Flags: tcp.FIN | tcp.ACK, Payload: make([]byte, 104)})
	for i, c := range []struct {
		out    bool
		packet []byte
		want   string
	}{
		{true, arrived, ""},
		{false, arrived, "SYN-RECEIVED → ESTABLISHED"},
		{false, arrived, ""},
		{true, first, ""},
		{true, last, "ESTABLISHED → FIN-WAIT-1"},
		{false, []byte{0x45, 0}, ""},
		{false, nil, ""},
	} {
		if got := b.Remarks.Comment(c.out, c.packet); got != c.want {
			t.Errorf("comment %d is %q, want %q", i, got, c.want)
		}
	}
}

func TestRemarksThatNobodyAsksForAreForgotten(t *testing.T) {
	r := NewRemarks()
	for i := range 10 * remarksKept {
		r.add(packetKey{seq: tcp.Seq(i)}, "x")
	}
	if n := len(r.said) + len(r.old); n > 2*remarksKept {
		t.Errorf("%d remarks are kept", n)
	}
	if r.take(packetKey{seq: 10*remarksKept - 1}) != "x" {
		t.Error("the newest is gone")
	}
}

func TestSmallRecordingIsSmall(t *testing.T) {
	c := &Conn{ID: id(1)}
	for i := range 10 {
		c.Observe(segment(tcp.EventSegmentOut, tcp.Time(i), 1, tcp.ACK, 1))
	}
	if n := cap(c.head) + cap(c.mid) + cap(c.tail); n > 20 {
		t.Errorf("ten segments take memory for %d", n)
	}
}

func ExampleConn_Summary() {
	c := &Conn{ID: id(3)}
	c.Observe(state(tcp.Time(time.Second), tcp.StateClosed, tcp.StateListen, tcp.WhyNone))
	s := c.Summary()
	fmt.Println(s.Serial, s.State, s.Remote)
	// Output: 3 LISTEN 10.77.0.1:40003
}

package tcp_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// cookieServer is the side that keeps nothing.
type cookieServer struct {
	testing.TB
	now    tcp.Time
	secret [32]byte
	setup  tcp.Setup
}

func newCookieServer(t testing.TB, p tcp.Params) *cookieServer {
	p = p.WithDefaults()
	return &cookieServer{TB: t, now: tcp.Time(90 * time.Second), secret: [32]byte{7}, setup: tcp.Setup{
		Params: &p, MSS: 1460, TSOffset: 0xfffff000,
		Endpoints: tcp.Endpoints{Local: endsOfTwins.Local, Remote: endsOfTwins.Remote},
	}}
}

// answer is the SYN,ACK.
func (c *cookieServer) answer(syn tcp.Segment) (reply tcp.Segment) {
	tcp.OpenCookie(c.now, &c.secret, c.setup, &syn, &reply)
	return reply
}

// third is the peer's ACK of it.
func third(syn, synAck tcp.Segment) tcp.Segment {
	ack := tcp.Segment{
		SrcPort: syn.SrcPort, DstPort: syn.DstPort, Seq: syn.Seq.Add(1), Ack: synAck.Seq.Add(1), Flags: tcp.ACK, Window: 500,
	}
	if synAck.Options.HasTimestamps {
		ack.Options.HasTimestamps, ack.Options.TSVal, ack.Options.TSEcr = true, syn.Options.TSVal+20, synAck.Options.TSVal
	}
	return ack
}

// TestCookieBringsTheOptionsBack: the connection that an ACK makes is the one that the SYN
// asked for; without timestamps without anything but the MSS (RFC 4987, 3.6).
func TestCookieBringsTheOptionsBack(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		p, syn := randomSYN(rnd)
		c := newCookieServer(t, p)
		synAck := c.answer(syn)
		if synAck.Flags&^tcp.ECE != tcp.SYN|tcp.ACK || synAck.Ack != syn.Seq.Add(1) {
			t.Fatalf("a SYN is answered by %v ack %d", synAck.Flags, synAck.Ack)
		}
		c.now = c.now.Add(time.Duration(rnd.Int64N(int64(time.Minute))))
		ack := third(syn, synAck)
		var r tcp.Request
		if !tcp.CheckCookie(c.now, &c.secret, c.setup, &ack, &r) {
			t.Fatalf("seed %d: the cookie is not known again", seed)
		}
		var tcb tcp.TCB
		tcb.OpenRequest(c.now, c.setup, &r)
		tcb.Segment(c.now, &ack)

		// The same without a cookie.
		w := newTwins(t, p, syn)
		plain := ack
		plain.Ack = w.iss.Add(1)
		plain.Options.TSEcr = uint32(w.now/1e6) + w.setup.TSOffset
		w.tcb.Segment(w.now, &plain)
		got, want := tcb.Info(c.now), w.tcb.Info(w.now)
		if got.State != tcp.StateEstablished || want.State != tcp.StateEstablished {
			t.Fatalf("seed %d: states %v and %v", seed, got.State, want.State)
		}
		if got.RcvNxt != syn.Seq.Add(1) || got.SndNxt != synAck.Seq.Add(1) || got.SndWnd != 500<<got.SndWndShift {
			t.Fatalf("seed %d: RCV.NXT %d SND.NXT %d SND.WND %d", seed, got.RcvNxt, got.SndNxt, got.SndWnd)
		}
		if got.Timestamps != want.Timestamps {
			t.Fatalf("seed %d: timestamps %v, want %v", seed, got.Timestamps, want.Timestamps)
		}
		if want.Timestamps && (got.SACK != want.SACK || got.ECN != want.ECN || got.WindowScale != want.WindowScale ||
			got.SndWndShift != want.SndWndShift || got.RcvWndShift != want.RcvWndShift) {
			t.Fatalf("seed %d: the options are\n%+v, want\n%+v", seed, got, want)
		}
		if !want.Timestamps && (got.SACK || got.ECN || got.WindowScale || synAck.Options.SACKPermitted || synAck.Options.HasWScale) {
			t.Fatalf("seed %d: options without a place to remember them: %+v", seed, got)
		}
		if got.SndMSS > want.SndMSS || got.SndMSS < want.SndMSS*2/5 && want.SndMSS >= 536 {
			t.Fatalf("seed %d: MSS %d, asked for %d", seed, got.SndMSS, want.SndMSS)
		}
		if got.SRTT != 0 {
			t.Fatalf("seed %d: a round trip of %v was measured by a clock that was set back", seed, got.SRTT)
		}
	}
}

// TestCookieKeepsUsualSizes: what paths really carry is not rounded.
func TestCookieKeepsUsualSizes(t *testing.T) {
	for _, mss := range []uint16{536, 1220, 1300, 1400, 1440, 1460} {
		c := newCookieServer(t, tcp.Params{})
		syn := tcp.Segment{SrcPort: 40000, DstPort: 80, Seq: 5, Flags: tcp.SYN, Options: tcp.Options{MSS: mss}}
		ack := third(syn, c.answer(syn))
		var r tcp.Request
		if !tcp.CheckCookie(c.now, &c.secret, c.setup, &ack, &r) {
			t.Fatal("the cookie is not known again")
		}
		var tcb tcp.TCB
		tcb.OpenRequest(c.now, c.setup, &r)
		tcb.Segment(c.now, &ack)
		if got := tcb.Info(c.now).SndMSS; got != int(mss) {
			t.Errorf("MSS %d, want %d", got, mss)
		}
	}
}

// TestCookieIsGoodForItsPeerAndItsTime: not for another four-tuple, another sequence number,
// another secret, nor after two minutes; nor is a number that was guessed.
func TestCookieIsGoodForItsPeerAndItsTime(t *testing.T) {
	c := newCookieServer(t, tcp.Params{})
	syn := tcp.Segment{SrcPort: 40000, DstPort: 80, Seq: 5, Flags: tcp.SYN, Options: tcp.Options{MSS: 1460}}
	ack := third(syn, c.answer(syn))
	check := func(after time.Duration, setup tcp.Setup, secret [32]byte, ack tcp.Segment) bool {
		var r tcp.Request
		return tcp.CheckCookie(c.now.Add(after), &secret, setup, &ack, &r)
	}
	good := func(after time.Duration) bool { return check(after, c.setup, c.secret, ack) }
	if !good(0) || !good(time.Minute) {
		t.Error("a good cookie is refused")
	}
	if good(tcp.CookieLifetime) || good(time.Hour) {
		t.Error("an old cookie is taken")
	}
	other := c.setup
	other.Remote = endsOfTwins.Local
	if check(0, other, c.secret, ack) {
		t.Error("the cookie of another peer is taken")
	}
	if check(0, c.setup, [32]byte{8}, ack) {
		t.Error("the cookie of another stack is taken")
	}
	for _, f := range []func(*tcp.Segment){
		func(s *tcp.Segment) { s.Seq++ },
		func(s *tcp.Segment) { s.Ack += 1 << 23 },
		func(s *tcp.Segment) { s.Ack += 2 << 24 },
		func(s *tcp.Segment) { s.Flags |= tcp.SYN },
		func(s *tcp.Segment) { s.Flags |= tcp.RST },
		func(s *tcp.Segment) { s.Flags = tcp.PSH },
	} {
		bad := ack
		f(&bad)
		if check(0, c.setup, c.secret, bad) {
			t.Errorf("%v seq %d ack %d is taken for a cookie", bad.Flags, bad.Seq, bad.Ack)
		}
	}
	guessed := 0
	for i := range uint32(1 << 20) {
		bad := ack
		bad.Ack = tcp.Seq(i * 4093)
		if check(0, c.setup, c.secret, bad) {
			guessed++
		}
	}
	if guessed > 2 { // 16 of 2^32 are good
		t.Errorf("%d of 2^20 guesses are good", guessed)
	}
}

// TestCookiesOfOnePeerDiffer: by its port, and from minute to minute.
func TestCookiesOfOnePeerDiffer(t *testing.T) {
	c := newCookieServer(t, tcp.Params{})
	syn := tcp.Segment{SrcPort: 40000, DstPort: 80, Seq: 5, Flags: tcp.SYN, Options: tcp.Options{MSS: 1460}}
	seen := make(map[tcp.Seq]bool)
	for range 100 {
		seen[c.answer(syn).Seq&0xffffff] = true
		c.now = c.now.Add(time.Minute)
	}
	if len(seen) < 100 {
		t.Errorf("%d different cookies in 100 minutes", len(seen))
	}
}

// TestTimestampOfACookieIsNotAhead: what follows the handshake must not look older (PAWS).
func TestTimestampOfACookieIsNotAhead(t *testing.T) {
	c := newCookieServer(t, tcp.Params{})
	syn := tcp.Segment{SrcPort: 40000, DstPort: 80, Seq: 5, Flags: tcp.SYN | tcp.ECE | tcp.CWR,
		Options: tcp.Options{MSS: 1460, SACKPermitted: true, HasTimestamps: true, HasWScale: true, WScale: 14}}
	for range 200 {
		clock := uint32(c.now/1e6) + c.setup.TSOffset
		if d := int32(clock - c.answer(syn).Options.TSVal); d < 0 || d > 64 {
			t.Fatalf("the timestamp of the SYN,ACK is %d ms behind the clock", d)
		}
		c.now = c.now.Add(time.Millisecond)
	}
}

package tcp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// TCP Fast Open (RFC 7413): data in the SYN, from a client that shows a cookie which the
// server has given it before. Off unless the application asks for it, for the data may reach
// a server twice (section 6.1).

// Lengths of a cookie in bytes (section 4.1.1); ours have 8, as on Linux.
const (
	minFastOpenCookie = 4
	maxFastOpenCookie = 16
)

// FastOpenCookie is a cookie of RFC 7413. The zero value is none: in a SYN it asks for one.
type FastOpenCookie struct {
	n uint8
	b [maxFastOpenCookie]byte
}

// cookieOf reads a cookie as an option carries it. It is false where that is no cookie.
func cookieOf(b []byte) (c FastOpenCookie, ok bool) {
	if n := len(b); n != 0 && (n < minFastOpenCookie || n > maxFastOpenCookie || n%2 != 0) {
		return c, false
	}
	c.n = uint8(copy(c.b[:], b))
	return c, true
}

// IsZero reports that there is no cookie.
func (c FastOpenCookie) IsZero() bool { return c.n == 0 }

func (c *FastOpenCookie) bytes() []byte { return c.b[:c.n] }

// fastOpenPeriod is how long the key of the cookies lasts. A cookie of the last key is good
// too, and its owner is given a new one.
const fastOpenPeriod = 24 * time.Hour

// MakeFastOpenCookie is the cookie that a server at local gives to remote: a keyed hash of
// the addresses (section 4.1.2).
func MakeFastOpenCookie(now Time, secret *[32]byte, local, remote netip.Addr) FastOpenCookie {
	return fastOpenCookie(secret, fastOpenKey(now), local, remote)
}

// CheckFastOpenCookie reports whether a cookie that remote shows is good, and whether it is
// of the present key.
func CheckFastOpenCookie(now Time, secret *[32]byte, local, remote netip.Addr, c FastOpenCookie) (good, fresh bool) {
	key := fastOpenKey(now)
	switch c {
	case fastOpenCookie(secret, key, local, remote):
		return true, true
	case fastOpenCookie(secret, key-1, local, remote):
		return true, false
	}
	return false, false
}

func fastOpenKey(now Time) uint64 { return uint64(time.Duration(now)/fastOpenPeriod) + 1 }

func fastOpenCookie(secret *[32]byte, key uint64, local, remote netip.Addr) (c FastOpenCookie) {
	peer := netip.AddrPortFrom(remote, 0)
	c.n = 8
	binary.BigEndian.PutUint32(c.b[:], keyedHash(secret, 'f', key, local, 0, peer))
	binary.BigEndian.PutUint32(c.b[4:], keyedHash(secret, 'g', key, local, 0, peer))
	return c
}

// fastOpen is what a connection has that was, or is to be, opened fast.
type fastOpen struct {
	cookie FastOpenCookie // in our SYN, or SYN,ACK if there is one to give
	mss    uint16         // active: what the server took when it gave the cookie; 0: unknown
	result FastOpenResult
}

// FastOpenResult is what a client learns by a SYN with the option of RFC 7413.
type FastOpenResult struct {
	Answered bool           // a SYN,ACK came
	Cookie   FastOpenCookie // that it brought, if any
	MSS      uint16         // that it announced; 0: none
	Sent     int            // bytes of data in the SYN
	Acked    int            // of these, acknowledged by the SYN,ACK
	Lost     bool           // the SYN was not answered in time, or by an ICMP error
}

// OfferFastOpen puts the option into the SYN, which has not been sent: with a cookie as much
// of the data as fits what is written before it leaves, without one the wish for it. mss is
// the MSS that the server announced with the cookie; 0: unknown. FastOpenResult tells what
// came of it.
func (t *TCB) OfferFastOpen(cookie FastOpenCookie, mss uint16) {
	t.fast = &fastOpen{cookie: cookie, mss: mss}
}

// FastOpenResult is what OfferFastOpen has led to so far.
func (t *TCB) FastOpenResult() (r FastOpenResult, offered bool) {
	if t.fast == nil || t.is(passiveOpen) {
		return r, false
	}
	r = t.fast.result
	switch t.err {
	case nil, ErrAborted, ErrRefused:
		r.Lost = t.is(synRetransmitted)
	default:
		r.Lost = !r.Answered
	}
	return r, true
}

// AcceptFastOpen makes a TCB in LISTEN take the data of the SYN that comes next: the
// cookie in it was good (section 4.2.2). The application may read and write at once. grant
// is a cookie to give, if there is one.
func (t *TCB) AcceptFastOpen(grant FastOpenCookie) { t.fast = &fastOpen{cookie: grant} }

// FastOpened reports whether the data of the peer's SYN was taken.
func (t *TCB) FastOpened() bool { return t.fast != nil && t.is(passiveOpen) }

// fastSYN adds the option to our SYN or SYN,ACK and returns how much data goes with a SYN:
// only the first time, and what is sent again is as plain as can be (sections 4.2.1, 4.2.2).
func (t *TCB) fastSYN(o *Options) (data int) {
	f := t.fast
	if t.state != StateSynSent {
		o.HasFastOpen, o.FastOpen = !f.cookie.IsZero(), f.cookie
		return 0
	}
	o.HasFastOpen, o.FastOpen = true, f.cookie
	if f.cookie.IsZero() {
		return 0
	}
	mss := f.mss
	if mss == 0 {
		mss = t.defaultMSS()
	}
	room := int(min(mss, t.mss)) - o.len()
	if t.extra != nil && t.extra.path.known != 0 {
		room = min(room, int(t.extra.path.known)-o.len())
	}
	f.result.Sent = max(0, min(room, t.sendBuf.Len()))
	return f.result.Sent
}

// fastAnswered looks at the SYN,ACK, which has been taken. What it does not acknowledge of
// the data goes again with the ACK of it.
func (t *TCB) fastAnswered(seg *Segment) {
	r := &t.fast.result
	r.Answered, r.MSS = true, seg.Options.MSS
	if seg.Options.HasFastOpen {
		r.Cookie = seg.Options.FastOpen
	}
	r.Acked = seg.Ack.Sub(t.snd.iss.Add(1))
	if t.outstanding() {
		t.scoreboard.loseAll()
		t.recovery.why = WhyFastOpen
	}
}

// fastText takes the data of a SYN whose cookie was good. A FIN with it is not taken, nor
// acknowledged, and comes again.
func (t *TCB) fastText(now Time, seg *Segment) {
	seg.Seq = seg.Seq.Add(1)
	seg.Flags &^= SYN | FIN
	t.trim(seg)
	t.startSender()
	if n := len(seg.Payload); n > 0 {
		t.rcv.mss = t.peerSegment(seg)
		t.dataHeard(now, n)
		t.deliver(seg)
		t.rcv.nxt = t.rcv.nxt.Add(n)
	}
}

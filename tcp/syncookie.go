package tcp

import "time"

// SYN cookies (RFC 4987, section 3.6): where there is no room for another Request the
// SYN,ACK says all that has to be kept, and the ACK brings it back. The initial sequence
// number is Bernstein's, as on Linux:
//
//	31           24 23                      0
//	+--------------+------------------------+
//	|   minute     |  hash(minute) + MSS    |   + hash() + SEG.SEQ of the SYN
//	+--------------+------------------------+
//
// The hashes are of the four-tuple under the stack's secret, that of the minute also of it
// and of SEG.SEQ: each minute has keys of its own, and what was learned about old cookies is
// of no use for new ones. SEG.SEQ makes the numbers of one peer grow as its own do.
// The MSS is an index of cookieMSS. What does not fit there stands in the low bits of our
// timestamp, which the peer echoes; without timestamps there are no other options either.
//
// What a cookie costs: the SYN,ACK is not sent again, and where the ACK gets lost and
// the peer has nothing to send, the connection is lost on it.

// cookiePeriod is the minute, and cookieAges how many of them a cookie is good for, the one
// it was made in included.
const (
	cookiePeriod = time.Minute
	cookieAges   = 2
)

// CookieLifetime is how long after a cookie was sent an ACK may bring it back at most.
const CookieLifetime = cookieAges * cookiePeriod

// cookieMSS are the sizes that a cookie can name: the peer's is rounded down to one of them.
var cookieMSS = [...]uint16{minMSS, defaultMSS4, defaultMSS6, 1300, 1400, 1440, 1460, 8940}

// The options of a SYN in the low bits of our timestamp, which goes back by that much.
const (
	cookieTSBits = 6

	cookieWScale   = 0xf // the peer's shift; all ones: windows are not scaled
	cookieSACK     = 1 << 4
	cookieECN      = 1 << 5
	cookieTSMask   = 1<<cookieTSBits - 1
	cookieNoWScale = cookieWScale
)

// OpenCookie fills reply with the SYN,ACK that answers syn by a cookie. Nothing is to be
// kept: CheckCookie makes the Request of the ACK. ISS and Observer of s do not count.
func OpenCookie(now Time, secret *[32]byte, s Setup, syn, reply *Segment) {
	var r Request
	s.Observer = nil
	r.take(s, syn)
	if !r.is(requestTimestamps) {
		r.flags = 0
	}
	if r.peerMSS == 0 {
		r.peerMSS = defaultMSSFor(s.Remote.Addr())
	}
	r.iss = makeCookie(now, secret, s.Endpoints, syn.Seq, r.peerMSS)
	r.synAck(now, reply, FastOpenCookie{}, WhyNone)
	if r.is(requestTimestamps) {
		reply.Options.TSVal = r.cookieClock(now) + r.tsOffset
	}
}

// cookieClock is our timestamp, without its offset, with the options in its low bits. It
// does not run ahead of the clock: what follows must not look older.
func (r *Request) cookieClock(now Time) uint32 {
	options := uint32(cookieNoWScale)
	if r.is(requestWScale) {
		options = uint32(r.shift)
	}
	if r.is(requestSACK) {
		options |= cookieSACK
	}
	if r.is(requestECN) {
		options |= cookieECN
	}
	clock := timestampAt(now, 0)
	ts := clock&^cookieTSMask | options
	if ts > clock {
		ts -= cookieTSMask + 1
	}
	return ts
}

// CheckCookie makes r the Request that an ACK answers, if it answers a cookie that is not
// too old. The ACK completes it: OpenRequest is to follow. ISS and Observer of s do not count.
func CheckCookie(now Time, secret *[32]byte, s Setup, seg *Segment, r *Request) bool {
	if seg.Flags&(SYN|RST|ACK) != ACK {
		return false
	}
	cookie, irs := seg.Ack-1, seg.Seq-1
	mss, ok := checkCookie(now, secret, s.Endpoints, irs, cookie)
	if !ok {
		return false
	}
	syn := Segment{Seq: irs, Flags: SYN, Window: seg.Window, Options: Options{MSS: mss}}
	if o := &seg.Options; o.HasTimestamps {
		// A peer that did not offer timestamps in its SYN does not send them now.
		options := (o.TSEcr - s.TSOffset) & cookieTSMask
		syn.Options.HasTimestamps, syn.Options.TSVal = true, o.TSVal
		syn.Options.SACKPermitted = options&cookieSACK != 0
		if shift := options & cookieWScale; shift != cookieNoWScale {
			syn.Options.HasWScale, syn.Options.WScale = true, uint8(shift)
		}
		if options&cookieECN != 0 {
			syn.Flags |= ECE | CWR
		}
	}
	s.ISS, s.Observer = cookie, nil
	r.take(s, &syn)
	// As the SYN,ACK counts as sent again, and at last now, nothing is measured by the echo of
	// a clock that was set back either.
	r.flags |= requestCookie
	r.sentAt, r.lastRcv = now, now
	r.deadline = now.Add(r.params.InitialRTO)
	r.segsIn, r.segsOut = 1, 1
	return true
}

// Observe makes somebody look at what CheckCookie has made, from here on.
func (r *Request) Observe(now Time, o Observer) {
	r.observer = o
	r.move(now, StateClosed, StateListen, WhyNone)
	r.move(now, StateListen, StateSynReceived, WhyCookie)
}

func makeCookie(now Time, secret *[32]byte, e Endpoints, irs Seq, mss uint16) Seq {
	i := len(cookieMSS) - 1
	for i > 0 && cookieMSS[i] > mss {
		i--
	}
	minute := cookieMinute(now)
	return cookieBase(secret, e, irs) + Seq(minute<<24) + Seq((cookieHash(secret, e, irs, minute)+uint32(i))&0xffffff)
}

func checkCookie(now Time, secret *[32]byte, e Endpoints, irs, cookie Seq) (mss uint16, ok bool) {
	rest := uint32(cookie - cookieBase(secret, e, irs))
	minute := cookieMinute(now)
	age := (minute - rest>>24) & 0xff
	if age >= cookieAges {
		return 0, false
	}
	i := (rest - cookieHash(secret, e, irs, minute-age)) & 0xffffff
	if i >= uint32(len(cookieMSS)) {
		return 0, false
	}
	return cookieMSS[i], true
}

func cookieMinute(now Time) uint32 { return uint32(time.Duration(now) / cookiePeriod) }

// cookieBase hides how long we have been up.
func cookieBase(secret *[32]byte, e Endpoints, irs Seq) Seq {
	return irs + Seq(keyedHash(secret, 'b', 0, e.Local.Addr(), e.Local.Port(), e.Remote))
}

func cookieHash(secret *[32]byte, e Endpoints, irs Seq, minute uint32) uint32 {
	return keyedHash(secret, 'c', uint64(minute)<<32|uint64(irs), e.Local.Addr(), e.Local.Port(), e.Remote)
}

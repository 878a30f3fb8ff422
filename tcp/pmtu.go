package tcp

import "time"

// What the path carries: path MTU discovery by ICMP (RFC 1191, RFC 8201, with the checks
// of RFC 5927) and without it, by probes of the packetization layer (RFC 4821).
//
// Everything here is in bytes of the MSS, as the peer's option has it: the MTU less an IP
// and a TCP header without options. What the driver learns of the path changes what we
// send, and never the MSS that we announce (RFC 9293, 3.7.1, MUST-67).

// path is what is known of the path beyond what the two ends say.
type path struct {
	full  uint16 // the MSS of the handshake: what peer and interface take
	known uint16 // what the path is known to carry; 0: nothing is known
	until Time   // known holds until then

	// The search of RFC 4821. It begins when timeouts suggest that large packets vanish
	// without a word, and never ends: MTUs change.
	searching bool
	low, high uint16 // search_low, search_high: the largest that arrived, the largest that might
	began     Time   // when high was last put up to where it may be
	probe     uint16 // size of the probe in flight; 0: none
	start     Seq    // its first number
	end       Seq    // the number after its last
}

const (
	// searchBase4 is the size that the search starts from over IPv4 (RFC 4821, section
	// 7.2; Linux), searchBase6 what every path of IPv6 carries: MTU 1280.
	searchBase4 = 1024
	searchBase6 = 1220
	// searchFloor4 is the least size that the search tries over IPv4: an MTU of 256 bytes.
	// Linux goes on to 48, where a peer that is merely dead is called upon in crumbs.
	searchFloor4 = 216
	// searchStep is the least difference worth a probe (tcp_probe_threshold of Linux).
	searchStep = 8
	// searchAgain is when a larger MTU is tried anew (RFC 4821, section 7.3, RFC 8201,
	// section 4; tcp_probe_interval of Linux).
	searchAgain = 10 * time.Minute
)

// InFlight reports whether seq is of something that was sent and is not acknowledged:
// only then can an ICMP error that quotes it be about this connection (RFC 5927, section
// 4.1).
func (t *TCB) InFlight(seq Seq) bool {
	return t.params != nil && seq.AtOrAfter(t.snd.una) && seq.Before(t.snd.nxt)
}

// TooBig takes in that the path carries no more than mss, by an ICMP error about a packet
// in flight (see InFlight); it holds until then. What went in larger segments is gone and
// goes again at once in smaller ones, without a reaction of congestion control: nothing
// says that the path was busy. It reports false, and does nothing, where we send no
// larger segments than that.
func (t *TCB) TooBig(now Time, mss int, until Time) bool {
	if t.params == nil || mss < 1 || mss >= t.LargestSegment() {
		return false
	}
	t.setPath(mss, until)
	t.useMSS(now, WhyTooBig)
	t.repairLarge(now)
	return true
}

// SetPathMSS tells what the path is known to carry from elsewhere, as another connection
// to the same host has found out, until when; 0 means that nothing is known any more.
func (t *TCB) SetPathMSS(now Time, mss int, until Time) {
	if t.params == nil || mss < 1 && t.extra == nil {
		return
	}
	if mss < 1 {
		t.extra.path.known = 0
	} else if mss < int(t.fullMSS()) || t.extra != nil {
		t.setPath(mss, until)
	}
	t.useMSS(now, WhyTooBig)
}

// setPath notes what the path carries. Below minMSS the packets would be nothing but
// headers; no link is that narrow.
func (t *TCB) setPath(mss int, until Time) {
	p := t.pathState()
	p.known, p.until = uint16(min(max(mss, minMSS), 65535)), until
	if p.high > p.known {
		p.high = p.known
		p.low = min(p.low, p.high)
	}
	if p.probe > p.known {
		p.probe = 0
	}
}

// pathState is the state of the path, made if need be.
func (t *TCB) pathState() *path {
	full := t.fullMSS()
	p := &t.extras().path
	p.full = full
	return p
}

// fullMSS is the MSS that the two ends take.
func (t *TCB) fullMSS() uint16 {
	if t.extra != nil && t.extra.path.full != 0 {
		return t.extra.path.full
	}
	return t.snd.mss
}

// LargestSegment is the size of the largest segments that we send: those of data, or a
// probe of the path. An error about one that is too big cannot be true if it allows that.
func (t *TCB) LargestSegment() int {
	n := t.snd.mss
	if t.extra != nil {
		n = max(n, t.extra.path.probe)
	}
	return int(n)
}

// agreeMSS takes the MSS of the handshake.
func (t *TCB) agreeMSS(mss uint16) {
	t.snd.mss = mss
	if t.extra != nil {
		p := &t.extra.path
		p.full = mss
		t.snd.mss = p.effective()
	}
}

// effective is the MSS that is to be used.
func (p *path) effective() uint16 {
	n := p.full
	if p.known != 0 {
		n = min(n, p.known)
	}
	if p.searching {
		n = min(n, p.low)
	}
	return n
}

// useMSS puts the MSS that follows from what is known into force. The congestion window
// stays what it is in bytes.
func (t *TCB) useMSS(now Time, why Why) {
	mss := t.extra.path.effective()
	if mss == t.snd.mss {
		return
	}
	t.snd.mss = mss
	if t.cc != nil {
		t.cc.Resize(t.congestionSetup())
	}
	if t.observer != nil {
		t.observer(&Event{Time: now, Kind: EventMSS, Why: why, MSS: int(mss)})
	}
}

// agePath forgets what has become old: packets may be as large again as the ends take,
// until somebody objects (RFC 1191, section 6.3; RFC 8201, section 4).
func (t *TCB) agePath(now Time) {
	p := &t.extra.path
	if p.known != 0 && now >= p.until {
		p.known = 0
		t.useMSS(now, WhyPathAged)
	}
	if p.searching && p.probe == 0 && now.Sub(p.began) >= searchAgain {
		p.began, p.high = now, p.limit()
	}
}

// limit is what a search may find at most.
func (p *path) limit() uint16 {
	if p.known != 0 {
		return min(p.full, p.known)
	}
	return p.full
}

// repairLarge marks what went in segments larger than the MSS as lost; Next sends it again.
// Congestion control hears nothing of it, nor of what else is found lost before all of it
// is acknowledged.
func (t *TCB) repairLarge(now Time) {
	t.scoreboard.loseLarger(int(t.snd.mss))
	if t.scoreboard.lostBytes == 0 || t.cc == nil {
		return
	}
	t.recovery = recovery{
		mode: recoveryLoss, point: t.snd.nxt, limited: t.recovery.limited, why: WhyTooBig, force: true,
	}
	t.undoForget()
	t.rack.tlpOut = false
	t.timers.stop(timerProbe)
	t.timers.stop(timerReorder)
	t.armRetransmit(now)
}

// blackHole is called when R1 timeouts in a row have brought no answer: perhaps large
// packets vanish, and the router that drops them is silenced (RFC 2923, section 2.1). The
// search for what gets through begins, or begins anew with half (RFC 4821, section 7.7).
func (t *TCB) blackHole(now Time) {
	if t.params.NoMTUProbing || !t.scoreboard.headLarger(int(t.searchFloor())) {
		return
	}
	low := uint16(searchBase4)
	if !t.ends.Remote.Addr().Unmap().Is4() {
		low = searchBase6
	}
	if low >= t.snd.mss {
		low = max(t.snd.mss/2, t.searchFloor())
	}
	if low >= t.snd.mss {
		return
	}
	p := t.pathState()
	p.searching, p.low, p.high, p.began, p.probe = true, low, p.limit(), now, 0
	t.useMSS(now, WhyBlackHole)
}

// searchFloor is the least MSS that the search tries.
func (t *TCB) searchFloor() uint16 {
	if t.ends.Remote.Addr().Unmap().Is4() {
		return searchFloor4
	}
	return searchBase6
}

// nextMTUProbe sends new data in a segment that is larger than the MSS (RFC 4821, section
// 7.4), when enough follows it that its loss would be seen at once. Linux asks for a window of
// eleven segments; where losses by chance keep it below, three of them in a row would make
// all segments small for good.
func (t *TCB) nextMTUProbe(now Time, out *Out, unsent, room int) bool {
	p := &t.extra.path
	if !p.searching || p.probe != 0 || p.high < p.low+searchStep ||
		t.recovery.mode != recoveryNone || t.scoreboard.sackedBytes > 0 || t.scoreboard.lostBytes > 0 {
		return false
	}
	opts := t.options(now)
	mss, size := t.sendMSS(), p.low+(p.high-p.low+1)/2
	n := int(size) - opts.len()
	needed := n + (dupThresh+1)*mss
	if n > room || t.window() < needed || min(unsent, t.windowEnd().Sub(t.snd.nxt)) < needed {
		return false
	}
	p.probe, p.start, p.end = size, t.snd.nxt, t.snd.nxt.Add(n)
	t.sendNew(now, out, n, opts, WhyMTUProbe)
	return true
}

// mtuProbeArrived looks whether the probe has been acknowledged: the path carries it.
func (t *TCB) mtuProbeArrived(now Time) {
	p := &t.extra.path
	if p.probe == 0 || t.snd.una.Before(p.end) {
		return
	}
	p.low, p.probe = p.probe, 0
	t.tally(CountMTUPSuccess)
	t.useMSS(now, WhyMTUProbe)
}

// mtuProbeLost is called when a loss has been found outside of recovery, and reports
// whether it was the probe and nothing else. It then goes again in segments of the MSS;
// the congestion window is not reduced (RFC 4821, section 7.6.2).
func (t *TCB) mtuProbeLost(now Time) bool {
	if t.extra == nil || t.extra.path.probe == 0 {
		return false
	}
	p := &t.extra.path
	if t.snd.una != p.start || t.scoreboard.lostBytes > p.end.Sub(p.start) {
		p.probe = 0 // other things got lost: the probe proves nothing (section 7.6.4)
		return false
	}
	p.high, p.probe = p.probe-1, 0
	t.tally(CountMTUPFail)
	t.repairLarge(now)
	return true
}

// mtuProbeForget is called at a timeout: the probe proves nothing.
func (t *TCB) mtuProbeForget() {
	if t.extra != nil {
		t.extra.path.probe = 0
	}
}

// Package tcp is the protocol: RFC 9293, without any I/O. A TCB, the transmission
// control block of one connection, is a value with methods. Segments go in by Segment,
// come out by Next; the application calls Write, Read, CloseWrite, CloseRead, Close
// and Abort, none of which waits; time passes by Tick, and Deadline says when Tick is
// wanted. Whoever owns a clock and a device drives it: package stack in production, in
// tests a loop that jumps to the next deadline.
//
// The files follow the RFC:
//
//	header.go options.go   3.1     the segment on the wire
//	tcb.go                 3.3.1   the connection's variables
//	state.go               3.3.2   the eleven states
//	seq.go                 3.4     sequence space
//	isn.go                 3.4.1   initial sequence numbers (RFC 6528), ports (RFC 6056)
//	input.go ack.go text.go urgent.go 3.10.7 SEGMENT ARRIVES
//	request.go             SYN-RECEIVED of a passive open, before there is a TCB
//	syncookie.go fastopen.go           RFC 4987, 7413
//	listen.go              3.10.7.1 to 3.10.7.3, the states before synchronization
//	calls.go settings.go   3.10.1 to 3.10.6, the user calls
//	output.go autocork.go  3.7, 3.8.6, 3.9.1.2: what to send next, and when not yet
//	timers.go              3.8, 3.10.8: everything that waits
//	delack.go              3.8.6.3: when an ACK waits, and how long
//	rtt.go                 RFC 6298, 7323
//	scoreboard.go sack.go news.go      what was sent, and what an ACK tells of it: RFC 2018, 2883
//	recovery.go rack.go prr.go undo.go its repair: RFC 6298, 6582, 8985, 9937, 5682, 3522, 4015
//	congestion.go newreno.go cubic.go hystart.go  RFC 5681, 9438, 9406
//	ecn.go rate.go pacing.go           RFC 3168, delivery rates, pacing
//	icmp.go                            3.9.2.2: what ICMP errors mean
//	pmtu.go                            RFC 1191, 8201, 4821, 5927: what the path carries
//	window.go reassembly.go tuning.go  the receive window, out-of-order data, sizes of buffers
//	timewait.go timewait_record.go     RFC 6191, 1337
//	challenge.go                       RFC 5961
//	info.go account.go events.go tally.go   what an observer may see, and what is counted
//
// The package refuses to read a clock, to lock, to start a goroutine and to know IP:
// checksums, addresses beyond equality and the path are its driver's.
package tcp

import (
	"net/netip"

	"github.com/a644562b/portico/internal/buffer"
)

// Endpoints are the two ends of a connection.
type Endpoints struct {
	Local, Remote netip.AddrPort
}

// Setup is what a TCB needs to know before it opens.
type Setup struct {
	// Params are shared and must come from Params.WithDefaults.
	Params *Params
	// Observer may be nil.
	Observer Observer
	Endpoints
	// MSS is the MSS to announce, in bytes: the MTU less the IP and TCP headers
	// without options (RFC 9293, 3.7.1, MUST-67).
	MSS int
	// MaxGSO is the most data in bytes that one segment handed to the driver may
	// carry when the device cuts it; 0 when it does not. It may be more than an IP packet can
	// carry.
	MaxGSO int
	// ISS is the initial send sequence number, by ISN.
	ISS Seq
	// PathMSS is what the path is known to carry where that is less, and PathUntil until
	// when that holds; 0: nothing is known. See SetPathMSS.
	PathMSS   int
	PathUntil Time
	// TSOffset is added to the clock of our timestamps, so that they do not tell
	// strangers how long we have been up (RFC 7323, 5.4).
	TSOffset uint32
	// FastOpenGrant is a cookie that the SYN,ACK of a Request is to give (RFC 7413).
	FastOpenGrant FastOpenCookie
}

// sendVars are the send sequence variables (RFC 9293, section 3.3.1, table 2) and
// what belongs to them.
type sendVars struct {
	una Seq    // oldest unacknowledged number
	nxt Seq    // next number to send; everything before it has been sent once
	wnd uint32 // the peer's window in bytes
	wl1 Seq    // SEG.SEQ of the last window update
	wl2 Seq    // SEG.ACK of the last window update
	iss Seq

	maxWnd uint32 // largest window that the peer ever offered (MAX.SND.WND)
	mss    uint16 // what the peer takes and our path carries, before options
	shift  uint8  // Snd.Wind.Shift (RFC 7323): what we shift the peer's windows by
	sml    Seq    // end of the last segment sent that was smaller than a full one (Minshall)
}

// recvVars are the receive sequence variables (RFC 9293, section 3.3.1, table 3) and
// what belongs to them.
type recvVars struct {
	nxt Seq // next number expected
	irs Seq
	up  Seq // end of the urgent data, while urgent is set

	adv   Seq       // right edge of the window that we have promised: RCV.NXT + RCV.WND
	acked Seq       // Last.ACK.sent (RFC 7323): the RCV.NXT of our last ACK
	mss   uint16    // size of the segments that the peer sends, as seen
	last  uint16    // size of the segment of theirs that came last
	shift uint8     // Rcv.Wind.Shift: what the peer shifts our windows by
	fin   Seq       // number of the peer's FIN, once finKnown
	dsack SACKBlock // what arrived twice, while dsackDue
}

// TCB is the transmission control block of one connection. The zero value is CLOSED;
// OpenActive and OpenPassive bring it to life. It must not be copied, and its methods
// must not run at the same time: a lock is the driver's.
type TCB struct {
	params   *Params
	observer Observer
	ends     Endpoints

	snd sendVars
	rcv recvVars

	state        State
	retransmits  uint8 // of the segment at SND.UNA, without progress
	probes       uint8 // zero-window or keep-alive probes without an answer
	persistCount uint8 // zero-window probes since the window closed
	flags        condition
	err          error // why the connection ended; nil after an orderly end

	mss      uint16 // what we announce
	streak   uint8  // Writes that followed each other closely, see autocork.go
	maxGSO   uint32
	tsOffset uint32
	tsRecent uint32 // TS.Recent (RFC 7323, 4.3)
	tsAt     Time   // when TS.Recent was taken

	sendBuf    buffer.Send // from bufStart on: what is written and not acknowledged
	recvBuf    buffer.Receive
	ooo        *reassembly // nil while everything is in order
	sendLimit  int32       // bytes that sendBuf may hold
	recvLimit  int32
	charged    int32       // bytes that the budget has been told of
	lastWrite  uint32      // when something was last written, see autocork.go
	scoreboard *scoreboard // nothingSent while nothing is in flight
	recovery   recovery
	rack       rackState
	mend       *mend // nil before the first loss
	unanswered int32 // bytes delivered by ACKs since Next was asked last
	rcvSpace   int32 // bytes that the reader took in the last round trip that was measured
	rtt        rttEstimator
	rate       rateCounter
	cc         Congestion
	roundEnd   Seq  // when it is acknowledged a round trip has passed
	ecnPoint   Seq  // SND.NXT at the last reaction to ECN
	paceAt     Time // the next segment may leave then
	tune       receiveTuning
	tried      *bufferTrials // nil until a buffer seems small on a short path

	delack     delayedAck
	timers     timers
	own        *settings       // nil: none
	extra      *extras         // nil: all defaults
	fast       *fastOpen       // nil: opened as usual
	lastRcv    Time            // when a segment last arrived
	lastData   Time            // when data was last sent; 0: never
	progress   Time            // when the peer last acknowledged something, or had nothing to
	challenges *ChallengeLimit // nil before the first
	replies    *replies        // resets that wait to be sent; nil: none

	count counters
	busy  stopwatch // runs while something written is not acknowledged
	woes  *woes     // nil before the first
}

// condition is a set of facts about a connection that are true or not.
type condition uint64

const (
	passiveOpen      condition = 1 << iota // came from LISTEN (MUST-11)
	sackOK                                 // both sides may send SACK
	timestampsOK                           // both sides send timestamps
	wscaleOK                               // both sides scale windows
	noDelay                                // Nagle is off (MUST-17)
	synAcked                               // our SYN has been acknowledged
	finQueued                              // CLOSE has been called: a FIN follows the data
	finSent                                // our FIN has been sent
	finKnown                               // the number of the peer's FIN is known
	finReceived                            // everything up to the peer's FIN has arrived
	readShut                               // the application reads no more: discard
	orphaned                               // the application is gone
	ackNow                                 // an ACK is owed at once
	ackSoon                                // an ACK is owed, the delayed-ACK timer runs
	challengeDue                           // the ACK that is owed is a challenge ACK
	updateWindow                           // the reader made room worth telling
	probeDue                               // the persist timer expired
	keepAliveDue                           // the keep-alive timer expired
	rstDue                                 // an ABORT's reset waits to be sent
	synRetransmitted                       // the handshake was not clean (RFC 5681, 3.1; 6298, 5.7)
	dsackDue                               // the next ACK reports a duplicate
	tlpDue                                 // the probe timer expired, new data is to be sent
	ecnOK                                  // both sides do ECN (RFC 3168)
	ecnEchoing                             // ECE on every ACK until the peer's CWR
	cwrDue                                 // CWR on the next new data
	fixedSend                              // the application has set the buffer's size
	fixedReceive                           // likewise
	urgent                                 // RCV.UP is ahead of the reader
	readerWaits                            // Read has found nothing: the reader will be back
	writerWaits                            // the send buffer did not take all of the last Write
	starved                                // the last window was small because the budget is spent
	sendBusy                               // TCB.busy runs
	windowLimited                          // woes.windowLimited runs
	bufferLimited                          // woes.bufferLimited runs
	timingOut                              // woes.timedOut runs: no progress since a timeout
	rateAppLimited                         // the newest rate was sampled while the application set it
	written                                // something has been since Next was asked last
	gathering                              // Writes follow each other closely, see autocork.go
	pushDue                                // Read has let go what autocork held
	ecnSeen                                // a packet of the peer's was ECN-capable
)

func (t *TCB) is(c condition) bool { return t.flags&c != 0 }
func (t *TCB) set(c condition)     { t.flags |= c }
func (t *TCB) clear(c condition)   { t.flags &^= c }

// setTo sets or clears c.
func (t *TCB) setTo(c condition, on bool) {
	if on {
		t.set(c)
	} else {
		t.clear(c)
	}
}

// counters are the numbers of Info that only grow.
type counters struct {
	bytesSent, bytesAcked, bytesReceived uint64
	segsIn, segsOut                      uint64
	dataSegsIn, dataSegsOut              uint64
}

// woes are those of them that many connections never need.
type woes struct {
	bytesRetrans, retransSegs                            uint64
	timeouts, fastRecoveries, dupAcks, outOfOrder, dupIn uint64
	tlps, undos, dsacksIn, reorders, ceIn, bytesECE      uint64

	timeoutRuns                            uint64 // timeouts in a row count once
	timedOut, windowLimited, bufferLimited stopwatch
}

// trouble is t.woes, made if need be.
func (t *TCB) trouble() *woes {
	if t.woes == nil {
		t.woes = new(woes)
	}
	return t.woes
}

// setup fills a TCB that is about to open.
func (t *TCB) setup(now Time, s Setup) {
	*t = TCB{
		params:    s.Params,
		observer:  s.Observer,
		ends:      s.Endpoints,
		mss:       announcedMSS(s.MSS),
		maxGSO:    uint32(s.MaxGSO),
		tsOffset:  s.TSOffset,
		sendLimit: int32(s.Params.SendBuffer),
		recvLimit: int32(s.Params.ReceiveBuffer),
		lastRcv:   now,
		progress:  now,

		scoreboard: &nothingSent,
	}
	t.snd.iss, t.snd.una, t.snd.nxt = s.ISS, s.ISS, s.ISS
	t.snd.sml = s.ISS
	// What our SYN offers, before there is a RCV.NXT to count it from.
	t.rcv.adv = t.rcv.nxt.Add(s.Params.synWindow())
	if s.PathMSS > 0 {
		t.extras().path.full = t.mss
		t.setPath(s.PathMSS, s.PathUntil)
	}
	t.agreeMSS(t.defaultMSS())
	t.rtt.init(s.Params)
	t.rcv.mss = min(defaultMSS4, t.mss)
	t.recovery = recovery{point: s.ISS, limited: s.ISS}
	t.rack.fack, t.roundEnd, t.ecnPoint = s.ISS, s.ISS, s.ISS
	t.rack.multiplier = 1
}

// MSS of a peer that does not say (RFC 9293, 3.7.1, MUST-15), and the least we believe.
const (
	defaultMSS4 = 536
	defaultMSS6 = 1220
	minMSS      = 88
)

// announcedMSS is an MSS as an option says it.
func announcedMSS(n int) uint16 { return uint16(min(max(n, minMSS), 65535)) }

func (t *TCB) defaultMSS() uint16 { return min(defaultMSSFor(t.ends.Remote.Addr()), t.mss) }

func defaultMSSFor(remote netip.Addr) uint16 {
	if remote.Unmap().Is4() {
		return defaultMSS4
	}
	return defaultMSS6
}

// State is the state of the connection.
func (t *TCB) State() State { return t.state }

// Ends are the two ends of the connection.
func (t *TCB) Ends() Endpoints { return t.ends }

// Err is what ended the connection: one of the Err variables of this package, or nil
// if it lives or ended in order.
func (t *TCB) Err() error { return t.err }

// Done reports that the connection is CLOSED and has nothing left to send: the
// driver may forget it.
func (t *TCB) Done() bool {
	return t.state == StateClosed && !t.is(rstDue) && t.replies == nil
}

// move changes the state and tells the observer.
func (t *TCB) move(now Time, to State, why Why) {
	from := t.state
	t.state = to
	t.params.countMove(from, to, why)
	if t.observer != nil && from != to {
		t.observer(&Event{Time: now, Kind: EventState, Why: why, From: from, To: to})
	}
}

// end closes the connection for good: err is what the application will hear. Data
// that was received in order and acknowledged stays readable.
func (t *TCB) end(now Time, err error, why Why) {
	if t.err == nil {
		t.err = err
	}
	t.releaseSend()
	t.releaseOutOfOrder()
	if t.is(readShut | orphaned) {
		t.recvBuf.Clear()
	}
	t.timers.stopAll()
	t.account(now)
	t.timeoutOver(now)
	t.clear(ackNow | ackSoon | updateWindow | probeDue | keepAliveDue)
	t.move(now, StateClosed, why)
}

// sendMark is the rate mark of what is about to be sent.
func (t *TCB) sendMark(now Time) rateMark { return t.rate.mark(now, t.flight()) }

// releaseSend gives back what waits to be sent or acknowledged.
func (t *TCB) releaseSend() {
	t.sendBuf.Clear()
	t.forgetSent()
	t.charge()
}

func (t *TCB) releaseOutOfOrder() {
	if t.ooo != nil {
		t.ooo.clear()
		t.ooo = nil
		t.charge()
	}
}

// bufStart is the sequence number of the first byte of sendBuf. (Numbers wrap: that
// the SYN is behind us cannot be told from them.)
func (t *TCB) bufStart() Seq {
	if t.is(synAcked) {
		return t.snd.una
	}
	return t.snd.iss.Add(1)
}

// dataNxt is SND.NXT, or the number after the SYN where the SYN has not been sent.
func (t *TCB) dataNxt() Seq {
	if !t.is(synAcked) && t.snd.nxt == t.snd.iss {
		return t.snd.iss.Add(1)
	}
	return t.snd.nxt
}

// dataEnd is the number after the last byte written; until it is acknowledged the FIN
// has it.
func (t *TCB) dataEnd() Seq { return t.bufStart().Add(t.sendBuf.Len()) }

// outstanding reports whether anything sent is unacknowledged.
func (t *TCB) outstanding() bool { return t.snd.nxt != t.snd.una }

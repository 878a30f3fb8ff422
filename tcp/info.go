package tcp

import (
	"math"
	"net/netip"
	"time"
)

// MaxWindow is Ssthresh before the first loss.
const MaxWindow = math.MaxInt32

// Info is a snapshot of a connection for people and tools: what Linux tells in its
// tcp_info, and more. Sizes are bytes where Linux counts segments, sequence numbers absolute.
//
// What of tcp_info has no field here has no meaning here: tcpi_fackets (left over from FACK,
// also in Linux), tcpi_reordering (a number of segments; RACK goes by time, ReorderWindow),
// tcpi_rcv_ssthresh (the window follows RecvBuffer alone), tcpi_max_pacing_rate (nothing
// caps the rate), tcpi_last_ack_sent (Linux does not know it either), tcpi_rehash (a flow
// keeps its label) and the counters of accurate ECN (RFC 9768), which is declined.
type Info struct {
	State         State          `json:"state"`
	Local         netip.AddrPort `json:"local"`
	Remote        netip.AddrPort `json:"remote"`
	PassiveOpened bool           `json:"passive"` // came from LISTEN (MUST-11)

	// Send and receive sequence variables (RFC 9293, section 3.3.1).
	ISS    Seq `json:"iss"`
	SndUna Seq `json:"snd_una"`
	SndNxt Seq `json:"snd_nxt"`
	SndWnd int `json:"snd_wnd"`
	IRS    Seq `json:"irs"`
	RcvNxt Seq `json:"rcv_nxt"`
	RcvWnd int `json:"rcv_wnd"`

	// What was agreed in the handshake.
	SndMSS      int   `json:"snd_mss"` // most data in one segment that we send, options deducted
	RcvMSS      int   `json:"rcv_mss"` // the size of the peer's full segments, as seen
	AdvMSS      int   `json:"adv_mss"` // the MSS that we announced
	SndWndShift uint8 `json:"snd_wscale"`
	RcvWndShift uint8 `json:"rcv_wscale"`
	WindowScale bool  `json:"wscale"`
	Timestamps  bool  `json:"timestamps"`
	SACK        bool  `json:"sack"`
	// FastOpen: the data of a SYN was taken, by us or by the peer (RFC 7413). FastOpenFailed is
	// why the peer has not taken that of ours: "no cookie", "data not acknowledged" or "SYN
	// retransmitted"; "" where it has, or where none was to be sent.
	FastOpen       bool   `json:"fast_open"`
	FastOpenFailed string `json:"fast_open_failed,omitempty"`
	NoDelay        bool   `json:"nodelay"`
	KeepAlive      bool   `json:"keepalive"`
	Retransmits    int    `json:"retransmits"` // of the segment at SND.UNA, in a row without progress
	Troubled       bool   `json:"troubled"`    // R1 reached (SHLD-9)
	// SoftError is what LastSoftError says, "" for nothing (MUST-47).
	SoftError    string `json:"soft_error,omitempty"`
	ProbesUnseen int    `json:"unseen_probes"` // zero-window or keep-alive probes without an answer
	Backoff      int    `json:"backoff"`       // doublings of the retransmission or persist timeout
	// PathMTU is the largest packet that we send on this path: our link's MTU, or what the
	// path is known to carry.
	PathMTU int `json:"path_mtu"`

	// Time.
	SRTT   time.Duration `json:"srtt_ns"` // 0 before the first measurement
	RTTVar time.Duration `json:"rttvar_ns"`
	MinRTT time.Duration `json:"min_rtt_ns"`
	RTO    time.Duration `json:"rto_ns"`
	ATO    time.Duration `json:"ato_ns"`     // how long an ACK may wait; 0 before the first data
	RcvRTT time.Duration `json:"rcv_rtt_ns"` // round trip as the receiver sees it, 0: unknown
	// Timer is the timer that expires next, "" when none runs; Expires how long
	// until then.
	Timer   string        `json:"timer,omitempty"`
	Expires time.Duration `json:"expires_ns,omitempty"`
	// LastRcv is how long ago a segment arrived, LastDataRcv and LastDataSnd one with data,
	// as tcpi_last_ack_recv, tcpi_last_data_recv and tcpi_last_data_sent. -1: none has.
	LastRcv     time.Duration `json:"last_rcv_ns"`
	LastDataRcv time.Duration `json:"last_data_rcv_ns"`
	LastDataSnd time.Duration `json:"last_data_snd_ns"`
	// Busy is for how long data was waiting to be sent or acknowledged, WindowLimited for how
	// long of that the peer's window held it back, BufferLimited the send buffer.
	Busy          time.Duration `json:"busy_ns"`
	WindowLimited time.Duration `json:"rwnd_limited_ns"`
	BufferLimited time.Duration `json:"sndbuf_limited_ns"`

	// Congestion.
	Congestion string `json:"congestion"` // the controller's name
	Cwnd       int    `json:"cwnd"`
	Ssthresh   int    `json:"ssthresh"` // MaxWindow before the first loss
	Flight     int    `json:"flight"`   // in the network by our estimate
	InRecovery bool   `json:"in_recovery"`
	// CAState is what the sender thinks of the path, in the words of Linux: "open",
	// "disorder" (something arrives out of order), "cwr" (the peer has reported congestion),
	// "recovery" or "loss" (after a timeout).
	CAState     string `json:"ca_state"`
	Outstanding int    `json:"outstanding"` // sent and not acknowledged: SND.NXT - SND.UNA
	Sacked      int    `json:"sacked"`      // of these, reported by SACK
	Lost        int    `json:"lost"`        // of these, taken for lost and not sent again yet
	Resent      int    `json:"resent"`      // of these, in flight for the second time or more
	// ReorderWindow is how long RACK waits for what is merely late.
	ReorderWindow time.Duration `json:"reorder_window_ns"`
	DeliveryRate  float64       `json:"delivery_rate"` // bytes per second, newest sample
	PacingRate    float64       `json:"pacing_rate"`   // bytes per second, 0: not paced
	AppLimited    bool          `json:"app_limited"`   // the application, not the path, set DeliveryRate
	ECN           bool          `json:"ecn"`           // agreed in the handshake
	ECNSeen       bool          `json:"ecn_seen"`      // a packet of the peer's was ECN-capable

	// Queues.
	SendQueue    int `json:"send_queue"`    // written and not acknowledged
	UnsentQueue  int `json:"unsent_queue"`  // of these, not yet sent
	ReceiveQueue int `json:"receive_queue"` // in order and not read
	SendBuffer   int `json:"send_buffer"`   // how much SendQueue may hold now
	RecvBuffer   int `json:"receive_buffer"`
	RcvSpace     int `json:"rcv_space"`    // what the reader took in the last round trip measured
	OutOfOrder   int `json:"out_of_order"` // held beyond a gap
	// Urgent is how many bytes the reader is away from the end of the peer's urgent data,
	// 0 when there is none (RFC 9293, 3.8.5, MUST-33). They are in line with the others.
	Urgent int `json:"urgent"`

	// Counters since the connection began.
	BytesSent     uint64        `json:"bytes_sent"` // data, retransmissions included
	BytesAcked    uint64        `json:"bytes_acked"`
	BytesRetrans  uint64        `json:"bytes_retrans"`
	BytesReceived uint64        `json:"bytes_received"` // in order
	SegmentsIn    uint64        `json:"segs_in"`
	SegmentsOut   uint64        `json:"segs_out"` // a super-segment counts as what it is cut into
	DataSegsIn    uint64        `json:"data_segs_in"`
	DataSegsOut   uint64        `json:"data_segs_out"`
	Delivered     uint64        `json:"delivered"`    // bytes known to have arrived, by SACK too, SYN and FIN as one each
	DeliveredCE   uint64        `json:"delivered_ce"` // of these, acknowledged with ECE
	RetransSegs   uint64        `json:"retrans_segs"`
	Timeouts      uint64        `json:"timeouts"`        // retransmission timer expired
	TimeoutRuns   uint64        `json:"timeout_runs"`    // the same, those in a row without progress as one
	TimedOut      time.Duration `json:"timed_out_ns"`    // from the first timeout of a run to progress, in total
	FastRecovery  uint64        `json:"fast_recoveries"` // entered
	DupAcksIn     uint64        `json:"dup_acks_in"`
	OutOfOrderIn  uint64        `json:"out_of_order_in"` // segments
	DuplicateIn   uint64        `json:"duplicate_in"`    // segments with nothing new
	TailProbes    uint64        `json:"tail_probes"`     // sent (RFC 8985, section 7)
	Reorders      uint64        `json:"reorders"`        // arrivals out of order seen by the sender
	Undos         uint64        `json:"undos"`           // of reductions for nothing (RFC 4015)
	DSACKsIn      uint64        `json:"dsacks_in"`       // reports of duplicates (RFC 2883)
	CEIn          uint64        `json:"ce_in"`           // packets that met congestion (RFC 3168)
}

// Info takes a snapshot at now.
func (t *TCB) Info(now Time) Info {
	w := t.woes
	if w == nil {
		w = new(woes)
	}
	i := Info{
		State: t.state, Local: t.ends.Local, Remote: t.ends.Remote, PassiveOpened: t.is(passiveOpen),
		ISS: t.snd.iss, SndUna: t.snd.una, SndNxt: t.snd.nxt, SndWnd: int(t.snd.wnd),
		IRS: t.rcv.irs, RcvNxt: t.rcv.nxt, RcvWnd: t.rcvWnd(),
		SndMSS: t.sendMSS(), RcvMSS: int(t.rcv.mss), AdvMSS: int(t.mss), SndWndShift: t.snd.shift, RcvWndShift: t.rcv.shift,
		WindowScale: t.is(wscaleOK), Timestamps: t.is(timestampsOK), SACK: t.is(sackOK),
		NoDelay: t.is(noDelay), KeepAlive: t.settings().keepAlive.Enable,
		Retransmits: int(t.retransmits), ProbesUnseen: int(t.probes),
		SRTT: t.rtt.srtt, RTTVar: t.rtt.rttvar, MinRTT: t.rtt.min.get(), RTO: t.rto(),
		ATO: t.delack.wait(), RcvRTT: time.Duration(t.tune.rtt) * time.Microsecond,
		LastRcv: now.Sub(t.lastRcv), LastDataRcv: since(now, t.delack.heard), LastDataSnd: since(now, t.lastData),
		Busy: t.watched(t.busy, sendBusy, now), WindowLimited: t.watched(w.windowLimited, windowLimited, now),
		BufferLimited: t.watched(w.bufferLimited, bufferLimited, now), TimedOut: t.watched(w.timedOut, timingOut, now),
		Backoff: int(max(t.rtt.backoff, t.persistCount)), Outstanding: t.snd.nxt.Sub(t.snd.una),
		Flight: t.flight(), InRecovery: t.recovery.mode != recoveryNone,
		SendQueue: t.sendBuf.Len(), ReceiveQueue: t.recvBuf.Len(),
		BytesSent: t.count.bytesSent, BytesAcked: t.count.bytesAcked, BytesRetrans: w.bytesRetrans,
		BytesReceived: t.count.bytesReceived, SegmentsIn: t.count.segsIn, SegmentsOut: t.count.segsOut,
		DataSegsIn: t.count.dataSegsIn, DataSegsOut: t.count.dataSegsOut,
		Delivered: t.rate.delivered, DeliveredCE: w.bytesECE,
		RetransSegs: w.retransSegs, Timeouts: w.timeouts, TimeoutRuns: w.timeoutRuns,
		FastRecovery: w.fastRecoveries, DupAcksIn: w.dupAcks, TailProbes: w.tlps,
		Reorders: w.reorders, Undos: w.undos, DSACKsIn: w.dsacksIn, CEIn: w.ceIn,
		SendBuffer: int(t.sendLimit), RecvBuffer: int(t.recvLimit), RcvSpace: int(t.rcvSpace),
		DeliveryRate: t.rate.rate, AppLimited: t.is(rateAppLimited), ECN: t.is(ecnOK), ECNSeen: t.is(ecnSeen),
		OutOfOrderIn: w.outOfOrder, DuplicateIn: w.dupIn,
	}
	if t.params == nil {
		return i
	}
	i.Troubled = t.troubled()
	if err := t.LastSoftError(); err != nil {
		i.SoftError = err.Error()
	}
	i.UnsentQueue, i.Urgent = t.unsent(), t.urgentLeft()
	i.CAState, i.PathMTU = t.caState(), t.pathMTU()
	i.FastOpen, i.FastOpenFailed = t.fastOpened()
	if t.scoreboard != nil {
		i.Sacked, i.Lost, i.Resent = t.scoreboard.sackedBytes, t.scoreboard.lostBytes, t.scoreboard.resentBytes()
	}
	if t.ooo != nil {
		i.OutOfOrder = t.ooo.bytes
	}
	if t.cc != nil {
		i.Congestion, i.Cwnd, i.Ssthresh = t.cc.Name(), t.window(), t.cc.Ssthresh()
		i.ReorderWindow, i.PacingRate = t.reorderWindow(), t.paceRate()
	}
	if kind, at := t.timers.next(); at != Never {
		i.Timer, i.Expires = timerNames[kind], max(0, at.Sub(now))
	}
	return i
}

// since is how long ago at was, -1 if it was never.
func since(now, at Time) time.Duration {
	if at == 0 {
		return -1
	}
	return now.Sub(at)
}

// caState is Info.CAState.
func (t *TCB) caState() string {
	switch {
	case t.recovery.mode == recoveryFast:
		return "recovery"
	case t.recovery.mode == recoveryLoss:
		return "loss"
	case t.is(ecnOK) && t.outstanding() && t.snd.una.AtOrBefore(t.ecnPoint):
		return "cwr"
	case t.recovery.dupAcks > 0 || t.scoreboard != nil && t.scoreboard.sackedBytes > 0:
		return "disorder"
	}
	return "open"
}

// fastOpened is Info.FastOpen and why not.
func (t *TCB) fastOpened() (taken bool, failed string) {
	r, offered := t.FastOpenResult()
	switch {
	case !offered:
		return t.FastOpened(), ""
	case r.Acked > 0:
		return true, ""
	case r.Lost:
		return false, "SYN retransmitted"
	case r.Answered && r.Sent > 0:
		return false, "data not acknowledged"
	case r.Answered:
		return false, "no cookie"
	}
	return false, ""
}

// pathMTU is Info.PathMTU.
func (t *TCB) pathMTU() int {
	mss := t.mss
	if t.extra != nil {
		p := t.extra.path
		p.full = mss
		mss = p.effective()
	}
	return packetSize(mss, t.ends.Remote.Addr())
}

// packetSize is the size of the packets to dst that carry segments of mss.
func packetSize(mss uint16, dst netip.Addr) int {
	if dst.Unmap().Is4() {
		return int(mss) + HeaderLen + 20
	}
	return int(mss) + HeaderLen + 40
}

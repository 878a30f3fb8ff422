package tcp

import (
	"math"
	"net/netip"
	"time"
)

// MaxWindow is Ssthresh before the first loss.
const MaxWindow = math.MaxInt32

// Info is a snapshot of a connection for people and tools, in the manner of Linux's
// TCP_INFO. Sizes are bytes, sequence numbers absolute.
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
	RcvMSS      int   `json:"rcv_mss"` // the MSS that we announced
	SndWndShift uint8 `json:"snd_wscale"`
	RcvWndShift uint8 `json:"rcv_wscale"`
	WindowScale bool  `json:"wscale"`
	Timestamps  bool  `json:"timestamps"`
	SACK        bool  `json:"sack"`
	NoDelay     bool  `json:"nodelay"`
	KeepAlive   bool  `json:"keepalive"`
	Retransmits int   `json:"retransmits"` // of the segment at SND.UNA, in a row without progress
	Troubled    bool  `json:"troubled"`    // R1 reached (SHLD-9)
	// SoftError is what LastSoftError says, "" for nothing (MUST-47).
	SoftError    string `json:"soft_error,omitempty"`
	ProbesUnseen int    `json:"unseen_probes"` // zero-window or keep-alive probes without an answer

	// Time.
	SRTT   time.Duration `json:"srtt_ns"` // 0 before the first measurement
	RTTVar time.Duration `json:"rttvar_ns"`
	MinRTT time.Duration `json:"min_rtt_ns"`
	RTO    time.Duration `json:"rto_ns"`
	// Timer is the timer that expires next, "" when none runs; Expires how long
	// until then.
	Timer   string        `json:"timer,omitempty"`
	Expires time.Duration `json:"expires_ns,omitempty"`
	// LastRcv and LastSnd are how long ago a segment arrived and was sent.
	LastRcv time.Duration `json:"last_rcv_ns"`
	LastSnd time.Duration `json:"last_snd_ns"`

	// Congestion.
	Congestion string `json:"congestion"` // the controller's name
	Cwnd       int    `json:"cwnd"`
	Ssthresh   int    `json:"ssthresh"` // MaxWindow before the first loss
	Flight     int    `json:"flight"`   // in the network by our estimate
	InRecovery bool   `json:"in_recovery"`
	// ReorderWindow is how long RACK waits for what is merely late.
	ReorderWindow time.Duration `json:"reorder_window_ns"`
	DeliveryRate  float64       `json:"delivery_rate"` // bytes per second, newest sample
	PacingRate    float64       `json:"pacing_rate"`   // bytes per second, 0: not paced
	ECN           bool          `json:"ecn"`           // agreed in the handshake

	// Queues.
	SendQueue    int `json:"send_queue"`    // written and not acknowledged
	UnsentQueue  int `json:"unsent_queue"`  // of these, not yet sent
	ReceiveQueue int `json:"receive_queue"` // in order and not read
	SendBuffer   int `json:"send_buffer"`   // how much SendQueue may hold now
	RecvBuffer   int `json:"receive_buffer"`
	OutOfOrder   int `json:"out_of_order"` // held beyond a gap
	// Urgent is how many bytes the reader is away from the end of the peer's urgent data,
	// 0 when there is none (RFC 9293, 3.8.5, MUST-33). They are in line with the others.
	Urgent int `json:"urgent"`

	// Counters since the connection began.
	BytesSent     uint64 `json:"bytes_sent"` // data, retransmissions included
	BytesAcked    uint64 `json:"bytes_acked"`
	BytesRetrans  uint64 `json:"bytes_retrans"`
	BytesReceived uint64 `json:"bytes_received"` // in order
	SegmentsIn    uint64 `json:"segs_in"`
	SegmentsOut   uint64 `json:"segs_out"` // a super-segment counts as what it is cut into
	RetransSegs   uint64 `json:"retrans_segs"`
	Timeouts      uint64 `json:"timeouts"`        // retransmission timer expired
	FastRecovery  uint64 `json:"fast_recoveries"` // entered
	DupAcksIn     uint64 `json:"dup_acks_in"`
	OutOfOrderIn  uint64 `json:"out_of_order_in"` // segments
	DuplicateIn   uint64 `json:"duplicate_in"`    // segments with nothing new
	TailProbes    uint64 `json:"tail_probes"`     // sent (RFC 8985, section 7)
	Undos         uint64 `json:"undos"`           // of reductions for nothing (RFC 4015)
	DSACKsIn      uint64 `json:"dsacks_in"`       // reports of duplicates (RFC 2883)
	CEIn          uint64 `json:"ce_in"`           // packets that met congestion (RFC 3168)
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
		SndMSS: t.sendMSS(), RcvMSS: int(t.mss), SndWndShift: t.snd.shift, RcvWndShift: t.rcv.shift,
		WindowScale: t.is(wscaleOK), Timestamps: t.is(timestampsOK), SACK: t.is(sackOK),
		NoDelay: t.is(noDelay), KeepAlive: t.settings().keepAlive.Enable,
		Retransmits: int(t.retransmits), ProbesUnseen: int(t.probes),
		SRTT: t.rtt.srtt, RTTVar: t.rtt.rttvar, MinRTT: t.rtt.min.get(), RTO: t.rto(),
		LastRcv: now.Sub(t.lastRcv), LastSnd: now.Sub(t.lastSnd),
		Flight: t.flight(), InRecovery: t.recovery.mode != recoveryNone,
		SendQueue: t.sendBuf.Len(), ReceiveQueue: t.recvBuf.Len(),
		BytesSent: t.count.bytesSent, BytesAcked: t.count.bytesAcked, BytesRetrans: w.bytesRetrans,
		BytesReceived: t.count.bytesReceived, SegmentsIn: t.count.segsIn, SegmentsOut: t.count.segsOut,
		RetransSegs: w.retransSegs, Timeouts: uint64(w.timeouts),
		FastRecovery: uint64(w.fastRecoveries), DupAcksIn: uint64(w.dupAcks),
		TailProbes: uint64(w.tlps), Undos: uint64(w.undos),
		DSACKsIn: uint64(w.dsacksIn), CEIn: uint64(w.ceIn),
		SendBuffer: int(t.sendLimit), RecvBuffer: int(t.recvLimit),
		DeliveryRate: t.rate.rate, ECN: t.is(ecnOK),
		OutOfOrderIn: uint64(w.outOfOrder), DuplicateIn: uint64(w.dupIn),
	}
	if t.params == nil {
		return i
	}
	i.Troubled = t.troubled()
	if err := t.LastSoftError(); err != nil {
		i.SoftError = err.Error()
	}
	i.UnsentQueue, i.Urgent = t.unsent(), t.urgentLeft()
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

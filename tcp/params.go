package tcp

import (
	"time"

	"github.com/a644562b/portico/internal/buffer"
)

// Params are the settings that the connections of a stack share. A TCB keeps a
// pointer: they must not change once a TCB uses them. The zero value of a field means
// its default. Where Linux and an RFC differ in a number the default is Linux's, and
// the comment names the RFC's.
type Params struct {
	// SendBuffer and ReceiveBuffer are how many bytes a connection holds for the
	// peer and for the reader at first. Default 1 MiB each, minimum 4 KiB, maximum
	// 64 MiB. No memory is taken before there are bytes to hold.
	SendBuffer, ReceiveBuffer int
	// SendBufferMax and ReceiveBufferMax are how far the buffers grow by themselves:
	// the send buffer with the congestion window, the receive buffer with what the reader
	// drains in a round trip. Default 16 MiB each, at most 64 MiB; where a first size is
	// given and no maximum, the buffer stays at that size.
	SendBufferMax, ReceiveBufferMax int
	// Budget is the memory that all connections that share it may hold; nil: no limit.
	// When three quarters are held windows stop to grow, when all is they shrink as
	// the peers use them up. What was acknowledged is never dropped. See TCB.Relieve for
	// how peers learn that there is memory again.
	Budget *Budget

	// Congestion makes the controller of each connection. Default CUBIC.
	Congestion CongestionControl
	// Pacing spreads what a connection sends over the round trip. Off by default, as on
	// Linux; a controller that works by rate paces whatever this says.
	Pacing bool
	// ECN says whether explicit congestion notification is used (RFC 3168). Default:
	// when the peer asks for it.
	ECN ECNMode

	// InitialWindow is the first congestion window in segments. Default 10
	// (RFC 6928, Linux); RFC 5681 says 2 to 4.
	InitialWindow int

	// InitialRTO is the retransmission timeout before the first measurement. Default
	// 1 s (RFC 6298, 2.1).
	InitialRTO time.Duration
	// MinRTO is the least that 4·RTTVAR counts for in the timeout, so that the timeout
	// is never below SRTT + MinRTO. Default 200 ms (Linux); RFC 6298, 2.4 rounds the
	// whole timeout up to 1 s.
	MinRTO time.Duration
	// MaxRTO caps the timeout and its back-off. Default 120 s (Linux); RFC 6298, 2.5
	// asks for at least 60 s.
	MaxRTO time.Duration

	// DelayedAck is how long an ACK waits for company at least, where it waits at all.
	// Default 40 ms (Linux). It follows the rhythm of the peer up to 200 ms, or this if it
	// is more; RFC 9293, 3.8.6.3 allows up to 500 ms (MUST-40).
	DelayedAck time.Duration

	// R1 is the number of retransmissions of one segment after which the connection
	// counts as troubled, which Info shows (SHLD-9). Default 3 (SHLD-10).
	R1 int
	// R2 is the number of retransmissions of one segment after which the connection is
	// given up. Default 15 (Linux), with the default timeouts about 15 minutes;
	// RFC 9293, 3.8.3 asks for at least 100 s (SHLD-11). See also SetUserTimeout.
	R2 int
	// R2Orphan is R2 of a connection that its application has closed and set no R2 of its own
	// on: nobody waits for it any more. Default 8 (Linux, tcp_orphan_retries), which tries for
	// 100 s with the least of timeouts; where R2 is given, that.
	R2Orphan int
	// R2SYN is the same for the SYN of an active open. Default 7, which tries for
	// 247 s (MaxRTO caps the last wait): RFC 9293, 3.8.3 asks for at least 3 minutes (MUST-23); Linux tries 6, for
	// 127 s.
	R2SYN int
	// R2SYNACK is the same for the SYN,ACK of a passive open. Default 5 (Linux), 63 s.
	R2SYNACK int

	// NoAutocork has every Write leave at once, however closely it follows others. Without it
	// small Writes in a row are held for up to a millisecond, while something is in flight,
	// to share segments, also with Nagle off, as on Linux with tcp_autocorking=1.
	NoAutocork bool

	// NoMTUProbing turns off the search for what the path carries without ICMP (RFC 4821),
	// which begins when R1 is reached, as on Linux with tcp_mtu_probing=1.
	NoMTUProbing bool

	// MSL is the maximum segment lifetime; TIME-WAIT lasts twice as long. Default
	// 30 s, so that TIME-WAIT lasts the 60 s it does on Linux; RFC 9293, 3.4.2 says
	// 2 minutes.
	MSL time.Duration
	// FinWait2 is how long a closed socket waits for the peer's FIN. Default 60 s
	// (Linux); RFC 9293 has no limit. A half-closed one (CloseWrite) waits for ever.
	FinWait2 time.Duration

	// ChallengeAcks is how many challenge ACKs a connection sends in five seconds at
	// most (RFC 5961, section 7). Default 10.
	ChallengeAcks int

	// Tally counts what all connections do; nil: nobody. A stack sets its own.
	Tally Tally

	// NoTimestamps, NoSACK and NoWindowScale leave the option out of our SYNs and
	// decline the peer's.
	NoTimestamps, NoSACK, NoWindowScale bool
}

// defaultInitialWindow is in segments (RFC 6928).
const defaultInitialWindow = 10

// Budget is memory in bytes that the connections of a stack share.
type Budget = buffer.Budget

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return buffer.NewBudget(limit) }

// Limits of the buffers.
const (
	minBuffer = 4 << 10
	maxBuffer = 64 << 20
)

// WithDefaults returns the parameters with every zero replaced by its default and
// every buffer within its limits.
func (p Params) WithDefaults() Params {
	p.SendBuffer, p.SendBufferMax = bufferSizes(p.SendBuffer, p.SendBufferMax)
	p.ReceiveBuffer, p.ReceiveBufferMax = bufferSizes(p.ReceiveBuffer, p.ReceiveBufferMax)
	if p.Congestion == nil {
		p.Congestion = CUBIC
	}
	p.InitialWindow = orDefault(p.InitialWindow, defaultInitialWindow)
	p.InitialRTO = orDefault(p.InitialRTO, time.Second)
	p.MinRTO = orDefault(p.MinRTO, 200*time.Millisecond)
	p.MaxRTO = orDefault(p.MaxRTO, 120*time.Second)
	p.DelayedAck = orDefault(p.DelayedAck, 40*time.Millisecond)
	p.R1 = orDefault(p.R1, 3)
	p.R2Orphan = orDefault(p.R2Orphan, orDefault(p.R2, 8))
	p.R2 = orDefault(p.R2, 15)
	p.R2SYN = orDefault(p.R2SYN, 7)
	p.R2SYNACK = orDefault(p.R2SYNACK, 5)
	p.MSL = orDefault(p.MSL, 30*time.Second)
	p.FinWait2 = orDefault(p.FinWait2, 60*time.Second)
	p.ChallengeAcks = orDefault(p.ChallengeAcks, 10)
	return p
}

// bufferSizes completes the first and the largest size of a buffer.
func bufferSizes(first, largest int) (int, int) {
	switch {
	case first == 0:
		first, largest = 1<<20, orDefault(largest, 16<<20)
		first = min(first, largest)
	case largest == 0:
		largest = first
	}
	first = clampBuffer(first)
	return first, max(first, clampBuffer(largest))
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

func clampBuffer(n int) int { return min(max(n, minBuffer), maxBuffer) }

// KeepAlive are the settings of the keep-alive probes of one connection (RFC 9293,
// section 3.8.4).
type KeepAlive struct {
	// Enable turns the probes on. They are off by default (MUST-25).
	Enable bool
	// Idle is how long nothing must have arrived before the first probe. Default 2
	// hours (MUST-28).
	Idle time.Duration
	// Interval is the time between probes. Default 75 s (Linux).
	Interval time.Duration
	// Count is how many unanswered probes end the connection. Default 9 (Linux).
	Count int
}

func (k KeepAlive) withDefaults() KeepAlive {
	k.Idle = orDefault(k.Idle, 2*time.Hour)
	k.Interval = orDefault(k.Interval, 75*time.Second)
	k.Count = orDefault(k.Count, 9)
	return k
}

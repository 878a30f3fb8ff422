package ladder

import (
	"net/netip"
	"testing"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/tcp"
)

const (
	peerISN tcp.Seq = 3_000_000_000
	ourISN  tcp.Seq = 4_294_967_290 // wraps within a few bytes
)

// script plays the events of one connection into a recording, as the core would
// emit them. Sequence numbers are given relative to the initial ones.
type script struct {
	conn  record.Conn
	now   tcp.Time
	state tcp.State
	sent  int // the numbers of ours that have been sent
}

func newScript(t *testing.T, passive bool) *script {
	t.Helper()
	s := &script{now: 5_000_000}
	s.conn.ID = record.ID{
		Serial: 7, Passive: passive,
		Local:  netip.MustParseAddrPort("10.77.0.2:80"),
		Remote: netip.MustParseAddrPort("10.77.0.1:40112"),
	}
	if passive {
		s.state = tcp.StateListen
	}
	return s
}

func (s *script) wait(d time.Duration) { s.now = s.now.Add(d) }

func (s *script) move(to tcp.State, why tcp.Why) {
	s.conn.Observe(&tcp.Event{Time: s.now, Kind: tcp.EventState, Why: why, From: s.state, To: to})
	s.state = to
}

// seg is a segment in relative numbers; in or out decides whose seq is.
type seg struct {
	flags    tcp.Flags
	seq, ack int
	len, gso int
	win      int
	why      tcp.Why
	opts     tcp.Options
}

func (s *script) emit(kind tcp.EventKind, own, other tcp.Seq, g seg) {
	if g.win == 0 {
		g.win = 64256
	}
	ev := tcp.Event{Time: s.now, Kind: kind, Why: g.why, From: s.state}
	ev.Segment = tcp.SegmentInfo{
		Seq: own.Add(g.seq), Flags: g.flags, DataLen: g.len, GSOSize: g.gso, Window: max(0, g.win), Options: g.opts,
	}
	if g.flags.Has(tcp.ACK) {
		ev.Segment.Ack = other.Add(g.ack)
	}
	if n := ev.Segment.Len(); kind == tcp.EventSegmentOut && n > 0 {
		ev.Segment.Again = g.seq < s.sent && g.why != tcp.WhyNone
		s.sent = max(s.sent, g.seq+n)
	}
	s.conn.Observe(&ev)
	s.wait(100 * time.Microsecond)
}

// in is a segment that arrives and the states that it leads to.
func (s *script) in(g seg, to ...tcp.State) {
	at := s.now
	s.emit(tcp.EventSegmentIn, peerISN, ourISN, g)
	then := s.now
	s.now = at
	why := tcp.WhyNone
	if g.flags.Has(tcp.RST) {
		why = tcp.WhyReset
	}
	for _, st := range to {
		s.move(st, why)
	}
	s.now = then
}

func (s *script) out(g seg) { s.emit(tcp.EventSegmentOut, ourISN, peerISN, g) }

func (s *script) drop(why tcp.Why) {
	s.conn.Observe(&tcp.Event{Time: s.now, Kind: tcp.EventDrop, Why: why, From: s.state})
}

var (
	linuxSYN = tcp.Options{MSS: 1460, SACKPermitted: true, HasTimestamps: true, HasWScale: true, WScale: 7}
	ourSYN   = tcp.Options{MSS: 1460, SACKPermitted: true, HasTimestamps: true, HasWScale: true, WScale: 5}
)

const dataFlags = tcp.PSH | tcp.ACK

// accept is the handshake of a connection that the peer opens.
func (s *script) accept() {
	s.in(seg{flags: tcp.SYN, opts: linuxSYN, win: 64240}, tcp.StateSynReceived)
	s.out(seg{flags: tcp.SYN | tcp.ACK, ack: 1, opts: ourSYN, win: 65535})
	s.in(seg{flags: tcp.ACK, seq: 1, ack: 1}, tcp.StateEstablished)
}

// connect is the handshake of one that we open.
func (s *script) connect() {
	s.move(tcp.StateSynSent, tcp.WhyNone)
	s.out(seg{flags: tcp.SYN, opts: ourSYN, win: 65535})
	s.in(seg{flags: tcp.SYN | tcp.ACK, ack: 1, opts: linuxSYN, win: 65160}, tcp.StateEstablished)
	s.out(seg{flags: tcp.ACK, seq: 1, ack: 1})
}

// request is 82 bytes in and 300 out.
func (s *script) request() {
	s.in(seg{flags: dataFlags, seq: 1, ack: 1, len: 82})
	s.out(seg{flags: dataFlags, seq: 1, ack: 83, len: 300})
	s.in(seg{flags: tcp.ACK, seq: 83, ack: 301})
}

// Each of these is a life of a connection. The golden files show its ladder.
var lives = map[string]func(*testing.T) *script{
	"closed_by_peer": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		s.request()
		s.in(seg{flags: tcp.FIN | tcp.ACK, seq: 83, ack: 301}, tcp.StateCloseWait)
		s.out(seg{flags: tcp.ACK, seq: 301, ack: 84})
		s.move(tcp.StateLastAck, tcp.WhyNone)
		s.out(seg{flags: tcp.FIN | tcp.ACK, seq: 301, ack: 84})
		s.in(seg{flags: tcp.ACK, seq: 84, ack: 302}, tcp.StateClosed)
		return s
	},
	"closed_by_us": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		s.out(seg{flags: dataFlags, seq: 1, ack: 1, len: 26})
		s.in(seg{flags: tcp.ACK, seq: 1, ack: 27})
		s.move(tcp.StateFinWait1, tcp.WhyNone)
		s.out(seg{flags: tcp.FIN | tcp.ACK, seq: 27, ack: 1})
		s.in(seg{flags: tcp.ACK, seq: 1, ack: 28}, tcp.StateFinWait2)
		s.in(seg{flags: tcp.FIN | tcp.ACK, seq: 1, ack: 28}, tcp.StateTimeWait)
		s.out(seg{flags: tcp.ACK, seq: 28, ack: 2})
		s.wait(time.Minute)
		s.move(tcp.StateClosed, tcp.WhyTimeWaitOver)
		return s
	},
	"three_segment_close": func(t *testing.T) *script {
		s := newScript(t, false)
		s.connect()
		s.move(tcp.StateFinWait1, tcp.WhyNone)
		s.out(seg{flags: tcp.FIN | tcp.ACK, seq: 1, ack: 1})
		s.in(seg{flags: tcp.FIN | tcp.ACK, seq: 1, ack: 2}, tcp.StateFinWait2, tcp.StateTimeWait)
		s.out(seg{flags: tcp.ACK, seq: 2, ack: 2})
		return s
	},
	"simultaneous_close": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		s.move(tcp.StateFinWait1, tcp.WhyNone)
		s.out(seg{flags: tcp.FIN | tcp.ACK, seq: 1, ack: 1})
		s.in(seg{flags: tcp.FIN | tcp.ACK, seq: 1, ack: 1}, tcp.StateClosing)
		s.out(seg{flags: tcp.ACK, seq: 2, ack: 2})
		s.in(seg{flags: tcp.ACK, seq: 2, ack: 2}, tcp.StateTimeWait)
		return s
	},
	"simultaneous_open": func(t *testing.T) *script {
		s := newScript(t, false)
		s.move(tcp.StateSynSent, tcp.WhyNone)
		s.out(seg{flags: tcp.SYN, opts: ourSYN, win: 65535})
		s.in(seg{flags: tcp.SYN, opts: linuxSYN, win: 64240}, tcp.StateSynReceived)
		s.out(seg{flags: tcp.SYN | tcp.ACK, ack: 1, opts: ourSYN, win: 65535})
		s.in(seg{flags: tcp.SYN | tcp.ACK, ack: 1, opts: linuxSYN, win: 65160}, tcp.StateEstablished)
		return s
	},
	"refused": func(t *testing.T) *script {
		s := newScript(t, false)
		s.move(tcp.StateSynSent, tcp.WhyNone)
		s.out(seg{flags: tcp.SYN, opts: ourSYN, win: 65535})
		s.in(seg{flags: tcp.RST | tcp.ACK, ack: 1, win: -1}, tcp.StateClosed)
		return s
	},
	"unanswered": func(t *testing.T) *script {
		s := newScript(t, false)
		s.move(tcp.StateSynSent, tcp.WhyNone)
		s.out(seg{flags: tcp.SYN, opts: ourSYN, win: 65535})
		s.wait(time.Second)
		s.out(seg{flags: tcp.SYN, opts: ourSYN, win: 65535, why: tcp.WhyRTO})
		s.wait(2 * time.Second)
		s.move(tcp.StateClosed, tcp.WhyTimeout)
		return s
	},
	"reset_by_peer": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		s.request()
		s.in(seg{flags: tcp.RST | tcp.ACK, seq: 83, ack: 301, win: -1}, tcp.StateClosed)
		return s
	},
	"aborted_by_us": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		s.in(seg{flags: dataFlags, seq: 1, ack: 1, len: 82})
		s.move(tcp.StateClosed, tcp.WhyAborted)
		s.out(seg{flags: tcp.RST | tcp.ACK, seq: 1, ack: 83, why: tcp.WhyAborted})
		return s
	},
	"retransmission": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		s.in(seg{flags: dataFlags, seq: 1, ack: 1, len: 82})
		s.out(seg{flags: tcp.ACK, seq: 1, ack: 83, len: 1448})
		s.out(seg{flags: tcp.ACK, seq: 1449, ack: 83, len: 5792, gso: 1448})
		for i := range 3 {
			s.in(seg{flags: tcp.ACK, seq: 83, ack: 1, opts: tcp.Options{
				HasTimestamps: true, SACKBlocks: 1, SACK: [4]tcp.SACKBlock{{Start: ourISN.Add(1449), End: ourISN.Add(2897 + 1448*i)}},
			}})
		}
		s.out(seg{flags: tcp.ACK, seq: 1, ack: 83, len: 1448, why: tcp.WhyRACK})
		s.in(seg{flags: tcp.ACK, seq: 83, ack: 7241})
		s.in(seg{flags: dataFlags, seq: 1, ack: 1, len: 82})
		s.drop(tcp.WhyOutOfWindow)
		s.out(seg{flags: tcp.ACK, seq: 7241, ack: 83, why: tcp.WhyChallenge})
		s.out(seg{flags: dataFlags, seq: 7241, ack: 83, len: 10})
		s.wait(200 * time.Millisecond)
		s.out(seg{flags: dataFlags, seq: 7241, ack: 83, len: 10, why: tcp.WhyRTO})
		s.in(seg{flags: tcp.ACK, seq: 83, ack: 7251, win: -1})
		return s
	},
	"shut_window": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		s.out(seg{flags: tcp.ACK, seq: 1, ack: 1, len: 1448})
		s.in(seg{flags: tcp.ACK, seq: 1, ack: 1449, win: -1})
		s.wait(200 * time.Millisecond)
		s.out(seg{flags: tcp.ACK, seq: 1449, ack: 1, len: 1, why: tcp.WhyProbe})
		s.in(seg{flags: tcp.ACK, seq: 1, ack: 1449, win: -1})
		s.in(seg{flags: tcp.ACK, seq: 1, ack: 1449, win: 8192})
		s.out(seg{flags: dataFlags, seq: 1449, ack: 1, len: 1448, why: tcp.WhyWindowOpened})
		s.in(seg{flags: tcp.ACK, seq: 1, ack: 2897})
		return s
	},
	"lost_syn_ack": func(t *testing.T) *script {
		s := newScript(t, true)
		s.in(seg{flags: tcp.SYN, opts: linuxSYN, win: 64240}, tcp.StateSynReceived)
		s.out(seg{flags: tcp.SYN | tcp.ACK, ack: 1, opts: ourSYN, win: 65535})
		s.wait(time.Second)
		s.in(seg{flags: tcp.SYN, opts: linuxSYN, win: 64240})
		s.out(seg{flags: tcp.SYN | tcp.ACK, ack: 1, opts: ourSYN, win: 65535, why: tcp.WhyRTO})
		s.in(seg{flags: tcp.ACK, seq: 1, ack: 1}, tcp.StateEstablished)
		return s
	},
	"half_close": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		s.in(seg{flags: dataFlags | tcp.FIN, seq: 1, ack: 1, len: 82}, tcp.StateCloseWait)
		s.out(seg{flags: tcp.ACK, seq: 1, ack: 84})
		s.out(seg{flags: dataFlags, seq: 1, ack: 84, len: 82})
		s.in(seg{flags: tcp.ACK, seq: 84, ack: 83})
		return s
	},
	"vanished_peer": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		for range 3 {
			s.wait(time.Second)
			s.out(seg{flags: tcp.ACK, seq: 0, ack: 1, why: tcp.WhyKeepAlive})
		}
		s.wait(time.Second)
		s.move(tcp.StateClosed, tcp.WhyKeepAliveDead)
		s.out(seg{flags: tcp.RST | tcp.ACK, seq: 1, ack: 1, why: tcp.WhyAborted})
		return s
	},
	"long_transfer": func(t *testing.T) *script {
		s := newScript(t, true)
		s.accept()
		s.in(seg{flags: dataFlags, seq: 1, ack: 1, len: 82})
		at := 1
		for range 2000 {
			s.out(seg{flags: tcp.ACK, seq: at, ack: 83, len: 1448})
			s.out(seg{flags: tcp.ACK, seq: at + 1448, ack: 83, len: 1448})
			at += 2896
			s.in(seg{flags: tcp.ACK, seq: 83, ack: at})
		}
		s.move(tcp.StateFinWait1, tcp.WhyNone)
		s.out(seg{flags: tcp.FIN | tcp.ACK, seq: at, ack: 83})
		s.in(seg{flags: tcp.ACK, seq: 83, ack: at + 1}, tcp.StateFinWait2)
		return s
	},
}

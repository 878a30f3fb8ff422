package tcp_test

import (
	"bytes"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/tcp"
)

// watch looks at everything that a TCB sends and knows what no TCB may ever send,
// whatever the peer does. It sees the TCB only as its driver does.
type watch struct {
	tcb     *tcp.TCB
	setup   tcp.Setup
	stream  func(off int) byte // what the application writes
	written int                // how much of it, in bytes
	peerMSS int                // what the peer takes

	edge    tcp.Seq // the largest RCV.NXT + RCV.WND ever advertised
	hasEdge bool
}

// sent is a segment that left the TCB: as bytes on the wire, and parsed from them.
type sent struct {
	tcp.Segment
	header []byte
}

// take checks what Next has yielded and returns it as a peer finds it on the wire.
func (w *watch) take(now tcp.Time, out *tcp.Out) (*sent, error) {
	s, err := throughTheWire(out)
	if err != nil {
		return nil, err
	}
	info := w.tcb.Info(now)
	for _, check := range []func(*sent, *tcp.Info) error{
		w.checkPorts, w.checkSequence, w.checkSize, w.checkData, w.checkOptions, w.checkEdge,
	} {
		if err := check(s, &info); err != nil {
			return s, err
		}
	}
	return s, nil
}

// throughTheWire writes a segment to bytes, reads it back by our parser and by
// gopacket's, and holds the three against each other.
func throughTheWire(out *tcp.Out) (*sent, error) {
	if out.Payload != nil {
		return nil, fmt.Errorf("Out.Payload is set; the data belong in Out.Data")
	}
	b := out.Segment.AppendHeader(nil)
	hlen := len(b)
	if hlen%4 != 0 || hlen > tcp.MaxHeaderLen {
		return nil, fmt.Errorf("header of %d bytes", hlen)
	}
	for _, d := range out.Data {
		b = append(b, d...)
	}
	if len(b)-hlen != out.DataLen {
		return nil, fmt.Errorf("DataLen is %d, Data has %d bytes", out.DataLen, len(b)-hlen)
	}
	s := &sent{header: b[:hlen]}
	if err := tcp.Parse(b, &s.Segment); err != nil {
		return nil, fmt.Errorf("our own segment does not parse: %w", err)
	}
	if again := s.Segment.AppendHeader(nil); !bytes.Equal(again, b[:hlen]) {
		return s, fmt.Errorf("header changes when parsed and written again:\n%x\n%x", b[:hlen], again)
	}
	s.GSOSize = out.GSOSize
	return s, judge(s, b)
}

// judge lets gopacket decode the bytes b of a segment and compares.
func judge(s *sent, b []byte) error {
	var g layers.TCP
	if err := g.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		return fmt.Errorf("gopacket: %w", err)
	}
	var flags tcp.Flags
	for i, on := range []bool{g.FIN, g.SYN, g.RST, g.PSH, g.ACK, g.URG, g.ECE, g.CWR} {
		if on {
			flags |= 1 << i
		}
	}
	switch {
	case uint16(g.SrcPort) != s.SrcPort, uint16(g.DstPort) != s.DstPort,
		g.Seq != uint32(s.Seq), g.Ack != uint32(s.Ack), flags != s.Flags,
		g.Window != s.Window, g.Urgent != s.Urgent, int(g.DataOffset)*4 != len(s.header),
		!bytes.Equal(g.Payload, s.Payload):
		return fmt.Errorf("gopacket reads the segment otherwise: %+v", g)
	}
	return nil
}

// checkPorts: every segment goes from our endpoint to the peer's, and has an ACK
// unless it is the first SYN or a reset (RFC 9293, 3.1).
func (w *watch) checkPorts(s *sent, _ *tcp.Info) error {
	if s.SrcPort != w.setup.Local.Port() || s.DstPort != w.setup.Remote.Port() {
		return fmt.Errorf("ports %d to %d", s.SrcPort, s.DstPort)
	}
	if s.Flags&(tcp.ACK|tcp.SYN|tcp.RST) == 0 {
		return fmt.Errorf("no ACK bit on %v", s.Flags)
	}
	if s.Flags.Has(tcp.SYN|tcp.FIN) || s.Flags.Has(tcp.RST|tcp.SYN) || s.Flags.Has(tcp.RST|tcp.FIN) {
		return fmt.Errorf("contradictory flags %v", s.Flags)
	}
	return nil
}

// checkSequence: what is sent lies between SND.UNA and SND.NXT, a bare ACK stands at
// SND.NXT or, as a keep-alive, one before it, and every ACK is RCV.NXT (3.4, 3.8.4).
// A reset may stand where the peer wants it (3.5.2).
func (w *watch) checkSequence(s *sent, info *tcp.Info) error {
	if s.Flags.Has(tcp.RST) {
		return nil
	}
	if s.Flags.Has(tcp.ACK) && s.Ack != info.RcvNxt {
		return fmt.Errorf("ACK is %d off RCV.NXT", s.Ack.Sub(info.RcvNxt))
	}
	from, to := s.Seq.Sub(info.SndUna), s.Seq.Add(s.Len()).Sub(info.SndNxt)
	if s.Len() == 0 {
		if to != 0 && to != -1 {
			return fmt.Errorf("a bare ACK %d off SND.NXT", to)
		}
		return nil
	}
	if from < 0 || to > 0 {
		return fmt.Errorf("%v from SND.UNA%+d to SND.NXT%+d", s.Flags, from, to)
	}
	return nil
}

// checkSize: a segment and its options fit into what the peer takes and into what
// our own side of the path takes (MUST-16); a super-segment does when it is cut.
func (w *watch) checkSize(s *sent, _ *tcp.Info) error {
	optlen := len(s.header) - tcp.HeaderLen
	size := len(s.Payload)
	if s.GSOSize != 0 {
		if w.setup.MaxGSO == 0 || size > w.setup.MaxGSO {
			return fmt.Errorf("super-segment of %d bytes, MaxGSO is %d", size, w.setup.MaxGSO)
		}
		if s.GSOSize > size {
			return fmt.Errorf("GSOSize %d of %d bytes", s.GSOSize, size)
		}
		size = s.GSOSize
	}
	if limit := min(w.peerMSS, w.setup.MSS); size > 1 && size+optlen > limit {
		return fmt.Errorf("%d bytes of data and %d of options exceed an MSS of %d (MUST-16)", size, optlen, limit)
	}
	return nil
}

// checkData: every byte of data is what the application wrote at that place, and
// the last one queued is pushed (MUST-61).
func (w *watch) checkData(s *sent, info *tcp.Info) error {
	if len(s.Payload) == 0 || s.Flags.Has(tcp.RST) {
		if s.Flags.Has(tcp.RST) && len(s.Payload) != 0 {
			return fmt.Errorf("a reset with %d bytes of data", len(s.Payload))
		}
		return nil
	}
	off := s.Seq.Sub(info.ISS) - 1
	if s.Flags.Has(tcp.SYN) {
		off++
	}
	if off < 0 || off+len(s.Payload) > w.written {
		return fmt.Errorf("data [%d,%d) sent, [0,%d) written", off, off+len(s.Payload), w.written)
	}
	for i, b := range s.Payload {
		if b != w.stream(off+i) {
			return fmt.Errorf("byte %d of the stream was sent wrong", off+i)
		}
	}
	if off+len(s.Payload) == w.written && !s.Flags.Has(tcp.PSH) {
		return fmt.Errorf("the last byte queued was not pushed (MUST-61)")
	}
	return nil
}

// checkOptions: MSS, window scale and SACK-permitted stand on SYNs and nowhere else
// (MUST-65; RFC 7323, 2.2; RFC 2018, 2); MSS stands on every SYN (MAY-3); once
// agreed, timestamps stand on everything but a reset (RFC 7323, 3.2).
func (w *watch) checkOptions(s *sent, info *tcp.Info) error {
	o := &s.Options
	syn := s.Flags.Has(tcp.SYN)
	if !syn && (o.MSS != 0 || o.HasWScale || o.SACKPermitted) {
		return fmt.Errorf("an option of the handshake on %v", s.Flags)
	}
	if syn && int(o.MSS) != w.setup.MSS {
		return fmt.Errorf("MSS %d announced, want %d (MUST-14, MUST-67)", o.MSS, w.setup.MSS)
	}
	if o.WScale > 14 {
		return fmt.Errorf("window shift of %d (RFC 7323, 2.3)", o.WScale)
	}
	if o.SACKBlocks > 0 && !info.SACK {
		return fmt.Errorf("SACK blocks that were not permitted (RFC 2018, 2)")
	}
	for _, b := range o.SACK[:o.SACKBlocks] {
		if !b.End.After(b.Start) {
			return fmt.Errorf("empty SACK block %v", b)
		}
	}
	if info.Timestamps && !o.HasTimestamps && !s.Flags.Has(tcp.RST) {
		return fmt.Errorf("timestamps agreed and missing on %v (RFC 7323, 3.2)", s.Flags)
	}
	return nil
}

// checkEdge: the right edge of the receive window never moves left (SHLD-14), but for
// the rounding of a scaled window, by less than its unit (RFC 7323, 2.4), and for a SYN
// sent again after a larger, scaled window: its field cannot say more than 65,535.
func (w *watch) checkEdge(s *sent, info *tcp.Info) error {
	if !s.Flags.Has(tcp.ACK) || s.Flags.Has(tcp.RST) {
		return nil
	}
	wnd := int(s.Window)
	unit := 1
	if !s.Flags.Has(tcp.SYN) && info.WindowScale {
		unit <<= info.RcvWndShift
	}
	edge := s.Ack.Add(wnd * unit)
	if full := s.Flags.Has(tcp.SYN) && wnd == 65535; w.hasEdge && !full && w.edge.Sub(edge) >= unit {
		return fmt.Errorf("the right edge of the window moved left by %d: ACK %d, window %d (SHLD-14)",
			w.edge.Sub(edge), s.Ack.Sub(info.IRS), wnd*unit)
	}
	if !w.hasEdge || edge.After(w.edge) {
		w.edge, w.hasEdge = edge, true
	}
	return nil
}

package tcp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/tcp"
)

// FuzzParse: any bytes. A segment that parses has its payload within the bytes, and
// once written by AppendHeader reads back the same, for ever.
func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	for _, opts := range []string{"", "mss 1460,sackOK,TS 1 2,nop,wscale 7", "nop,nop,sack 1:2 3:4 5:6 7:8",
		"raw c8 00", "raw 02", "TS 1 2,wscale 3,sack 1:2 3:4 5:6", "mss 0,eol,mss 9"} {
		f.Add(segmentBytes(opts, "payload"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		orig := bytes.Clone(b)
		var seg tcp.Segment
		err := tcp.Parse(b, &seg)
		if !bytes.Equal(b, orig) {
			t.Fatal("Parse has written to its input")
		}
		var g layers.TCP
		gerr := g.DecodeFromBytes(b, gopacket.NilDecodeFeedback)
		if err != nil {
			if !errors.Is(err, tcp.ErrShort) && !errors.Is(err, tcp.ErrDataOffset) {
				t.Fatalf("Parse: %v", err)
			}
			return
		}
		if hlen := len(b) - len(seg.Payload); hlen < tcp.HeaderLen || hlen > tcp.MaxHeaderLen || hlen != int(b[12]>>4)*4 ||
			len(seg.Payload) > 0 && &seg.Payload[0] != &b[hlen] {
			t.Fatalf("payload of %d bytes in a segment of %d", len(seg.Payload), len(b))
		}
		if gerr == nil && (uint32(seg.Seq) != g.Seq || uint32(seg.Ack) != g.Ack || seg.Window != g.Window ||
			seg.SrcPort != uint16(g.SrcPort) || seg.DstPort != uint16(g.DstPort) || seg.Urgent != g.Urgent ||
			!bytes.Equal(seg.Payload, g.Payload)) {
			t.Fatalf("gopacket reads %+v, we %+v", g, seg)
		}
		once := rewrite(t, &seg)
		twice := rewrite(t, &once)
		if !sameSegment(&once, &twice) {
			t.Fatalf("not stable: %+v, then %+v", once, twice)
		}
		// What does not fit once it is padded, blocks of a SACK, may be left out the
		// first time.
		seg.Options.SACKBlocks = once.Options.SACKBlocks
		if !sameSegment(&seg, &once) {
			t.Fatalf("%+v was written as %+v", seg, once)
		}
	})
}

func rewrite(t *testing.T, s *tcp.Segment) (back tcp.Segment) {
	b := append(s.AppendHeader(nil), s.Payload...)
	if hlen := len(b) - len(s.Payload); hlen%4 != 0 || hlen > tcp.MaxHeaderLen {
		t.Fatalf("a header of %d bytes", hlen)
	}
	if err := tcp.Parse(b, &back); err != nil {
		t.Fatalf("our own header does not parse: %v", err)
	}
	return back
}

func sameSegment(a, b *tcp.Segment) bool {
	x, y := *a, *b
	for i := range x.Options.SACK { // only SACKBlocks of them count
		if i >= int(x.Options.SACKBlocks) {
			x.Options.SACK[i] = tcp.SACKBlock{}
		}
		if i >= int(y.Options.SACKBlocks) {
			y.Options.SACK[i] = tcp.SACKBlock{}
		}
	}
	return x.SrcPort == y.SrcPort && x.DstPort == y.DstPort && x.Seq == y.Seq && x.Ack == y.Ack && x.Flags == y.Flags &&
		x.Window == y.Window && x.Urgent == y.Urgent && x.Options == y.Options && bytes.Equal(x.Payload, y.Payload)
}

// FuzzRefuse: the answer of CLOSED to anything is at most one reset, never to a reset,
// and with the numbers of 3.10.7.1.
func FuzzRefuse(f *testing.F) {
	f.Add(segmentBytes("mss 1460", "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var seg, reply tcp.Segment
		if tcp.Parse(b, &seg) != nil {
			return
		}
		answered := tcp.Refuse(&seg, &reply)
		if answered == seg.Flags.Has(tcp.RST) {
			t.Fatalf("answered %v to %v", answered, seg.Flags)
		}
		if !answered {
			return
		}
		seq, ack, flags := tcp.Seq(0), seg.Seq.Add(seg.Len()), tcp.RST|tcp.ACK
		if seg.Flags.Has(tcp.ACK) {
			seq, ack, flags = seg.Ack, 0, tcp.RST
		}
		if reply.Seq != seq || reply.Ack != ack || reply.Flags != flags || reply.Len() != 0 {
			t.Fatalf("%+v is answered by %+v", seg, reply)
		}
	})
}

// What FuzzSegmentArrives holds to be true of a TCB whatever its peer sends and its
// user calls:
//
//  1. No call panics, and Next comes to an end.
//  2. Every segment sent is sound: the watch's list (a wire format that others read,
//     ports, SEQ within SND.UNA to SND.NXT, ACK at RCV.NXT, size, options, a right
//     edge that does not move left).
//  3. Every byte of data sent is the byte that was written at that place of the stream.
//  4. Every byte read is the byte of its number, in order, without a gap. (All segments
//     agree on what byte has what number; one that lies is not told from one that
//     does not, by any TCP.)
//  5. SND.UNA <= SND.NXT, and neither it nor RCV.NXT moves back while the connection
//     lasts; what lies between is what Info calls SendQueue, and a SYN and a FIN.
//  6. What is held for the reader never exceeds the receive buffer and one segment.
//  7. One input is answered by at most two segments without data, and no byte of data
//     leaves twice for one input: nobody is hit harder than they hit us.
//  8. After Tick and Next no deadline lies in the past.
//  9. States change along the arrows of figure 5, and the observer is told of each.
//  10. A TCB that is done sends nothing of itself, only the resets of CLOSED in answer
//     to segments, and waits for nothing.
func FuzzSegmentArrives(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for start := range byte(22) {
		b := []byte{start, byte(r.Uint32()), byte(r.Uint32())}
		for range 200 {
			b = append(b, byte(r.Uint32()))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := &script{b: b}
		z := newFuzz(t, in)
		defer z.guard()
		for n := 0; len(in.b) > 0 && n < 400; n++ {
			z.step(in)
		}
	})
}

// script reads numbers off the fuzzer's bytes; zeros when there are none left.
type script struct{ b []byte }

func (s *script) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	v := s.b[0]
	s.b = s.b[1:]
	return v
}
func (s *script) uint16() uint16 { return uint16(s.byte())<<8 | uint16(s.byte()) }
func (s *script) uint32() uint32 { return uint32(s.uint16())<<16 | uint32(s.uint16()) }

// fuzzed is a dialogue that holds the list above after each thing that happens.
type fuzzed struct {
	*dialogue
	una, rcv tcp.Seq
	begun    bool // una and rcv are of this connection
	readAt   int  // bytes read of this connection
}

func newFuzz(t *testing.T, in *script) *fuzzed {
	kind, conf := in.byte(), in.uint16()
	p := tcp.Params{
		SendBuffer: 4096 << (conf & 3), ReceiveBuffer: 4096 << (conf >> 2 & 3), NoSACK: conf>>4&1 != 0,
		NoTimestamps: conf>>5&1 != 0, NoWindowScale: conf>>6&1 != 0, MSL: time.Second,
	}
	opts := []option{withParams(p), withMSS([]int{1460, 536, 65495, 1000}[conf>>7&3]), withPeer(func(q *peer) {
		q.mss, q.sack, q.ts = []int{1000, 1460, 536, 65535}[conf>>9&3], conf>>11&1 != 0, conf>>12&1 != 0
		if conf>>13&1 != 0 {
			q.wscale = 3
		}
	})}
	if conf>>14&1 != 0 {
		opts = append(opts, withGSO(32<<10))
	}
	var d *dialogue
	if s := tcp.State(kind % 11); kind%22 >= 11 && s >= tcp.StateSynReceived {
		d = passively(t, s, opts...)
	} else {
		d = inState(t, s, opts...)
	}
	if d.tcb.State() < tcp.StateEstablished {
		d.watch.peerMSS = 65535 // its SYN may yet say anything
	}
	return &fuzzed{dialogue: d}
}

// byteAt is the byte of the peer's with this sequence number.
func byteAt(s tcp.Seq) byte { return byte(s) ^ byte(s>>8)*3 }

func (z *fuzzed) step(in *script) {
	z.mark = z.now
	queue := z.tcb.Info(z.now).SendQueue
	timer := false
	switch op := in.byte(); op % 20 {
	case 0, 1, 2, 3, 4, 5, 6, 7, 8:
		z.segment(in)
	case 9, 10:
		timer = true
		if dl := z.tcb.Deadline(); dl != tcp.Never {
			z.now = max(z.now, dl)
			z.tcb.Tick(z.now)
		}
	case 11:
		z.now = z.now.Add(time.Duration(in.uint16()) * 100 * time.Microsecond)
		if z.tcb.Deadline() <= z.now {
			timer = true
			z.tcb.Tick(z.now)
		}
	case 12, 13:
		queue += z.fuzzWrite(int(in.uint16()) % 5000)
	case 14, 15:
		z.fuzzRead(int(in.uint16()) % 5000)
	case 16:
		z.fuzzControl(in.byte())
	case 17:
		z.tell(" ", "SetNoDelay")
		z.tcb.SetNoDelay(z.now, op&32 != 0)
	case 18:
		z.tell(" ", "SetKeepAlive")
		z.tcb.SetKeepAlive(z.now, tcp.KeepAlive{Enable: op&32 != 0, Idle: time.Duration(in.byte()) * time.Second})
	case 19:
		z.tell(" ", fmt.Sprintf("SetReceiveBuffer %d", 4096<<(op>>5&1)))
		z.tcb.SetReceiveBuffer(z.now, 4096<<(op>>5&1))
		z.setup.Params = &tcp.Params{ReceiveBuffer: 128 << 10} // no bound worth the name from here on
	}
	z.listen()
	z.holds(queue, timer)
}

func (z *fuzzed) fuzzWrite(n int) int {
	p := make([]byte, n)
	for i := range p {
		p[i] = ours(z.watch.written + i)
	}
	n, _ = z.tcb.Write(z.now, p)
	z.tell(" ", fmt.Sprintf("Write %d of %d", n, len(p)))
	z.watch.written += n
	return n
}

func (z *fuzzed) fuzzRead(n int) {
	p := make([]byte, n)
	n, err := z.tcb.Read(z.now, p)
	z.tell(" ", fmt.Sprintf("Read %d of %d: %v", n, len(p), err))
	if n > 0 && err != nil && err != io.EOF {
		z.fail("Read: %d bytes and %v", n, err)
	}
	first := z.tcb.Info(z.now).IRS.Add(1)
	for i, b := range p[:n] {
		if b != byteAt(first.Add(z.readAt+i)) {
			z.fail("byte %d of the stream was read wrong (4)", z.readAt+i)
		}
	}
	z.readAt += n
}

// fuzzControl is one of the calls that end things; most often none.
func (z *fuzzed) fuzzControl(what byte) {
	z.tell(" ", "one of CloseWrite 0 1, Close 2, CloseRead 3, Abort 4, SetUserTimeout 5: "+itoa(int(what%16)))
	switch what % 16 {
	case 0, 1:
		z.tcb.CloseWrite(z.now)
	case 2:
		z.tcb.Close(z.now)
	case 3:
		z.tcb.CloseRead(z.now)
	case 4:
		z.tcb.Abort(z.now)
	case 5:
		z.tcb.SetUserTimeout(z.now, time.Duration(what)*100*time.Millisecond)
	}
}

// segment makes a segment near the TCB's numbers, as an attacker or a confused peer
// would, and lets it arrive.
func (z *fuzzed) segment(in *script) {
	i := z.tcb.Info(z.now)
	how := in.byte()
	seg := tcp.Segment{SrcPort: z.setup.Remote.Port(), DstPort: z.setup.Local.Port(),
		Flags: tcp.Flags(in.byte()), Window: in.uint16()}
	if how&1 != 0 {
		seg.Flags = tcp.ACK | seg.Flags&tcp.PSH // the usual kind, more often
	}
	switch how >> 1 & 3 {
	case 0:
		seg.Seq = i.RcvNxt
	case 1:
		seg.Seq = i.RcvNxt.Add(int(int16(in.uint16())))
	case 2:
		seg.Seq = i.RcvNxt.Add(int(in.byte()) * 8)
	case 3:
		seg.Seq = tcp.Seq(in.uint32())
	}
	switch how >> 3 & 3 {
	case 0:
		seg.Ack = i.SndNxt
	case 1:
		seg.Ack = i.SndUna
	case 2:
		seg.Ack = i.SndUna.Add(int(int16(in.uint16())) / 4)
	case 3:
		seg.Ack = tcp.Seq(in.uint32())
	}
	var b []byte
	if how>>5&1 != 0 { // options that mean something
		seg.Options = z.options(in, &i)
		b = seg.AppendHeader(nil)
	} else { // or not
		b = seg.AppendHeader(nil)
		for range in.byte() % 11 * 4 {
			b = append(b, in.byte())
		}
		b[12] = byte(len(b)/4) << 4
	}
	if how>>6&1 != 0 {
		first := seg.Seq
		if seg.Flags.Has(tcp.SYN) {
			first++
		}
		for n := range int(in.uint16()) % 3000 {
			b = append(b, byteAt(first.Add(n)))
		}
	}
	z.tell(">", fmt.Sprintf("%v SEQ %d ACK %d win %d, %d bytes", seg.Flags, seg.Seq.Sub(i.IRS), seg.Ack.Sub(i.ISS), seg.Window, len(b)))
	var parsed tcp.Segment
	if err := tcp.Parse(b, &parsed); err != nil {
		z.fail("the fuzzer's own segment: %v", err)
	}
	z.tcb.Segment(z.now, &parsed)
	z.arrived = true
	clear(b)
}

// options are such as a peer has that has agreed on them, with numbers of its choice.
func (z *fuzzed) options(in *script, i *tcp.Info) (o tcp.Options) {
	what := in.byte()
	o.HasTimestamps = what&1 != 0
	o.TSVal, o.TSEcr = z.tsval()+uint32(int8(in.byte())), z.lastTS+uint32(int8(in.byte()))
	if what&2 != 0 {
		o.MSS = binary.BigEndian.Uint16([]byte{in.byte(), in.byte()})
		o.HasWScale, o.WScale, o.SACKPermitted = what&4 != 0, in.byte(), what&8 != 0
		return o
	}
	o.SACKBlocks = what >> 4 % 5
	for n := range o.SACKBlocks {
		from := i.SndUna.Add(int(int16(in.uint16())) / 4)
		o.SACK[n] = tcp.SACKBlock{Start: from, End: from.Add(int(int16(in.uint16())) / 4)}
	}
	return o
}

// holds checks the list; queue is how many bytes of data there were to send.
func (z *fuzzed) holds(queue int, timer bool) {
	data, bare := 0, 0
	for _, u := range z.overheard() {
		if data += len(u.Payload); len(u.Payload) == 0 {
			bare++
		}
	}
	if bare > 2 && !(timer && bare <= 3) || data > queue {
		z.fail("one input has caused %d segments without data, and %d bytes of %d (7)", bare, data, queue)
	}
	if z.tcb.Done() && z.tcb.Deadline() != tcp.Never {
		z.fail("done, and waits for something (10)")
	}
	i := z.tcb.Info(z.now)
	if i.State == tcp.StateListen || i.State == tcp.StateClosed {
		if i.State == tcp.StateListen { // the next connection begins afresh
			z.begun, z.readAt, z.watch.hasEdge = false, 0, false
			if i.SendQueue == 0 {
				z.watch.written = 0
			}
		}
		return
	}
	unacked := i.SndNxt.Sub(i.SndUna)
	switch held := i.ReceiveQueue + i.OutOfOrder; {
	case unacked < 0 || unacked > i.SendQueue+2:
		z.fail("%d unacknowledged of %d in the queue (5)", unacked, i.SendQueue)
	case z.begun && (i.SndUna.Before(z.una) || i.RcvNxt.Before(z.rcv)):
		z.fail("SND.UNA or RCV.NXT has moved back (5)")
	case held > z.setup.Params.ReceiveBuffer+z.setup.MSS:
		z.fail("%d bytes held (6)", held)
	}
	if i.State >= tcp.StateSynReceived {
		z.una, z.rcv, z.begun = i.SndUna, i.RcvNxt, true
	}
}

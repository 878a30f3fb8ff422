package tcp_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/a644562b/portico/tcp"
)

// The segment on the wire: RFC 9293, 3.1 and 3.2.

func segmentBytes(opts string, payload string) []byte {
	s := tcp.Segment{SrcPort: 40000, DstPort: 80, Seq: 0x01020304, Ack: 0x05060708, Flags: tcp.ACK | tcp.PSH, Window: 60000, Urgent: 9}
	b := append(s.AppendHeader(nil), wireOptions(opts, 0)...)
	b[12] = byte(len(b)/4) << 4
	return append(b, payload...)
}

// TestHeaderFields is figure 1, byte by byte.
func TestHeaderFields(t *testing.T) {
	s := tcp.Segment{
		SrcPort: 0x0102, DstPort: 0x0304, Seq: 0x05060708, Ack: 0x090a0b0c,
		Flags: tcp.FIN | tcp.ACK | tcp.CWR, Window: 0x0d0e, Urgent: 0x0f10,
	}
	want := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x50, 0x91, 13, 14, 0, 0, 15, 16}
	got := s.AppendHeader([]byte("before"))
	if !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Errorf("% x, want % x", got[6:], want)
	}
	var back tcp.Segment
	if err := tcp.Parse(append(want, "data"...), &back); err != nil {
		t.Fatal(err)
	}
	s.Payload = []byte("data")
	if !reflect.DeepEqual(back, s) {
		t.Errorf("%+v, want %+v", back, s)
	}
}

// TestFlagBits: the control bits as figure 1 has them from right to left.
func TestFlagBits(t *testing.T) {
	for i, f := range []tcp.Flags{tcp.FIN, tcp.SYN, tcp.RST, tcp.PSH, tcp.ACK, tcp.URG, tcp.ECE, tcp.CWR} {
		if f != 1<<i {
			t.Errorf("%v is %#x, want %#x", f, uint8(f), 1<<i)
		}
	}
}

// TestSegLen: SYN and FIN take a number each, an ACK none (3.4).
func TestSegLen(t *testing.T) {
	for _, c := range []struct {
		flags tcp.Flags
		data  int
		want  int
	}{
		{tcp.ACK, 0, 0}, {tcp.SYN, 0, 1}, {tcp.FIN | tcp.ACK, 0, 1}, {tcp.RST, 0, 0},
		{tcp.ACK, 10, 10}, {tcp.SYN, 10, 11}, {tcp.FIN | tcp.ACK, 10, 11}, {tcp.SYN | tcp.FIN, 10, 12},
	} {
		s := tcp.Segment{Flags: c.flags, Payload: make([]byte, c.data)}
		if s.Len() != c.want {
			t.Errorf("%v with %d bytes: SEG.LEN %d, want %d", c.flags, c.data, s.Len(), c.want)
		}
	}
}

func TestParseRefusesBrokenLengths(t *testing.T) {
	good := segmentBytes("mss 1460", "data")
	var seg tcp.Segment
	for n := range tcp.HeaderLen {
		if err := tcp.Parse(good[:n], &seg); !errors.Is(err, tcp.ErrShort) {
			t.Errorf("%d bytes: %v, want %v", n, err, tcp.ErrShort)
		}
	}
	for off := range 16 {
		b := bytes.Clone(good)
		b[12] = byte(off << 4)
		err := tcp.Parse(b, &seg)
		if bad := off < 5 || off*4 > len(b); bad != errors.Is(err, tcp.ErrDataOffset) {
			t.Errorf("data offset %d of %d bytes: %v", off, len(b), err)
		}
	}
}

// TestParseOptions: orders, paddings and lengths that a peer may write (MUST-4 to
// MUST-7, MUST-64).
func TestParseOptions(t *testing.T) {
	mss := tcp.Options{MSS: 1460}
	for _, c := range []struct {
		name, opts string
		want       tcp.Options
	}{
		{"none", "", tcp.Options{}},
		{"MSS", "mss 1460", mss},
		{"MSS not aligned (MUST-64)", "nop,mss 1460", mss},
		{"MSS after NOPs", "nop,nop,nop,nop,nop,mss 1460,eol", mss},
		{"nothing after EOL counts (MUST-69)", "mss 1460,eol,wscale 7,sackOK", mss},
		{"unknown skipped (MUST-6)", "raw c8 06 1 2 3 4,mss 1460", mss},
		{"unknown without value", "raw c8 02,mss 1460", mss},
		{"experimental (RFC 6994)", "raw fe 06 f9 89 0 0,mss 1460", mss},
		{"MPTCP", "raw 1e 0c 0 81 1 2 3 4 5 6 7 8,mss 1460", mss},
		{"length 0 ends the list (MUST-7)", "mss 1460,raw c8 0 03 03 7", mss},
		{"length 1 ends the list", "mss 1460,raw c8 1 03 03 7", mss},
		{"length past the end", "mss 1460,raw c8 ff 03 03 7", mss},
		{"kind without length", "mss 1460,nop,nop,nop,raw 2", mss},
		{"MSS of wrong length", "raw 2 3 5,wscale 7", tcp.Options{HasWScale: true, WScale: 7}},
		{"MSS of length 0", "raw 2 0 5 b4", tcp.Options{}},
		{"window scale above 14", "nop,wscale 255", tcp.Options{HasWScale: true, WScale: 255}},
		{"timestamps", "nop,nop,TS 7 9", tcp.Options{HasTimestamps: true, TSVal: 7, TSEcr: 9}},
		{"timestamps cut short", "nop,nop,raw 8 9 0 0 0 7 0 0 0", tcp.Options{}},
		{"SACK of a broken block", "nop,nop,raw 5 9 0 0 0 1 0 0 0", tcp.Options{}},
		{"Linux", "mss 1460,sackOK,TS 1 0,nop,wscale 7", tcp.Options{
			MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 1, HasWScale: true, WScale: 7}},
		{"Windows", "mss 1460,nop,wscale 8,nop,nop,sackOK", tcp.Options{
			MSS: 1460, SACKPermitted: true, HasWScale: true, WScale: 8}},
		{"macOS", "mss 1460,nop,wscale 6,nop,nop,TS 1 0,sackOK,eol,eol", tcp.Options{
			MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 1, HasWScale: true, WScale: 6}},
		{"four SACK blocks", "nop,nop,sack 1:2 3:4 5:6 7:8", tcp.Options{SACKBlocks: 4,
			SACK: [4]tcp.SACKBlock{{Start: 1, End: 2}, {Start: 3, End: 4}, {Start: 5, End: 6}, {Start: 7, End: 8}}}},
	} {
		var seg tcp.Segment
		b := segmentBytes(c.opts, "data")
		if err := tcp.Parse(b, &seg); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if seg.Options != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, seg.Options, c.want)
		}
		if string(seg.Payload) != "data" || seg.Seq != 0x01020304 {
			t.Errorf("%s: the rest of the segment suffers: %+v", c.name, seg)
		}
	}
}

// TestOptionOrder: as Linux writes them, padded to words.
func TestOptionOrder(t *testing.T) {
	full := tcp.Options{MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 5, TSEcr: 6, HasWScale: true, WScale: 7}
	blocks := [4]tcp.SACKBlock{{Start: 1, End: 2}, {Start: 3, End: 4}, {Start: 5, End: 6}, {Start: 7, End: 8}}
	for _, c := range []struct {
		opts tcp.Options
		want string
	}{
		{full, "mss 1460,sackOK,TS 5 6,nop,wscale 7"},
		{tcp.Options{MSS: 1460}, "mss 1460"},
		{tcp.Options{MSS: 1460, SACKPermitted: true}, "mss 1460,nop,nop,sackOK"},
		{tcp.Options{MSS: 1460, HasTimestamps: true, TSVal: 5}, "mss 1460,nop,nop,TS 5 0"},
		{tcp.Options{MSS: 1460, HasWScale: true, WScale: 7}, "mss 1460,nop,wscale 7"},
		{tcp.Options{HasTimestamps: true, TSVal: 5, TSEcr: 6}, "nop,nop,TS 5 6"},
		{tcp.Options{SACKBlocks: 4, SACK: blocks}, "nop,nop,sack 1:2 3:4 5:6 7:8"},
		{tcp.Options{SACKBlocks: 4, SACK: blocks, HasTimestamps: true}, "nop,nop,TS 0 0,nop,nop,sack 1:2 3:4 5:6"},
		{tcp.Options{}, ""},
	} {
		s := tcp.Segment{Options: c.opts}
		b := s.AppendHeader(nil)
		if got := readOptions(b[tcp.HeaderLen:], 0); got != c.want || len(b)%4 != 0 || int(b[12]>>4)*4 != len(b) {
			t.Errorf("<%s> in %d bytes, want <%s>", got, len(b), c.want)
		}
	}
}

// TestSeqCompares: comparison is modulo 2^32 (3.4).
func TestSeqCompares(t *testing.T) {
	const max = tcp.Seq(0xffffffff)
	for _, c := range []struct {
		a, b   tcp.Seq
		before bool
	}{
		{0, 1, true}, {max, 0, true}, {max - 5, 5, true}, {0, 1<<31 - 1, true},
		{1, 0, false}, {0, max, false}, {7, 7, false},
	} {
		if c.a.Before(c.b) != c.before || c.b.After(c.a) != c.before {
			t.Errorf("%d before %d: %v", c.a, c.b, c.a.Before(c.b))
		}
		if c.a.AtOrBefore(c.b) != (c.before || c.a == c.b) || c.a.AtOrAfter(c.b) == c.before {
			t.Errorf("%d at or before %d: %v", c.a, c.b, c.a.AtOrBefore(c.b))
		}
	}
	if !max.In(max-1, 3) || !tcp.Seq(0).In(max, 2) || tcp.Seq(1).In(max, 2) || max.In(max, 0) {
		t.Error("In does not wrap")
	}
	if tcp.Seq(3).Sub(max) != 4 || max.Sub(3) != -4 || max.Add(4) != 3 {
		t.Error("Add and Sub do not wrap")
	}
}

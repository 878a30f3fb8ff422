package ip_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// cut is a fragment from them to us, as bytes of the test's own: the data of a UDP
// datagram from offset on.
type cut struct {
	f        pair
	src      netip.Addr // them unless set
	id       uint32
	offset   int
	more     bool
	tos      byte
	protocol byte // UDP unless set
	options  []byte
	data     []byte
}

func (c cut) packet() []byte {
	if c.protocol == 0 {
		c.protocol = udp
	}
	if !c.src.IsValid() {
		c.src = c.f.them
	}
	if c.f.is4 {
		b := packet4(c.options, string(c.data))
		b[1], b[9] = c.tos, c.protocol
		binary.BigEndian.PutUint16(b[4:], uint16(c.id))
		field := uint16(c.offset / 8)
		if c.more {
			field |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], field)
		copy(b[12:], c.src.AsSlice())
		return fix4(b)
	}
	field := uint16(c.offset)
	if c.more {
		field |= 1
	}
	fragment := []byte{c.protocol, 0, byte(field >> 8), byte(field)}
	fragment = binary.BigEndian.AppendUint32(fragment, c.id)
	b := packet6(frag, fragment, c.data)
	if c.options != nil {
		b = packet6(dest, append([]byte{frag, byte(len(c.options)/8 - 1)}, c.options[2:]...), fragment, c.data)
	}
	b[0], b[1] = 6<<4|c.tos>>4, c.tos<<4
	copy(b[8:], c.src.AsSlice())
	return b
}

// add gives a fragment to r and returns the datagram as a packet when it is whole.
func add(t testing.TB, r *ip.Reassembler, now mono.Time, packet []byte) ([]byte, ip.Drop) {
	t.Helper()
	var h ip.Header
	if _, drop := ip.Parse(packet, &h); drop != ip.DropFragment {
		t.Fatalf("not a fragment: %v, % x", drop, packet[:min(len(packet), 60)])
	}
	before := bytes.Clone(packet)
	whole, drop := r.Add(now, &h, packet)
	if !bytes.Equal(packet, before) {
		t.Fatal("the packet was changed")
	}
	clear(packet) // what r keeps it has copied
	if whole == nil {
		return nil, drop
	}
	if drop != ip.DropNone {
		t.Fatalf("a whole datagram and drop %v", drop)
	}
	b := whole.Append(nil)
	if len(b) != whole.Len() {
		t.Fatalf("%d bytes, Len says %d", len(b), whole.Len())
	}
	return b, drop
}

// wantWhole verifies that packet is all right and carries a payload.
func wantWhole(t testing.TB, f pair, packet, payload []byte) ip.Header {
	t.Helper()
	if packet == nil {
		t.Fatal("the datagram is not whole")
	}
	var h ip.Header
	got, drop := ip.Parse(packet, &h)
	if drop != ip.DropNone || h.Src != f.them || h.Dst != f.us || h.Protocol != ip.UDP {
		t.Fatalf("%v, %+v", drop, h)
	}
	if !bytes.Equal(got, payload) {
		t.Fatalf("payload of %d bytes differs from the %d sent", len(got), len(payload))
	}
	return h
}

// pattern is n bytes no two stretches of which are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// slice cuts a payload at the given offsets.
func slice(f pair, id uint32, payload []byte, at ...int) []cut {
	at = append(append([]int{0}, at...), len(payload))
	var cuts []cut
	for i := range len(at) - 1 {
		cuts = append(cuts, cut{f: f, id: id, offset: at[i], more: at[i+1] < len(payload), data: payload[at[i]:at[i+1]]})
	}
	return cuts
}

package ip_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// FuzzReassembly gives a Reassembler pieces that the fuzzer chooses, of a few datagrams at
// once, and holds it to a model that is a byte a byte:
//   - it does not panic, and holds no more than its limits;
//   - a datagram is delivered when the model's is whole, with the model's bytes, and never
//     after two of its pieces have overlapped;
//   - what is delivered parses, with a right header checksum;
//   - when everything has timed out nothing is left.
//
// Five bytes make a piece: which datagram, offset, length, flags, and the value of its
// bytes.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 1, 0, 1, 1, 0, 2})
	f.Add([]byte{1, 1, 1, 0, 2, 1, 0, 1, 1, 1})
	f.Add([]byte{0, 0, 2, 1, 1, 0, 1, 2, 1, 1})
	f.Add([]byte{0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 1})
	f.Add([]byte{1, 0, 200, 1, 1, 1, 200, 200, 1, 1, 0, 9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		limits := ip.ReassemblyLimits{Memory: 1 << 20, SourceMemory: 1 << 20, Datagrams: 100, SourceDatagrams: 100}
		r := ip.NewReassembler(limits)
		models := map[byte]*model{}
		for now := mono.Time(0); len(script) >= 5 && now < 100; now++ {
			step(t, r, now, models, script[:5])
			script = script[5:]
			if r.Memory() > limits.Memory || r.Len() > limits.Datagrams {
				t.Fatalf("%d datagrams of %d bytes", r.Len(), r.Memory())
			}
		}
		for {
			if _, ok := r.Expire(mono.Time(2 * time.Minute)); !ok {
				break
			}
		}
		if r.Len() != 0 || r.Memory() != 0 || r.Deadline() != mono.Never {
			t.Fatalf("%d datagrams of %d bytes are left", r.Len(), r.Memory())
		}
	})
}

// model is a datagram as the plainest code would keep it.
type model struct {
	bytes   map[int]byte
	pieces  map[[2]int]cut // by start and end
	total   int            // -1: not known
	refused bool
}

func step(t *testing.T, r *ip.Reassembler, now mono.Time, models map[byte]*model, b []byte) {
	which := b[0] % 6
	c := cut{f: families[which%2], id: uint32(which), offset: int(b[1]) * 8, more: b[3]&1 != 0}
	c.data = bytes.Repeat([]byte{b[4]}, int(b[2])*8)
	if b[3]&2 != 0 {
		c.data = append(c.data, b[4], b[4], b[4]) // no multiple of 8
	}
	m := models[which]
	if m == nil {
		m = &model{bytes: map[int]byte{}, pieces: map[[2]int]cut{}, total: -1}
		models[which] = m
	}
	if c.offset == 0 && !c.more {
		return // no fragment
	}
	whole, drop := add(t, r, now, c.packet())
	switch want := m.add(c); {
	case want != drop:
		t.Fatalf("drop %v, want %v", drop, want)
	case drop != ip.DropNone:
		return
	}
	if !m.whole() {
		if whole != nil {
			t.Fatal("delivered before it was whole")
		}
		return
	}
	if whole == nil {
		t.Fatal("not delivered")
	}
	payload := make([]byte, m.total)
	for i := range payload {
		payload[i] = m.bytes[i]
	}
	wantWhole(t, c.f, whole, payload)
	delete(models, which)
}

// add takes in a piece and says what is to become of it.
func (m *model) add(c cut) ip.Drop {
	end := c.offset + len(c.data)
	switch {
	case len(c.data) == 0 || c.more && len(c.data)%8 != 0:
		return ip.DropFragmentLength
	case !c.f.is4 && c.offset == 0 && len(c.data) < 8:
		return ip.DropFragmentChain
	case m.refused:
		return ip.DropFragmentOverlap
	}
	if old, ok := m.pieces[[2]int{c.offset, end}]; ok && old.more == c.more && bytes.Equal(old.data, c.data) {
		return ip.DropFragmentDuplicate
	}
	m.refused = m.total >= 0 && (end > m.total || end == m.total && c.more || end < m.total && !c.more)
	for i := range m.bytes {
		if i >= c.offset && i < end || !c.more && i >= end {
			m.refused = true
		}
	}
	if m.refused {
		return ip.DropFragmentOverlap
	}
	for i, v := range c.data {
		m.bytes[c.offset+i] = v
	}
	if !c.more {
		m.total = end
	}
	m.pieces[[2]int{c.offset, end}] = c
	return ip.DropNone
}

func (m *model) whole() bool { return len(m.bytes) == m.total }

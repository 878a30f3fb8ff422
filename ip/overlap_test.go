package ip_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// RFC 5722 for both families: the datagram ends, silently, and so does what still comes of
// it; once it would have timed out its identification is free again.
func TestOverlapEndsTheDatagram(t *testing.T) {
	payload := pattern(96)
	piece := func(offset, n int, more bool) cut {
		return cut{offset: offset, more: more, data: payload[offset : offset+n]}
	}
	for name, overlap := range map[string][]cut{
		"by the end of the one before": {piece(0, 32, true), piece(24, 16, true)},
		"by the start of the next":     {piece(32, 32, true), piece(24, 16, true)},
		"within one":                   {piece(0, 64, true), piece(8, 8, true)},
		"around one":                   {piece(40, 8, true), piece(32, 24, true)},
		"same start, longer":           {piece(32, 16, true), piece(32, 24, true)},
		"same start, shorter":          {piece(32, 24, true), piece(32, 16, true)},
		"same end, longer":             {piece(40, 8, true), piece(32, 16, true)},
		"of two":                       {piece(0, 32, true), piece(40, 24, true), piece(24, 24, true)},
		"the same place, other bytes":  {piece(32, 16, true), {offset: 32, more: true, data: pattern(16)}},
		"beyond the last":              {piece(80, 16, false), {offset: 96, more: true, data: pattern(8)}},
		"up to the last's end":         {piece(64, 16, false), piece(72, 8, true)},
		"another last, longer":         {piece(64, 16, false), {offset: 80, data: pattern(16)}},
		"another last, shorter":        {piece(80, 16, false), piece(64, 8, false)},
		"a last before what is there":  {piece(64, 16, true), piece(40, 16, false)},
		"the last again as no last":    {piece(80, 16, false), piece(80, 16, true)},
		"one more again as the last":   {piece(32, 16, true), piece(32, 16, false)},
	} {
		for _, f := range families {
			t.Run(name+" "+f.name, func(t *testing.T) {
				r := ip.NewReassembler(ip.ReassemblyLimits{})
				send := func(now mono.Time, c cut) ([]byte, ip.Drop) {
					c.f, c.id = f, 5
					return add(t, r, now, c.packet())
				}
				for _, c := range overlap[:len(overlap)-1] {
					if _, drop := send(0, c); drop != ip.DropNone {
						t.Fatalf("drop %v", drop)
					}
				}
				if whole, drop := send(1, overlap[len(overlap)-1]); whole != nil || drop != ip.DropFragmentOverlap {
					t.Fatalf("the overlap: %v", drop)
				}
				// The whole datagram once more, in order: none of it is taken.
				for _, c := range slice(f, 5, payload, 8, 40, 64) {
					if whole, drop := send(2, c); whole != nil || drop != ip.DropFragmentOverlap {
						t.Fatalf("after the overlap: %v", drop)
					}
				}
				end := r.Deadline()
				if end != mono.Time(60*time.Second) {
					t.Fatalf("deadline %v", time.Duration(end))
				}
				if given, ok := r.Expire(end); !ok || !given.Refused || given.First != nil || given.Is4 != f.us.Is4() {
					t.Fatalf("at its end: %+v, %v", given, ok)
				}
				var whole []byte
				for _, c := range slice(f, 5, payload, 8, 40, 64) {
					whole, _ = send(end, c)
				}
				wantWhole(t, f, whole, payload)
			})
		}
	}
}

func TestExactDuplicateIsIgnored(t *testing.T) {
	for _, f := range families {
		payload := pattern(64)
		r := ip.NewReassembler(ip.ReassemblyLimits{})
		var whole []byte
		for i, c := range slice(f, 5, payload, 8, 40) {
			var drop ip.Drop
			whole, drop = add(t, r, 0, c.packet())
			if drop != ip.DropNone {
				t.Fatal(drop)
			}
			if i == 2 {
				break // whole: another would begin the next
			}
			if _, drop := add(t, r, 0, c.packet()); drop != ip.DropFragmentDuplicate {
				t.Errorf("%s: piece %d again: %v", f.name, i, drop)
			}
		}
		wantWhole(t, f, whole, payload)
	}
}

package stack

import (
	"bytes"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// The queue of datagrams is held to a list of slices, which it may not be told from.
func TestDatagramQueueIsAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q datagrams
		var model [][]byte
		limit := rapid.IntRange(2304, 40000).Draw(t, "limit")
		serial := byte(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "push") {
				serial++
				p := bytes.Repeat([]byte{serial}, rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, 9000)).Draw(t, "size"))
				for i := range p {
					p[i] += byte(i)
				}
				held := 0
				for _, m := range model {
					held += len(m) + datagramOverhead
				}
				fits := len(model) == 0 || held+len(p)+datagramOverhead <= limit
				if got := q.push(datagram{ttl: serial}, p, limit); got != fits {
					t.Fatalf("push of %d bytes to %d of %d: %v", len(p), held, limit, got)
				}
				if fits {
					model = append(model, p)
				}
				continue
			}
			if len(model) == 0 {
				continue
			}
			want := model[0]
			model = model[1:]
			room := rapid.IntRange(0, 2*len(want)).Draw(t, "room")
			b := make([]byte, room)
			cut := rapid.IntRange(0, room).Draw(t, "cut")
			d, n := q.pop(b[:cut], b[cut:])
			if n != min(room, len(want)) || !bytes.Equal(b[:n], want[:n]) || d.size != len(want) {
				t.Fatalf("pop gave %d of %d bytes into %d: %x, want %x", n, d.size, room, b[:n], want)
			}
		}
		if q.len() != len(model) {
			t.Fatalf("%d in the queue, want %d", q.len(), len(model))
		}
	})
}

func TestDatagramQueueTakesOneOfAnySize(t *testing.T) {
	var q datagrams
	if !q.push(datagram{}, make([]byte, 65507), minUDPBuffer) {
		t.Error("an empty queue refused the longest datagram")
	}
	if q.push(datagram{}, nil, minUDPBuffer) {
		t.Error("a queue over its limit took another")
	}
}

// A burst does not hold its memory for ever, and a steady load allocates nothing.
func TestDatagramQueueGivesMemoryBack(t *testing.T) {
	var q datagrams
	if q.bytes != nil {
		t.Fatal("a new queue holds memory")
	}
	big, small := make([]byte, 60000), make([]byte, 100)
	q.push(datagram{}, big, 1<<20)
	q.pop()
	step := func() {
		q.push(datagram{from: netip.AddrPort{}}, small, 1<<20)
		q.pop(small)
	}
	for range calmRounds * 5 {
		step()
	}
	if len(q.bytes) != smallestQueue {
		t.Errorf("%d bytes held for datagrams of 100", len(q.bytes))
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations a datagram", n)
	}
}

package flowtable

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// flow is one entry of the benchmarks: what a stack stores is a pointer to something that
// it then reads, if only to compare the four-tuple.
type flow struct{ local, remote netip.AddrPort }

// flows are n connections to one port of ours, in an order that has nothing to do with
// the one they were made in.
func flows(n int) []*flow {
	local := netip.MustParseAddrPort("10.77.0.2:80")
	all := make([]*flow, n)
	for i := range all {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24|uint32(i>>14))
		all[i] = &flow{local, netip.AddrPortFrom(netip.AddrFrom4(a), uint16(1024+i&(1<<14-1)))}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	rnd.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// BenchmarkLookup is what demultiplexing one segment takes: the key from the four-tuple of
// its packet, the entry under the key, and the first bytes of what is stored there. Every
// lookup hits, and each hits another entry at random. The work is the same for any number of
// entries; what grows is the share of the table and of what it stores that lies in no
// cache of the processor, and so the waiting for memory. The four-tuples asked for are read
// one after the other, which the processor foresees.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			table := New[*flow]()
			all := flows(n)
			for _, f := range all {
				if _, ok := table.Insert(table.Key(f.local, f.remote), Of(f)); !ok {
					b.Fatal("two four-tuples have one key")
				}
			}
			asked := make([]flow, n) // in this order, and no part of what is looked up
			for i, f := range all {
				asked[i] = *f
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				q := &asked[i]
				f, ok := table.Get(table.Key(q.local, q.remote))
				if !ok || f.Value.remote != q.remote {
					b.Fatalf("%v was not found", q.remote)
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

// BenchmarkFloor is what BenchmarkLookup cannot do without: two lines of the processor's cache
// for each four-tuple at random, one of a plain array that says where it is stored and one of
// what is stored. No hash, no lock, no table: what remains is the waiting for memory.
// "parallel" lets the processor read ahead for the next ones; "one by one" makes each wait for
// the one before, as the locks of a lookup and the work on a segment do.
func BenchmarkFloor(b *testing.B) {
	type line struct { // as much of the processor's cache as is fetched at once
		f *flow
		_ [56]byte
	}
	for _, n := range []int{10, 10_000, 1_000_000} {
		all := flows(n)
		place := rand.New(rand.NewPCG(3, 4)).Perm(n)
		table := make([]line, n)
		for i, f := range all {
			table[place[i]].f = f
		}
		b.Run(fmt.Sprintf("parallel/entries=%d", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if i == n {
					i = 0
				}
				if f := table[place[i]].f; f.local.Port() != 80 {
					b.Fatal("not what was stored")
				}
			}
		})
		b.Run(fmt.Sprintf("one by one/entries=%d", n), func(b *testing.B) {
			after := 0 // what was read last, less what it is: nothing, but only then known
			for i := 0; b.Loop(); i++ {
				if i == n {
					i = 0
				}
				after = int(table[place[i]+after].f.local.Port()) - 80
			}
		})
	}
}

// BenchmarkInsertDelete takes one connection in and out again beside n others.
func BenchmarkInsertDelete(b *testing.B) {
	for _, n := range []int{10, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			table := newInts()
			for i := range n {
				table.Insert(key(i), i)
			}
			i := n
			b.ReportAllocs()
			for b.Loop() {
				table.Insert(key(i), i)
				table.Delete(key(i), i)
				i++
			}
		})
	}
}

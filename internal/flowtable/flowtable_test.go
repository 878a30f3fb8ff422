package flowtable

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"
)

// key spreads small numbers like hashes.
func key(i int) Key { return Key(uint64(i) * 0x9e3779b97f4a7c15) }

// ints is a table of numbers, which are their own tags in part.
type ints struct{ *Table[int] }

func newInts() ints { return ints{New[int]()} }

func entry(v int) Entry[int] { return Entry[int]{v, Tag(v) % (MaxTag + 1)} }

func (t ints) Get(k Key) (int, bool) {
	e, ok := t.Table.Get(k)
	if ok && e != entry(e.Value) {
		panic("another tag than was stored")
	}
	return e.Value, ok
}

func (t ints) Insert(k Key, v int) (int, bool) {
	e, ok := t.Table.Insert(k, entry(v))
	return e.Value, ok
}

func (t ints) Delete(k Key, v int)            { t.Table.Delete(k, entry(v)) }
func (t ints) Replace(k Key, v, new int) bool { return t.Table.Replace(k, entry(v), entry(new)) }

func TestKeyTellsEveryPartOfTheFourTuple(t *testing.T) {
	table := newInts()
	a, b := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:81")
	keys := map[Key]string{}
	for name, k := range map[string]Key{
		"a b":         table.Key(a, b),
		"b a":         table.Key(b, a),
		"local port":  table.Key(netip.AddrPortFrom(a.Addr(), 81), b),
		"remote port": table.Key(a, netip.AddrPortFrom(b.Addr(), 80)),
		"local":       table.Key(netip.AddrPortFrom(b.Addr(), 80), b),
		"v6":          table.Key(netip.MustParseAddrPort("[fd00::1]:80"), netip.MustParseAddrPort("[fd00::2]:81")),
	} {
		if other, ok := keys[k]; ok {
			t.Errorf("%q and %q have the same key", name, other)
		}
		keys[k] = name
	}
	mapped := table.Key(netip.MustParseAddrPort("[::ffff:10.0.0.1]:80"), b)
	if mapped != table.Key(a, b) {
		t.Error("a mapped address has another key than its IPv4 address")
	}
	if New[int]().Key(a, b) == table.Key(a, b) {
		t.Error("two tables have the same secret")
	}
}

func TestInsertKeepsTheFirst(t *testing.T) {
	table := newInts()
	if v, ok := table.Insert(key(1), 7); !ok || v != 7 {
		t.Fatalf("first Insert = %d, %v", v, ok)
	}
	if v, ok := table.Insert(key(1), 8); ok || v != 7 {
		t.Fatalf("second Insert = %d, %v; want the first, false", v, ok)
	}
	if v, ok := table.Get(key(1)); !ok || v != 7 {
		t.Fatalf("Get = %d, %v", v, ok)
	}
	if _, ok := table.Get(key(2)); ok {
		t.Fatal("Get found what was never stored")
	}
}

func TestDeleteSparesAnother(t *testing.T) {
	table := newInts()
	table.Insert(key(1), 7)
	table.Delete(key(1), 8)
	table.Delete(key(2), 7)
	if table.Len() != 1 {
		t.Fatalf("Len = %d, want 1", table.Len())
	}
	table.Delete(key(1), 7)
	table.Delete(key(1), 7)
	if _, ok := table.Get(key(1)); ok || table.Len() != 0 {
		t.Fatalf("entry survived Delete, Len = %d", table.Len())
	}
}

func TestReplaceSparesAnother(t *testing.T) {
	table := newInts()
	table.Insert(key(1), 7)
	if table.Replace(key(1), 8, 9) || table.Replace(key(2), 7, 9) {
		t.Fatal("replaced what was not there")
	}
	if v, ok := table.Get(key(1)); !ok || v != 7 {
		t.Fatalf("Get = %d, %v", v, ok)
	}
	if !table.Replace(key(1), 7, 9) || table.Len() != 1 {
		t.Fatal("not replaced")
	}
	if v, ok := table.Get(key(1)); !ok || v != 9 {
		t.Fatalf("Get = %d, %v, want 9", v, ok)
	}
}

func TestShrinkingLosesNothing(t *testing.T) {
	table := newInts()
	const n = 100_000
	for i := range n {
		table.Insert(key(i), i)
	}
	for i := 10; i < n; i++ {
		table.Delete(key(i), i)
	}
	for i := range 10 {
		if v, ok := table.Get(key(i)); !ok || v != i {
			t.Fatalf("Get(%d) = %d, %v", i, v, ok)
		}
	}
	if got := len(table.Entries()); got != 10 || table.Len() != 10 {
		t.Fatalf("%d values, Len %d, want 10", got, table.Len())
	}
	for i := range table.shards {
		if n := len(table.shards[i].all); n > leastSlots {
			t.Fatalf("shard %d still has %d slots", i, n)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	table := newInts()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				k := key(g*2000 + i)
				table.Insert(k, i)
				if v, ok := table.Get(k); !ok || v != i {
					t.Errorf("Get = %d, %v, want %d", v, ok, i)
				}
				table.Delete(k, i)
			}
		})
	}
	wg.Wait()
	if table.Len() != 0 {
		t.Fatalf("%d entries left", table.Len())
	}
}

// TestRandomUseAgreesWithAMap: keys of few values in their upper bits crowd into few homes and
// around the end of a shard, where runs of entries join, wrap and close up again.
func TestRandomUseAgreesWithAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		table, model := newInts(), map[Key]int{}
		most := 1 + rnd.IntN(400)
		for step := range 4000 {
			k := Key(rnd.IntN(most))<<shardBits | Key(rnd.IntN(2))
			if rnd.IntN(2) == 0 {
				k |= 0xffff << 48
			}
			switch have, ok := model[k]; {
			case rnd.IntN(2) == 0:
				v, fresh := table.Insert(k, step)
				if fresh == ok || ok && v != have || !ok && v != step {
					t.Fatalf("Insert(%#x) = %d, %v with %d, %v there", k, v, fresh, have, ok)
				}
				model[k] = v
			case rnd.IntN(4) == 0:
				if done := table.Replace(k, have, step); done != ok {
					t.Fatalf("Replace(%#x, %d) = %v with %d, %v there", k, have, done, have, ok)
				}
				if ok {
					model[k] = step
				}
			default:
				table.Delete(k, have)
				delete(model, k)
			}
			k = Key(rnd.IntN(most)) << shardBits
			if v, ok := table.Get(k); v != model[k] || ok != has(model, k) {
				t.Fatalf("Get(%#x) = %d, %v, want %d", k, v, ok, model[k])
			}
			if table.Len() != len(model) {
				t.Fatalf("Len = %d, want %d", table.Len(), len(model))
			}
		}
		for _, e := range table.Entries() {
			v := e.Value
			if e != entry(v) {
				t.Fatalf("Entries has %v", e)
			}
			found := false
			for k, m := range model {
				if m == v {
					delete(model, k)
					found = true
					break
				}
			}
			if !found {
				t.Fatalf("Entries has %d, which is not in the table", v)
			}
		}
		if len(model) != 0 {
			t.Fatalf("Entries lacks %v", model)
		}
	}
}

func has(m map[Key]int, k Key) bool { _, ok := m[k]; return ok }

// TestMemoryOfAnEntry: a pointer and its key take 16 bytes; the free slots beside them, which
// a search needs, at most two thirds of that.
func TestMemoryOfAnEntry(t *testing.T) {
	var values [1]int
	for _, n := range []int{20_000, 23_000, 27_000, 31_000, 36_000, 100_000} {
		// So many that what others allocate or let go meanwhile is nothing beside them.
		tables := make([]*Table[*int], 1_000_000/n)
		before := heap()
		for i := range tables {
			tables[i] = New[*int]()
			for j := range n {
				tables[i].Insert(key(j), Of(&values[0]))
			}
		}
		each := (float64(heap()) - float64(before)) / float64(len(tables)*n)
		t.Logf("%d entries: %.1f bytes each", n, each)
		if each > 16*5/3. {
			t.Errorf("%d entries take %.1f bytes each, want at most 26.7", n, each)
		}
		runtime.KeepAlive(tables)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

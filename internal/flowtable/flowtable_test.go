package flowtable

import (
	"net/netip"
	"sync"
	"testing"
)

// key spreads small numbers like hashes.
func key(i int) Key { return Key(uint64(i) * 0x9e3779b97f4a7c15) }

func TestKeyTellsEveryPartOfTheFourTuple(t *testing.T) {
	table := New[int]()
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
	table := New[int]()
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
	table := New[int]()
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

func TestShrinkingLosesNothing(t *testing.T) {
	table := New[int]()
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
	if got := len(table.Values()); got != 10 || table.Len() != 10 {
		t.Fatalf("%d values, Len %d, want 10", got, table.Len())
	}
	for i := range table.shards {
		if peak := table.shards[i].peak; peak > shrinkFrom {
			t.Fatalf("shard %d still remembers %d entries", i, peak)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	table := New[int]()
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

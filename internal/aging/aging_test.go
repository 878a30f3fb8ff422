package aging

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/a644562b/portico/internal/mono"
)

func want(t *testing.T, table *Table[string, int], now mono.Time, k string, v int, there bool) {
	t.Helper()
	if got, ok := table.Get(now, k); ok != there || got != v {
		t.Errorf("at %d Get(%q) = %d, %v; want %d, %v", now, k, got, ok, v, there)
	}
}

func TestEntryEndsALifetimeAfterItWasLastSet(t *testing.T) {
	table := New[string, int](10, 100)
	want(t, table, 0, "a", 0, false)
	table.Set(5, "a", 1)
	want(t, table, 14, "a", 1, true)
	table.Set(14, "a", 2)
	want(t, table, 23, "a", 2, true)
	want(t, table, 24, "a", 0, false)
}

func TestOldestMakesWay(t *testing.T) {
	table := New[string, int](time.Hour, 2)
	table.Set(1, "a", 1)
	table.Set(2, "b", 2)
	table.Set(3, "a", 3) // b is the oldest now
	table.Set(4, "c", 4)
	want(t, table, 5, "b", 0, false)
	want(t, table, 5, "a", 3, true)
	want(t, table, 5, "c", 4, true)
	if table.Len() != 2 {
		t.Errorf("%d entries", table.Len())
	}
}

func TestDelete(t *testing.T) {
	table := New[string, int](time.Hour, 2)
	table.Set(1, "a", 1)
	table.Delete("a")
	table.Delete("b")
	want(t, table, 1, "a", 0, false)
	if table.Len() != 0 {
		t.Errorf("%d entries", table.Len())
	}
}

// Against the plainest model: a list of what was set, youngest last.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type item struct {
			k, v int
			set  mono.Time
		}
		const lifetime, room = 20, 4
		table := New[int, int](lifetime, room)
		var model []item
		remove := func(k int) {
			for i, m := range model {
				if m.k == k {
					model = append(model[:i], model[i+1:]...)
					return
				}
			}
		}
		var now mono.Time
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += mono.Time(rapid.IntRange(0, 9).Draw(t, "pause"))
			k, v := rapid.IntRange(0, 7).Draw(t, "key"), rapid.Int().Draw(t, "value")
			if rapid.Bool().Draw(t, "delete") {
				table.Delete(k)
				remove(k)
			} else {
				table.Set(now, k, v)
				remove(k)
				for len(model) > 0 && model[0].set+lifetime <= now {
					model = model[1:]
				}
				if len(model) == room {
					model = model[1:]
				}
				model = append(model, item{k, v, now})
			}
			for k := range 8 {
				wantV, wantOK := 0, false
				for _, m := range model {
					if m.k == k && m.set+lifetime > now {
						wantV, wantOK = m.v, true
					}
				}
				if got, ok := table.Get(now, k); got != wantV || ok != wantOK {
					t.Fatalf("Get(%d) = %d, %v; want %d, %v", k, got, ok, wantV, wantOK)
				}
			}
			if table.Len() > room {
				t.Fatalf("%d entries", table.Len())
			}
		}
	})
}

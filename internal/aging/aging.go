// Package aging is a map that forgets: an entry ends a fixed time after it was last
// set, and where the map is full the entry that was set longest ago makes way for a new
// one. What is learnt from strangers is kept in it, so that they cannot make a host grow
// without bound. Time is an argument, and nothing here locks.
package aging

import (
	"time"

	"github.com/a644562b/portico/internal/mono"
)

// Table is a map from K to V whose entries age. Make it by New.
type Table[K comparable, V any] struct {
	lifetime time.Duration
	max      int
	entries  map[K]*entry[K, V]
	// ends is the ring of all entries by age: ends.next was set longest ago.
	ends entry[K, V]
}

type entry[K comparable, V any] struct {
	key        K
	value      V
	set        mono.Time
	prev, next *entry[K, V]
}

// New returns an empty table of at most max entries, at least one.
func New[K comparable, V any](lifetime time.Duration, max int) *Table[K, V] {
	t := &Table[K, V]{lifetime: lifetime, max: max, entries: make(map[K]*entry[K, V])}
	t.ends.prev, t.ends.next = &t.ends, &t.ends
	return t
}

// Len is the number of entries, those included that have aged and that nobody asked
// for since.
func (t *Table[K, V]) Len() int { return len(t.entries) }

// Get returns what was set for k no longer than a lifetime ago.
func (t *Table[K, V]) Get(now mono.Time, k K) (v V, ok bool) {
	e := t.entries[k]
	if e == nil || e.set.Add(t.lifetime) <= now {
		return v, false
	}
	return e.value, true
}

// Set sets the value for k, whose lifetime begins now. now does not go backwards.
func (t *Table[K, V]) Set(now mono.Time, k K, v V) {
	e := t.entries[k]
	if e == nil {
		t.makeRoom(now)
		e = &entry[K, V]{key: k}
		t.entries[k] = e
	} else {
		e.unlink()
	}
	e.value, e.set = v, now
	e.prev, e.next = t.ends.prev, &t.ends
	e.prev.next, e.next.prev = e, e
}

// Delete forgets k.
func (t *Table[K, V]) Delete(k K) {
	if e := t.entries[k]; e != nil {
		e.unlink()
		delete(t.entries, k)
	}
}

// makeRoom forgets what has aged, and the oldest entry if the table is full all the same.
func (t *Table[K, V]) makeRoom(now mono.Time) {
	for e := t.ends.next; e != &t.ends; e = t.ends.next {
		if e.set.Add(t.lifetime) > now && len(t.entries) < t.max {
			return
		}
		t.Delete(e.key)
	}
}

func (e *entry[K, V]) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

// Package flowtable finds a connection by its four-tuple: a hash table cut into shards, each
// with its own lock. Its keys are hashes of four-tuples under a secret, so that looking up
// costs the same for one connection and for a million and nobody outside can choose addresses
// that collide. The package knows nothing of what it stores.
package flowtable

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Key stands for a four-tuple in one table. It is a hash of 64 bits: whoever finds a value
// by it compares the four-tuple itself, and where two four-tuples have one key the second
// cannot be inserted. A pair of them meets that fate once in 2^64; a table of a million
// connections refuses one in 10^13.
type Key uint64

// tuple is a four-tuple without pointers and padding.
type tuple struct {
	local, remote         [16]byte
	localPort, remotePort uint16
}

// Key returns the key of a four-tuple. An IPv4 address and the same address mapped into
// IPv6 give the same key; zones are ignored.
func (t *Table[V]) Key(local, remote netip.AddrPort) Key {
	return Key(maphash.Comparable(t.seed, tuple{
		local: local.Addr().As16(), localPort: local.Port(),
		remote: remote.Addr().As16(), remotePort: remote.Port(),
	}))
}

// Entry is what is stored under a key: a value, and a tag of the caller's that takes no memory
// of its own. It may say what the value points to.
type Entry[V comparable] struct {
	Value V
	Tag   Tag
}

// Of is an entry whose tag says nothing.
func Of[V comparable](v V) Entry[V] { return Entry[V]{Value: v} }

// Tag is at most MaxTag.
type Tag uint8

// MaxTag is one less than fits the bits of a key that all keys of a shard have in common.
const MaxTag Tag = shards - 2

const (
	shardBits = 6
	shards    = 1 << shardBits
)

// Table is safe for use by any number of goroutines. Make it by New.
type Table[V comparable] struct {
	seed   maphash.Seed
	count  atomic.Int64
	shards [shards]shard[V]
}

type shard[V comparable] struct {
	mu sync.RWMutex
	slots[V]
	_ [8]byte // to a line of the processor's cache: no two locks share one
}

// New returns an empty table with a fresh seed.
func New[V comparable]() *Table[V] {
	return &Table[V]{seed: maphash.MakeSeed()}
}

func (t *Table[V]) shard(k Key) *shard[V] { return &t.shards[k%shards] }

// Get returns what is stored under k.
func (t *Table[V]) Get(k Key) (e Entry[V], ok bool) {
	s := t.shard(k)
	s.mu.RLock()
	if i, found := s.find(k); found {
		e, ok = s.all[i].entry(), true
	}
	s.mu.RUnlock()
	return e, ok
}

// Insert stores e under k unless something is there already; then it returns
// that and false.
func (t *Table[V]) Insert(k Key, e Entry[V]) (Entry[V], bool) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, found := s.find(k); found {
		return s.all[i].entry(), false
	}
	s.add(k, e)
	t.count.Add(1)
	return e, true
}

// Replace stores e under k instead of old. It is false, and does nothing, when something
// else is there.
func (t *Table[V]) Replace(k Key, old, e Entry[V]) bool {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.find(k)
	if !found || s.all[i].entry() != old {
		return false
	}
	s.all[i] = slotOf(k, e)
	return true
}

// Delete removes e from under k. It does nothing when something else is there.
func (t *Table[V]) Delete(k Key, e Entry[V]) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, found := s.find(k); found && s.all[i].entry() == e {
		s.remove(i)
		t.count.Add(-1)
	}
}

// Len is the number of entries.
func (t *Table[V]) Len() int { return int(t.count.Load()) }

// Entries returns what is stored, in no order: a snapshot of each shard in turn,
// taken without stopping the others.
func (t *Table[V]) Entries() []Entry[V] {
	all := make([]Entry[V], 0, t.Len())
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		for j := range s.all {
			if s.all[j].mark != none {
				all = append(all, s.all[j].entry())
			}
		}
		s.mu.RUnlock()
	}
	return all
}

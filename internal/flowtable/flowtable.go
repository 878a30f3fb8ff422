// Package flowtable finds a connection by its four-tuple: a map cut into shards, each with
// its own lock. Its keys are hashes of four-tuples under a secret, so that looking up costs
// the same for one connection and for a million and nobody outside can choose addresses that
// collide. The package knows nothing of what it stores.
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

const (
	shards = 64
	// A shard whose map once held more than shrinkFrom entries is rebuilt when an
	// eighth of its peak is left: a map of Go never gives memory back by itself.
	shrinkFrom = 256
	shrinkBy   = 8
)

// Table is safe for use by any number of goroutines. Make it by New.
type Table[V comparable] struct {
	seed   maphash.Seed
	count  atomic.Int64
	shards [shards]shard[V]
}

type shard[V comparable] struct {
	mu   sync.RWMutex
	m    map[Key]V
	peak int // the most entries since m was made
}

// New returns an empty table with a fresh seed.
func New[V comparable]() *Table[V] {
	return &Table[V]{seed: maphash.MakeSeed()}
}

func (t *Table[V]) shard(k Key) *shard[V] { return &t.shards[k%shards] }

// Get returns what is stored under k.
func (t *Table[V]) Get(k Key) (V, bool) {
	s := t.shard(k)
	s.mu.RLock()
	v, ok := s.m[k]
	s.mu.RUnlock()
	return v, ok
}

// Insert stores v under k unless something is there already; then it returns
// that and false.
func (t *Table[V]) Insert(k Key, v V) (V, bool) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.m[k]; ok {
		return old, false
	}
	if s.m == nil {
		s.m = make(map[Key]V)
	}
	s.m[k] = v
	s.peak = max(s.peak, len(s.m))
	t.count.Add(1)
	return v, true
}

// Delete removes v from under k. It does nothing when something else is there.
func (t *Table[V]) Delete(k Key, v V) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.m[k]; !ok || old != v {
		return
	}
	delete(s.m, k)
	t.count.Add(-1)
	s.shrink()
}

// shrink copies the few entries left of many into a smaller map.
func (s *shard[V]) shrink() {
	if s.peak <= shrinkFrom || len(s.m) > s.peak/shrinkBy {
		return
	}
	m := make(map[Key]V, len(s.m))
	for k, v := range s.m {
		m[k] = v
	}
	s.m, s.peak = m, len(m)
}

// Len is the number of entries.
func (t *Table[V]) Len() int { return int(t.count.Load()) }

// Values returns what is stored, in no order: a snapshot of each shard in turn,
// taken without stopping the others.
func (t *Table[V]) Values() []V {
	all := make([]V, 0, t.Len())
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		for _, v := range s.m {
			all = append(all, v)
		}
		s.mu.RUnlock()
	}
	return all
}

package buffer

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Budget is how much memory the connections of a stack may hold together. It is shared
// and safe for concurrent use. A nil Budget has no limit.
type Budget struct {
	limit int64
	used  atomic.Int64

	mu       sync.Mutex // held to change watchers
	watchers atomic.Pointer[[]*func()]
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Add counts n bytes more, or less when n is negative.
func (b *Budget) Add(n int) {
	if b == nil {
		return
	}
	if used := b.used.Add(int64(n)); n >= 0 || used >= b.limit {
		return
	}
	if w := b.watchers.Load(); w != nil {
		for _, freed := range *w {
			(*freed)()
		}
	}
}

// Watch has freed called whenever bytes are given back and the budget is not spent, until
// stop is called. It is called by whoever gives them back, often and at once: it must
// neither block nor use the budget.
func (b *Budget) Watch(freed func()) (stop func()) {
	if b == nil {
		return func() {}
	}
	watcher := &freed
	b.change(func(list []*func()) []*func() { return append(list, watcher) })
	return func() {
		b.change(func(list []*func()) []*func() {
			return slices.DeleteFunc(list, func(w *func()) bool { return w == watcher })
		})
	}
}

// change replaces the watchers by what edit makes of a copy of them.
func (b *Budget) change(edit func([]*func()) []*func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*func()
	if w := b.watchers.Load(); w != nil {
		list = slices.Clone(*w)
	}
	list = edit(list)
	b.watchers.Store(&list)
}

// Used is how many bytes are held.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// Limit is the budget in bytes, 0 when there is none.
func (b *Budget) Limit() int64 {
	if b == nil {
		return 0
	}
	return b.limit
}

// Short reports whether three quarters are held: nothing should grow.
func (b *Budget) Short() bool { return b != nil && b.used.Load() > b.limit/4*3 }

// Spent reports whether all of it is held: what can be refused is refused.
func (b *Budget) Spent() bool { return b != nil && b.used.Load() >= b.limit }

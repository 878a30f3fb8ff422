package buffer

import "sync/atomic"

// Budget is how much memory the connections of a stack may hold together. It is shared
// and safe for concurrent use. A nil Budget has no limit.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Add counts n bytes more, or less when n is negative.
func (b *Budget) Add(n int) {
	if b != nil {
		b.used.Add(int64(n))
	}
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

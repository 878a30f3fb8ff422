// Package pool lends values that are needed only for a while, so that what needs them
// again and again takes no memory from the collector, and what needs them no more holds
// none. It is safe for use by any number of goroutines.
package pool

import "sync"

// Pool lends values of one type. The zero value is ready.
type Pool[T any] struct{ free sync.Pool }

// Get returns a value: a zero one, or what was given to Put.
func (p *Pool[T]) Get() *T {
	if v, ok := p.free.Get().(*T); ok {
		return v
	}
	return new(T)
}

// Put gives a value back, in the state in which the next user is to find it. The caller
// must not use it any more.
func (p *Pool[T]) Put(v *T) { p.free.Put(v) }

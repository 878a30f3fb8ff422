package node

import (
	"context"

	"github.com/a644562b/portico/cmd/portico/internal/record"
)

// Watch tells of changes in a book without holding up whoever makes them.
type Watch struct {
	changed chan struct{} // holds one: something has changed since
}

// NewWatch returns a Watch; its method Changed is for Config.OnChange.
func NewWatch() *Watch { return &Watch{changed: make(chan struct{}, 1)} }

// Changed notes a change.
func (w *Watch) Changed() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Settled waits until there are at least want recordings and every connection of the book
// is settled. It returns false when ctx ends first.
func (w *Watch) Settled(ctx context.Context, book *record.Book, want int) bool {
	for {
		if list := book.List(); len(list) >= want && settled(list) {
			return true
		}
		select {
		case <-w.changed:
		case <-ctx.Done():
			return false
		}
	}
}

func settled(list []record.Summary) bool {
	for _, s := range list {
		if !s.Settled {
			return false
		}
	}
	return true
}

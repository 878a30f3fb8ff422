package pipe

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/a644562b/portico/link"
)

// TestReadersTakeTurns: the one that waits does so without the lock, has it when it returns
// frames, and goes on waiting when somebody else has had them.
func TestReadersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := New(Config{})
		defer a.Close()
		q := b.Queues()[0].(link.SharedQueue)
		room := func() []link.Frame { return []link.Frame{{Data: make([]byte, link.MaxFrame)}} }
		send := func(v byte) {
			t.Helper()
			if _, err := a.Queues()[0].Write([]link.Frame{{Data: []byte{v}}}); err != nil {
				t.Fatal(err)
			}
		}
		var turn sync.Mutex
		read := make(chan byte)
		go func() {
			for {
				frames := room()
				n, err := q.ReadShared(&turn, frames)
				if err != nil {
					if !turn.TryLock() {
						t.Error("locked after an error")
					}
					close(read)
					return
				}
				if n != 1 || turn.TryLock() {
					t.Errorf("%d frames, or the lock is free", n)
				}
				turn.Unlock()
				read <- frames[0].Data[0]
			}
		}()
		synctest.Wait()
		turn.Lock() // as ReadShared waits
		if n := q.Poll(room()); n != 0 {
			t.Errorf("Poll = %d, there is nothing", n)
		}
		send(1)
		frames := room()
		if n := q.Poll(frames); n != 1 || frames[0].Data[0] != 1 {
			t.Errorf("Poll = %d, %v", n, frames[0].Data)
		}
		turn.Unlock()
		send(2)
		if got := <-read; got != 2 {
			t.Errorf("ReadShared: frame %d, want 2", got)
		}
		b.Close()
		if v, ok := <-read; ok {
			t.Errorf("frame %d after Close", v)
		}
	})
}

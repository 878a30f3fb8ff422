package stack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// result is what a Read has returned.
type result struct {
	text string
	err  error
}

// reading begins a Read of at most n bytes and returns where its result will be. The Read
// waits when it does return.
func reading(c *Conn, n int) chan result {
	done := make(chan result, 1)
	go func() {
		b := make([]byte, n)
		n, err := c.Read(b)
		done <- result{string(b[:n]), err}
	}()
	synctest.Wait()
	return done
}

// wantResult verifies that a Read has returned just this.
func wantResult(t *testing.T, done chan result, text string, err error) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-done:
		if r.text != text || !errors.Is(r.err, err) {
			t.Errorf("Read = %q, %v, want %q, %v", r.text, r.err, text, err)
		}
	default:
		t.Errorf("Read waits, want %q, %v", text, err)
	}
}

// TestReadThatGaveUpLeavesItsMemoryAlone: it is the caller's again, and what comes later is
// there for the next Read.
func TestReadThatGaveUpLeavesItsMemoryAlone(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		b := make([]byte, 8)
		c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		mustWrite(t, s, "later")
		synctest.Wait()
		if !slices.Equal(b, make([]byte, 8)) {
			t.Errorf("%q was put into the memory of a Read that had ended", b)
		}
		c.SetReadDeadline(time.Time{})
		wantRead(t, c, "later")
	})
}

// TestReadersThatWaitGetEachByteOnce: one message ends one Read, and what does not fit into the
// memory of one is for another. Which of them is first is not said.
func TestReadersThatWaitGetEachByteOnce(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		a, b := reading(c, 4), reading(c, 4)
		mustWrite(t, s, "one")
		synctest.Wait()
		if len(a)+len(b) != 1 {
			t.Fatalf("one message has ended %d Reads", len(a)+len(b))
		}
		if len(a) == 0 {
			a, b = b, a
		}
		wantResult(t, a, "one", nil)
		mustWrite(t, s, "two")
		wantResult(t, b, "two", nil)

		a, b = reading(c, 4), reading(c, 4)
		mustWrite(t, s, "hello")
		synctest.Wait()
		if len(a)+len(b) != 2 {
			t.Fatalf("what is for two Reads has ended %d", len(a)+len(b))
		}
		first, second := <-a, <-b
		if len(first.text) < len(second.text) {
			first, second = second, first
		}
		if want := (result{"hell", nil}); first != want {
			t.Errorf("one Read = %v, want %v", first, want)
		}
		if want := (result{"o", nil}); second != want {
			t.Errorf("the other Read = %v, want %v", second, want)
		}
	})
}

// TestReadThatWaitedAcknowledges: as one does that found its data there. Where data goes one
// way only the ACK of a small segment waits for nothing but the Read.
func TestReadThatWaitedAcknowledges(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		r, c := w.served(client4, server4, 1000)
		start := time.Now()
		for seq := 1; seq < 200; seq += 5 { // beyond the quick ACKs of the beginning
			done := reading(c, 100)
			r.say(fmt.Sprintf("PA %d 1", seq), "hello")
			wantResult(t, done, "hello", nil)
			r.hear(fmt.Sprintf("A 1 %d", seq+5))
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("ACKs waited for %v", d)
		}
	})
}

// TestEndOfTheStreamFollowsItsData: both came in one segment.
func TestEndOfTheStreamFollowsItsData(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		r, c := w.served(client4, server4, 1000)
		done := reading(c, 100)
		r.say("FA 1 1", "bye")
		wantResult(t, done, "bye", nil)
		wantResult(t, reading(c, 100), "", io.EOF)
	})
}

package pipe

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/a644562b/portico/link"
)

// expectEvents wants exactly kinds to wait on d's events.
func expectEvents(t *testing.T, d *Device, kinds ...link.EventKind) {
	t.Helper()
	for _, k := range kinds {
		select {
		case e, ok := <-d.Events():
			if !ok || e.Kind != k {
				t.Fatalf("event %v, %v; want %v", e, ok, link.Event{Kind: k})
			}
		default:
			t.Fatalf("no event, want %v", link.Event{Kind: k})
		}
	}
	select {
	case e, ok := <-d.Events():
		if ok {
			t.Fatalf("event %v, want none", e)
		}
	default:
	}
}

func TestCloseEndsOwnReadsAndTellsThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := New(Config{})
		expectEvents(t, a, link.EventUp)
		expectEvents(t, b, link.EventUp)
		ended := make(chan error)
		go func() {
			_, err := a.Queues()[0].Read(room(1))
			ended <- err
		}()
		synctest.Wait()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, link.ErrClosed) {
			t.Errorf("Read ended with %v", err)
		}
		expectEvents(t, b, link.EventGone)
		if _, ok := <-a.Events(); ok {
			t.Error("an event on a closed device")
		}
		expectNothing(t, b) // the peer is not closed
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestClosedDeviceRefusesEverything(t *testing.T) {
	a, _ := New(Config{})
	write(t, a, "x")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); !errors.Is(err, link.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if n, err := a.Queues()[0].Write([]link.Frame{{Data: []byte("x")}}); n != 0 || !errors.Is(err, link.ErrClosed) {
		t.Errorf("Write: %d, %v", n, err)
	}
	if n, err := a.Queues()[0].Read(room(1)); n != 0 || !errors.Is(err, link.ErrClosed) {
		t.Errorf("Read: %d, %v", n, err)
	}
}

func TestWhatWasOnItsWayWhenTheWriterClosedStillArrives(t *testing.T) {
	a, b := New(Config{})
	write(t, a, "last words")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, b, "last words")
}

func TestWritesToAClosedPeerAreDropped(t *testing.T) {
	a, b := New(Config{})
	write(t, a, "unread")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, a, "one", "two")
	if a.Drops() != 3 {
		t.Errorf("%d drops, want 3: one unread, two after", a.Drops())
	}
	if n := a.out[0].bytes.Len(); n != 0 {
		t.Errorf("%d bytes kept for a closed reader", n)
	}
}

func TestSlowReaderOfEventsLosesTheOldest(t *testing.T) {
	a, _ := New(Config{})
	for mtu := range eventsKept + 2 {
		a.deliver(link.Event{Kind: link.EventMTU, MTU: mtu})
	}
	for want := 2; want < eventsKept+2; want++ {
		if e := <-a.Events(); e.MTU != want || e.Kind != link.EventMTU {
			t.Fatalf("event %v, want mtu %d", e, want)
		}
	}
}

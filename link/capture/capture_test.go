package capture

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
	"pgregory.net/rapid"
)

var _ link.Device = (*Device)(nil)

func TestBothDirectionsAreRecordedInOrderWithTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := newTapped(t, 1, Config{})
		w.send(0, "one", "two")
		<-time.After(1500 * time.Microsecond)
		w.sendBack(0, "three")
		w.receive(0)
		<-time.After(time.Nanosecond)
		w.send(0, "four")
		w.close()
		w.expect(`out "one" ()`, `out "two" ()`, `in "three" ()`, `out "four" ()`)
		for i, want := range []time.Duration{0, 0, 1500 * time.Microsecond, 1500001} {
			if e := entries(t, w.file.bytes())[i]; e.at.Sub(start) != want {
				t.Errorf("packet %d at %v, want %v", i, e.at.Sub(start), want)
			}
		}
	})
}

func TestTrafficIsNotChanged(t *testing.T) {
	w := newTapped(t, 1, Config{})
	defer w.close()
	if w.dev.Name() != "tap0" || w.dev.MTU() != 1500 || w.dev.Caps() != caps || len(w.dev.Queues()) != 1 {
		t.Errorf("the device shows %q, %d, %+v", w.dev.Name(), w.dev.MTU(), w.dev.Caps())
	}
	f := offloaded(t, true, false, 1000, make([]byte, 3000))
	before := f.AppendTo(nil)
	if n, err := w.dev.Queues()[0].Write([]link.Frame{f}); n != 1 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	got := []link.Frame{{Data: make([]byte, link.MaxFrame)}}
	if n, err := w.peer.Queues()[0].Read(got); n != 1 || err != nil {
		t.Fatalf("Read: %d, %v", n, err)
	}
	if got[0].Offload != f.Offload || !bytes.Equal(got[0].Data, before) || !bytes.Equal(f.AppendTo(nil), before) {
		t.Error("the super-segment was changed on its way out")
	}
	if n, err := w.peer.Queues()[0].Write(got); n != 1 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	got = []link.Frame{{Data: make([]byte, link.MaxFrame)}}
	if n, err := w.dev.Queues()[0].Read(got); n != 1 || err != nil {
		t.Fatalf("Read: %d, %v", n, err)
	}
	if got[0].Offload != f.Offload || !bytes.Equal(got[0].Data, before) {
		t.Error("the super-segment was changed on its way in")
	}
	if n := len(entries(t, w.file.bytes())); n != 6 {
		t.Errorf("%d packets in the file, want 6", n)
	}
}

func TestFileHasThePacketsThatASuperSegmentStandsFor(t *testing.T) {
	w := newTapped(t, 1, Config{})
	frames := []link.Frame{
		offloaded(t, true, false, 1000, []byte(strings.Repeat("a", 2500))),
		offloaded(t, false, false, 1000, []byte(strings.Repeat("b", 2500))),
		offloaded(t, true, true, 1000, []byte(strings.Repeat("c", 2500))),
		offloaded(t, true, false, 0, []byte("d")),
	}
	if n, err := w.dev.Queues()[0].Write(frames); n != 4 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	w.close()
	var want []string
	for i := range frames {
		err := gso.Split(&frames[i], func(p *link.Frame) { want = append(want, string(p.Data)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	got := entries(t, w.file.bytes())
	if len(got) != len(want) || len(want) != 10 {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].data != want[i] {
			t.Errorf("packet %d is not what gso.Split makes of it", i)
		}
	}
}

func TestSuperSegmentThatCannotBeCutIsRecordedWhole(t *testing.T) {
	w := newTapped(t, 1, Config{})
	f := link.Frame{Data: []byte("no "), Payload: [][]byte{[]byte("IP")}, Offload: link.Offload{GSO: link.GSOTCP4, GSOSize: 2}}
	if n, err := w.dev.Queues()[0].Write([]link.Frame{f}); n != 1 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	w.close()
	w.expect(`out "no IP" ()`)
}

func TestSnapLenCutsWhatIsKept(t *testing.T) {
	var seen string
	w := newTapped(t, 1, Config{SnapLen: 5, Comment: func(_ Direction, p []byte) string { seen = string(p); return "" }})
	w.send(0, "long packet")
	if seen != "long packet" {
		t.Errorf("the comment saw %q", seen)
	}
	w.send(0, "short", "tiny")
	w.close()
	w.expect(`out "long " ()`, `out "short" ()`, `out "tiny" ()`)
	if e := entries(t, w.file.bytes())[0]; e.length != len("long packet") {
		t.Errorf("original length %d, want %d", e.length, len("long packet"))
	}
}

// stateComment comments with the value of a variable that stands for the state of
// a connection.
func stateComment(state *string) func(Direction, []byte) string {
	return func(Direction, []byte) string { return *state }
}

func TestCommentSeesWhatCameOfThePacket(t *testing.T) {
	state := "LISTEN"
	w := newTapped(t, 1, Config{Comment: stateComment(&state)})
	w.sendBack(0, "SYN", "SYN again")
	w.receive(0)
	w.expect()
	state = "SYN-RECEIVED"
	w.send(0, "SYN,ACK") // within the batch: waits with it
	w.expect()
	state = "ESTABLISHED" // decided still within the batch
	w.sendBack(0, "data")
	w.receive(0) // ends the first batch and starts the next
	state = "later"
	w.expect(`in "SYN" (ESTABLISHED)`, `in "SYN again" (ESTABLISHED)`, `out "SYN,ACK" (ESTABLISHED)`)
	w.close()
	w.expect(`in "SYN" (ESTABLISHED)`, `in "SYN again" (ESTABLISHED)`, `out "SYN,ACK" (ESTABLISHED)`, `in "data" (later)`)
}

func TestWriteOutsideOfABatchIsInTheFileAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := "SYN-SENT"
		w := newTapped(t, 1, Config{Comment: stateComment(&state)})
		w.send(0, "SYN") // before the first Read
		w.expect(`out "SYN" (SYN-SENT)`)
		done := make(chan struct{})
		go func() { // a reader that waits has no batch under way
			defer close(done)
			w.receive(0)
		}()
		synctest.Wait()
		state = "FIN-WAIT-1"
		w.send(0, "FIN")
		w.expect(`out "SYN" (SYN-SENT)`, `out "FIN" (FIN-WAIT-1)`)
		w.sendBack(0, "ACK")
		<-done
		w.close()
	})
}

// watched is a device that calls onWrite before it writes.
type watched struct {
	link.Device
	onWrite func()
}

func (d *watched) Queues() []link.Queue { return []link.Queue{watchedQueue{d.Device.Queues()[0], d}} }

type watchedQueue struct {
	link.Queue
	dev *watched
}

func (q watchedQueue) Write(frames []link.Frame) (int, error) {
	q.dev.onWrite()
	return q.Queue.Write(frames)
}

func TestPacketIsRecordedBeforeItIsSent(t *testing.T) {
	a, _ := pipe.New(pipe.Config{})
	under, file, recorded := &watched{Device: a}, &sink{}, -1
	under.onWrite = func() { recorded = len(entries(t, file.bytes())) }
	dev, err := Wrap(under, Config{Writer: file})
	if err != nil {
		t.Fatal(err)
	}
	writeTo(t, dev, 0, []string{"question"})
	if recorded != 1 {
		t.Errorf("%d packets were in the file when the device got it, want 1", recorded)
	}
}

func TestPendingPacketsKeepTheirTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := newTapped(t, 1, Config{Comment: func(Direction, []byte) string { return "c" }})
		w.sendBack(0, "in")
		w.receive(0)
		<-time.After(time.Second)
		w.send(0, "out")
		<-time.After(time.Second)
		w.close()
		got := entries(t, w.file.bytes())
		if len(got) != 2 || got[0].at.Sub(start) != 0 || got[1].at.Sub(start) != time.Second {
			t.Errorf("%v", got)
		}
	})
}

func TestWithoutCommentsNothingWaits(t *testing.T) {
	w := newTapped(t, 1, Config{})
	w.sendBack(0, "in")
	w.receive(0)
	w.expect(`in "in" ()`)
	w.send(0, "out")
	w.expect(`in "in" ()`, `out "out" ()`)
	w.close()
}

func TestQueuesShareOneOrder(t *testing.T) {
	state := "before"
	w := newTapped(t, 2, Config{Comment: stateComment(&state)})
	w.sendBack(0, "first")
	w.sendBack(1, "second")
	w.receive(0)
	w.receive(1)
	w.send(1, "third")
	state = "one settled"
	w.sendBack(1, "fourth")
	w.receive(1) // settles what queue 1 has, but "first" is still being dealt with
	w.expect()
	state = "both settled"
	w.sendBack(0, "fifth")
	w.receive(0)
	w.expect(`in "first" (both settled)`, `in "second" (both settled)`, `out "third" (both settled)`)
	w.close()
	if n := len(entries(t, w.file.bytes())); n != 5 {
		t.Errorf("%d packets, want 5", n)
	}
}

func TestPendingIsBounded(t *testing.T) {
	w := newTapped(t, 1, Config{Comment: func(Direction, []byte) string { return "" }})
	w.dev.tap.limit = 10
	w.sendBack(0, "1234")
	w.receive(0)
	w.send(0, "5678")
	w.expect()
	w.send(0, "90a")
	w.expect(`in "1234" ()`)
	w.close()
	w.expect(`in "1234" ()`, `out "5678" ()`, `out "90a" ()`)
}

func TestCommentsOfAnyTextAndLength(t *testing.T) {
	long := strings.Repeat("漢", 30000) // 90,000 bytes
	comments := []string{"", "a", "ab", "abc", "abcd", "ESTABLISHED → FIN-WAIT-1", "two\nlines", long}
	w := newTapped(t, 1, Config{Comment: func(_ Direction, p []byte) string { return comments[p[0]] }})
	for i := range comments {
		w.send(0, string([]byte{byte(i)}))
	}
	w.close()
	for i, e := range entries(t, w.file.bytes()) {
		want := comments[i]
		if want == long {
			if !strings.HasPrefix(long, e.comment) || len(e.comment) != 65535 || !utf8.ValidString(e.comment) {
				t.Errorf("the long comment has %d bytes, want 65535, the last character whole", len(e.comment))
			}
		} else if e.comment != want {
			t.Errorf("comment %q, want %q", e.comment, want)
		}
	}
}

func TestShortenCutsBetweenCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.String().Draw(t, "s"), rapid.IntRange(0, 50).Draw(t, "n")
		got := shorten(s, n)
		if !strings.HasPrefix(s, got) || len(got) > n || !utf8.ValidString(got) || len(s) > n && len(got) < n-3 {
			t.Fatalf("shorten(%q, %d) is %q", s, n, got)
		}
	})
}

// brittle is a Writer that fails after room bytes.
type brittle struct {
	room   int
	writes int
}

var errFull = errors.New("disk full")

func (b *brittle) Write(p []byte) (int, error) {
	b.writes++
	if len(p) > b.room {
		return 0, errFull
	}
	b.room -= len(p)
	return len(p), nil
}

func TestFailureOfTheFileEndsTheCaptureNotTheTraffic(t *testing.T) {
	for _, comment := range []func(Direction, []byte) string{nil, func(Direction, []byte) string { return "c" }} {
		var told []error
		file := &brittle{room: 400}
		w := newTapped(t, 1, Config{Writer: file, Comment: comment, OnError: func(err error) { told = append(told, err) }})
		if w.dev.Err() != nil {
			t.Fatalf("Err is %v at the start", w.dev.Err())
		}
		for i := range 20 {
			p := fmt.Sprintf("packet %d", i)
			w.send(0, p)
			w.sendBack(0, p)
			if got := w.receive(0); len(got) != 1 || got[0] != p {
				t.Fatalf("received %q, want %q", got, p)
			}
		}
		if len(told) != 1 || !errors.Is(told[0], errFull) || !errors.Is(w.dev.Err(), errFull) {
			t.Errorf("told %v, Err is %v; want to be told once that the disk is full", told, w.dev.Err())
		}
		before := file.writes
		w.send(0, "more")
		w.close()
		if file.writes != before || len(told) != 1 {
			t.Error("the file is written after it failed")
		}
		if w.dev.tap.bytes.Len() != 0 || w.dev.tap.records.Len() != 0 {
			t.Error("packets are kept for a file that failed")
		}
	}
}

func TestFailureAtCloseIsReported(t *testing.T) {
	var told []error
	w := newTapped(t, 1, Config{Writer: &brittle{room: 200}, Comment: func(Direction, []byte) string { return "" },
		OnError: func(err error) { told = append(told, err) }})
	w.sendBack(0, strings.Repeat("x", 300))
	w.receive(0)
	if len(told) != 0 {
		t.Fatalf("told %v too early", told)
	}
	w.close()
	if len(told) != 1 || !errors.Is(w.dev.Err(), errFull) {
		t.Errorf("told %v, Err is %v", told, w.dev.Err())
	}
}

func TestWrapSaysWhatIsWrong(t *testing.T) {
	dev, _ := pipe.New(pipe.Config{})
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "no Writer"},
		{Config{Writer: &sink{}, SnapLen: -1}, "SnapLen is -1"},
		{Config{Writer: &brittle{}}, "head of the file: disk full"},
	} {
		if _, err := Wrap(dev, c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestCloseTwiceAndUseAfterClose(t *testing.T) {
	w := newTapped(t, 1, Config{})
	w.close()
	if err := w.dev.Close(); !errors.Is(err, link.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if n, err := w.dev.Queues()[0].Write([]link.Frame{{Data: []byte("x")}}); n != 0 || !errors.Is(err, link.ErrClosed) {
		t.Errorf("Write: %d, %v", n, err)
	}
	if n, err := w.dev.Queues()[0].Read([]link.Frame{{Data: make([]byte, 9)}}); n != 0 || !errors.Is(err, link.ErrClosed) {
		t.Errorf("Read: %d, %v", n, err)
	}
	w.expect()
	if w.dev.Err() != nil {
		t.Errorf("Err is %v", w.dev.Err())
	}
}

func TestConcurrentUseKeepsEveryPacketWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, each = 4, 100
		w := newTapped(t, 1, Config{Comment: func(_ Direction, p []byte) string { return string(p) }})
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				for j := range each {
					p := []byte(fmt.Sprintf("%d-%d", i, j))
					for _, d := range []link.Device{w.dev, w.peer} {
						if _, err := d.Queues()[0].Write([]link.Frame{{Data: p}}); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		for got := 0; got < writers*each; {
			got += len(w.receive(0))
		}
		wg.Wait()
		w.close()
		count := map[string]int{}
		for _, e := range entries(t, w.file.bytes()) {
			if e.comment != e.data {
				t.Errorf("packet %q has comment %q", e.data, e.comment)
			}
			count[e.dir.String()+" "+e.data]++
		}
		if len(count) != 2*writers*each {
			t.Errorf("%d different packets, want %d", len(count), 2*writers*each)
		}
	})
}

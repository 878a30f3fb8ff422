package tun

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"syscall"
	"testing"

	"github.com/a644562b/portico/link"
	wgtun "golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/tun/tuntest"
)

// plainPair is a device of plain packets whose far side is two channels: what the
// test sends to Outbound is read, what is written comes out of Inbound.
func plainPair(t *testing.T) (*Device, *tuntest.ChannelTUN) {
	t.Helper()
	ch := tuntest.NewChannelTUN()
	d := newPlain(ch.TUN(), "plain0", Config{MTU: 1500, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { d.Close() })
	return d, ch
}

func TestPlainReadDeliversPacketAsItCame(t *testing.T) {
	d, ch := plainPair(t)
	go func() { ch.Outbound <- []byte("a packet") }()
	frames := readFrames(2, 100)
	frames[0].GSO = link.GSOTCP4 // what a frame held before does not count
	n, err := d.Queues()[0].Read(frames)
	if n != 1 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	if string(frames[0].Data) != "a packet" || frames[0].Offload != (link.Offload{}) {
		t.Errorf("read %+v", frames[0])
	}
}

func TestPlainReadDropsPacketThatDoesNotFit(t *testing.T) {
	d, ch := plainPair(t)
	go func() {
		ch.Outbound <- make([]byte, 101)
		ch.Outbound <- make([]byte, 0)
		ch.Outbound <- make([]byte, 100)
	}()
	frames := readFrames(1, 100)
	n, err := d.Queues()[0].Read(frames)
	if n != 1 || err != nil || len(frames[0].Data) != 100 {
		t.Fatalf("Read = %d, %v with %d bytes, want the one packet of 100 bytes", n, err, len(frames[0].Data))
	}
	if got, want := d.Stats(), (Stats{ReadTooLong: 1, ReadMalformed: 1}); got != want {
		t.Errorf("Stats = %+v, want %+v", got, want)
	}
}

func TestPlainWriteGathersAndCuts(t *testing.T) {
	d, ch := plainPair(t)
	if d.Caps() != (link.Caps{}) {
		t.Errorf("Caps = %+v, want none", d.Caps())
	}
	got := make(chan [][]byte)
	go func() {
		var all [][]byte
		for range 4 {
			all = append(all, <-ch.Inbound)
		}
		got <- all
	}()
	payload := pattern(2500)
	frames := []link.Frame{
		{Data: []byte("head "), Payload: [][]byte{[]byte("and "), nil, []byte("tail")}},
		udpFrame(t, udp4, 1000, payload),
	}
	if n, err := d.Queues()[0].Write(frames); n != 2 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	packets := <-got
	if string(packets[0]) != "head and tail" {
		t.Errorf("first packet %q", packets[0])
	}
	var cut []byte
	for _, p := range packets[1:] {
		cut = append(cut, checkedUDP(t, p)...)
	}
	if !bytes.Equal(cut, payload) {
		t.Error("the pieces are not the payload")
	}
}

func TestPlainWriteCountsWhatCannotBeCut(t *testing.T) {
	d, _ := plainPair(t)
	frames := []link.Frame{
		{},
		{Data: make([]byte, 40), Offload: link.Offload{GSO: link.GSOTCP4, GSOSize: 10, HeaderLen: 40}},
	}
	if n, err := d.Queues()[0].Write(frames); n != 2 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if got, want := d.Stats(), (Stats{WriteMalformed: 2}); got != want {
		t.Errorf("Stats = %+v, want %+v", got, want)
	}
}

// brokenTUN answers every Write with err.
type brokenTUN struct {
	wgtun.Device
	err error
}

func (b *brokenTUN) Write([][]byte, int) (int, error) { return 0, b.err }

func TestPlainWriteErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Stats
	}{
		{syscall.ENOBUFS, Stats{WriteNoRoom: 2}},
		{syscall.EIO, Stats{WriteDown: 2}},
		{syscall.ENETDOWN, Stats{WriteDown: 2}},
		{syscall.EAFNOSUPPORT, Stats{WriteMalformed: 2}},
	} {
		d, _ := plainPair(t)
		d.Queues()[0].(*plainQueue).wg = &brokenTUN{d.wg, tt.err}
		n, err := d.Queues()[0].Write([]link.Frame{{Data: []byte("one")}, {Data: []byte("two")}})
		if n != 2 || err != nil || d.Stats() != tt.want {
			t.Errorf("%v: Write = %d, %v, %+v, want 2, nil, %+v", tt.err, n, err, d.Stats(), tt.want)
		}
	}
	d, _ := plainPair(t)
	d.Queues()[0].(*plainQueue).wg = &brokenTUN{d.wg, syscall.EACCES}
	n, err := d.Queues()[0].Write([]link.Frame{{Data: []byte("one")}, {Data: []byte("two")}})
	if n != 0 || !errors.Is(err, syscall.EACCES) {
		t.Errorf("EACCES: Write = %d, %v, want 0 and that error", n, err)
	}
}

func TestPlainCloseEndsReadAndEvents(t *testing.T) {
	d, _ := plainPair(t)
	read := make(chan error)
	go func() {
		_, err := d.Queues()[0].Read(readFrames(1, 100))
		read <- err
	}()
	if err := d.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if err := <-read; !errors.Is(err, link.ErrClosed) {
		t.Errorf("Read = %v, want ErrClosed", err)
	}
	if err := d.Close(); !errors.Is(err, link.ErrClosed) {
		t.Errorf("second Close = %v, want ErrClosed", err)
	}
	if n, err := d.Queues()[0].Write([]link.Frame{{Data: []byte("x")}}); n != 0 || !errors.Is(err, link.ErrClosed) {
		t.Errorf("Write = %d, %v, want 0, ErrClosed", n, err)
	}
	var events []link.Event
	for ev := range d.Events() {
		events = append(events, ev)
	}
	if want := []link.Event{{Kind: link.EventUp}}; !slices.Equal(events, want) {
		t.Errorf("events %v, want %v", events, want)
	}
}

// eventsTUN is a device of which only the events matter.
type eventsTUN struct {
	wgtun.Device
	events chan wgtun.Event
	mtu    int
}

func (e *eventsTUN) Events() <-chan wgtun.Event { return e.events }
func (e *eventsTUN) MTU() (int, error)          { return e.mtu, nil }

func TestWatchTellsChangesOnly(t *testing.T) {
	wg := &eventsTUN{events: make(chan wgtun.Event, 10), mtu: 1400}
	d := newDevice(wg, "x0", Config{MTU: 1500})
	for _, ev := range []wgtun.Event{wgtun.EventDown, wgtun.EventUp, wgtun.EventUp, wgtun.EventMTUUpdate, wgtun.EventMTUUpdate, wgtun.EventDown} {
		wg.events <- ev
	}
	close(wg.events)
	d.watch(func(ev wgtun.Event, last state) state { return lookPlain(wg, ev, last) })
	var got []link.Event
	for ev := range d.Events() {
		got = append(got, ev)
	}
	want := []link.Event{{Kind: link.EventUp}, {Kind: link.EventMTU, MTU: 1400}, {Kind: link.EventDown}}
	if !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	if d.MTU() != 1400 {
		t.Errorf("MTU = %d, want 1400", d.MTU())
	}
}

func TestSlowReaderOfEventsLosesTheOldest(t *testing.T) {
	d := newDevice(nil, "x0", Config{MTU: 1500})
	for i := range eventBuffer + 3 {
		d.tell(link.Event{Kind: link.EventMTU, MTU: 1000 + i})
	}
	close(d.events)
	next := 1003
	for ev := range d.Events() {
		if ev.MTU != next {
			t.Fatalf("event %v, want mtu %d", ev, next)
		}
		next++
	}
	if next != 1000+eventBuffer+3 {
		t.Errorf("the last event was mtu %d", next-1)
	}
}

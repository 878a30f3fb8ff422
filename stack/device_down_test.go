package stack

import (
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// Somebody takes the interface down and up again, to rename it for one: as on any host that
// ends no connection, and what was lost meanwhile is sent again.
func TestConnectionsOutliveADeviceThatGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged strings.Builder
		a, b := pipe.New(pipe.Config{Names: [2]string{"near", "far"}})
		near := &switched{Device: a, events: make(chan link.Event, 4)}
		cfg := clientConfig()
		cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		h := &hosts{client: newStack(t, near, cfg), server: newStack(t, b, serverConfig())}
		defer h.close()
		near.turn(link.EventUp)
		c, s := h.connect(t)
		synctest.Wait()
		if logged.Len() > 0 {
			t.Errorf("the first time up was logged: %s", logged.String())
		}
		near.turn(link.EventDown)
		if _, err := c.Write([]byte("in vain, for now")); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Second)
		if n := s.Info().ReceiveQueue; n != 0 {
			t.Fatalf("%d bytes passed a device that is down", n)
		}
		near.turn(link.EventUp)
		got := make([]byte, len("in vain, for now"))
		if _, err := io.ReadFull(s, got); err != nil || string(got) != "in vain, for now" {
			t.Errorf("read %q, %v", got, err)
		}
		if err := h.client.Err(); err != nil {
			t.Errorf("Err of an open stack: %v", err)
		}
		synctest.Wait()
		for _, want := range []string{`level=WARN msg="the device is down, connections wait" device=near`, `level=INFO msg="the device is up again" device=near`} {
			if strings.Count(logged.String(), want) != 1 {
				t.Errorf("logged, without %s:\n%s", want, logged.String())
			}
		}
	})
}

// switched is a device with a switch. While it is down what is written is dropped.
type switched struct {
	link.Device
	events chan link.Event
	down   atomic.Bool
}

func (d *switched) turn(to link.EventKind) {
	d.down.Store(to == link.EventDown)
	d.events <- link.Event{Kind: to}
}

func (d *switched) Events() <-chan link.Event { return d.events }
func (d *switched) Queues() []link.Queue {
	return []link.Queue{switchedQueue{d.Device.Queues()[0], d}}
}

func (d *switched) Close() error {
	close(d.events)
	return d.Device.Close()
}

type switchedQueue struct {
	link.Queue
	dev *switched
}

func (q switchedQueue) Write(frames []link.Frame) (int, error) {
	if q.dev.down.Load() {
		return len(frames), nil
	}
	return q.Queue.Write(frames)
}

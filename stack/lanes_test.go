package stack

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
)

// spreadable is a device that notes what it is told of its queues, and when they are
// written to.
type spreadable struct {
	link.Device
	mu    sync.Mutex
	told  []int
	err   error
	wrote map[int]time.Time // by queue, the last time
	left  time.Duration     // for how long those that went last had not been written to
	// silent: the clients that are only there to be several say nothing.
	silent atomic.Bool
}

func (d *spreadable) Spread(n int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, n)
	if at, ok := d.wrote[n]; ok {
		d.left = time.Since(at)
	}
	return d.err
}

func (d *spreadable) Queues() (queues []link.Queue) {
	for i, q := range d.Device.Queues() {
		queues = append(queues, &notingQueue{q, d, i})
	}
	return queues
}

type notingQueue struct {
	link.Queue
	d *spreadable
	i int
}

func (q *notingQueue) Write(frames []link.Frame) (int, error) {
	q.d.mu.Lock()
	q.d.wrote[q.i] = time.Now()
	q.d.mu.Unlock()
	return q.Queue.Write(frames)
}

// wantTold verifies what the device has been told up to now.
func (d *spreadable) wantTold(t *testing.T, when string, want ...int) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.told, want) {
		t.Errorf("%s: the device was told to use %v queues, want %v", when, d.told, want)
	}
}

// withLanes runs a test in virtual time with a server on a device of two queues, by which at
// most rate bits a second come in. f has a client; others clients send a byte a
// millisecond, but when d.silent.
func withLanes(t *testing.T, rate int64, others int, d *spreadable, cfg Config, f func(h *hosts, client *Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{Queues: 2})
		slow, err := impair.Wrap(a, impair.Config{Rate: rate, Delay: time.Millisecond}, impair.Config{})
		if err != nil {
			t.Fatal(err)
		}
		d.Device, d.wrote = b, map[int]time.Time{}
		h := newHostsOn(t, slow, d, clientConfig(), cfg)
		defer h.close()
		client, server := h.connect(t)
		go io.Copy(io.Discard, server)
		var wg sync.WaitGroup
		var stop []*Conn
		for range others {
			client, server := h.connect(t)
			wg.Go(func() {
				io.Copy(io.Discard, server)
				server.Close()
			})
			wg.Go(func() { // until it is closed
				for {
					if d.silent.Load() {
						// not now
					} else if _, err := client.Write([]byte("x")); err != nil {
						return
					}
					<-time.After(time.Millisecond)
				}
			})
			stop = append(stop, client)
		}
		f(h, client)
		d.silent.Store(false)
		for _, c := range stop {
			c.Close()
		}
		wg.Wait()
		client.Close()
		server.Close()
	})
}

// send sends for so long in virtual time, pieces of size bytes with a pause behind each.
func send(t *testing.T, c *Conn, long time.Duration, size int, pause time.Duration) {
	t.Helper()
	piece := bytes.Repeat([]byte("x"), size)
	for end := time.Now().Add(long); time.Now().Before(end); {
		if _, err := c.Write(piece); err != nil {
			t.Fatal(err)
		}
		if pause > 0 {
			<-time.After(pause)
		}
	}
}

func TestAllQueuesAreInUseWhileMuchDataMoves(t *testing.T) {
	d := new(spreadable)
	withLanes(t, 2e9, 1, d, serverConfig(), func(_ *hosts, c *Conn) {
		d.wantTold(t, "at first", 1)
		send(t, c, 200*time.Millisecond, 64<<10, 0)
		d.wantTold(t, "after 200 ms of 2 Gbit/s", 1, 2)
		send(t, c, 150*time.Millisecond, 64, 10*time.Millisecond)
		d.wantTold(t, "in a lull", 1, 2)
		send(t, c, 150*time.Millisecond, 64, 10*time.Millisecond)
		d.wantTold(t, "after some lull", 1, 2, 1)
		send(t, c, 200*time.Millisecond, 64<<10, 0)
		d.wantTold(t, "after more data", 1, 2, 1, 2)
	})
}

func TestOneQueueCarriesWhatIsNotMuch(t *testing.T) {
	d := new(spreadable)
	withLanes(t, 500e6, 1, d, serverConfig(), func(_ *hosts, c *Conn) {
		send(t, c, 500*time.Millisecond, 64<<10, 0)
		d.wantTold(t, "after 500 Mbit/s", 1)
	})
}

// TestAStackThatFallsIdleGathers: nothing has to come for it to notice.
func TestAStackThatFallsIdleGathers(t *testing.T) {
	d := new(spreadable)
	withLanes(t, 2e9, 1, d, serverConfig(), func(_ *hosts, c *Conn) {
		send(t, c, 200*time.Millisecond, 64<<10, 0)
		d.wantTold(t, "after 2 Gbit/s", 1, 2)
		d.silent.Store(true)
		<-time.After(bulkLasts + leaveWithin + 2*lookEvery)
		d.wantTold(t, "after silence", 1, 2, 1)
	})
}

// TestFlowsLeaveQueuesBeforeTheseGo: by a queue that is going the kernel sends nothing more,
// and a flow is sent by the queue that it was written to last.
func TestFlowsLeaveQueuesBeforeTheseGo(t *testing.T) {
	d := new(spreadable)
	withLanes(t, 2e9, 1, d, serverConfig(), func(_ *hosts, c *Conn) {
		send(t, c, 200*time.Millisecond, 64<<10, 0)
		send(t, c, 300*time.Millisecond, 64, time.Millisecond)
		d.wantTold(t, "in a lull", 1, 2, 1)
		if d.left < leaveWithin {
			t.Errorf("the second queue was written to %v before it went, want %v at least", d.left, leaveWithin)
		}
		if d.left > bulkLasts/2 {
			t.Errorf("the second queue was written to %v before it went: nothing used it", d.left)
		}
	})
}

// TestTheLoopIsNoTrafficOfTheDevice: its queues do nothing for connections of the stack to
// itself.
func TestTheLoopIsNoTrafficOfTheDevice(t *testing.T) {
	d := new(spreadable)
	withLanes(t, 2e9, 1, d, serverConfig(), func(h *hosts, c *Conn) {
		own := &hosts{client: h.server, server: h.server}
		from, to := own.connect(t)
		defer from.Close()
		defer to.Close()
		go io.Copy(io.Discard, to)
		for range 50 { // 3.2 Gbit/s
			mustWrite(t, from, strings.Repeat("x", 4<<20))
			send(t, c, 10*time.Millisecond, 64, 10*time.Millisecond)
		}
		d.wantTold(t, "after 500 ms", 1)
	})
}

// TestCloseDoesNotWaitForALull: a stack whose queues are spread closes at once.
func TestCloseDoesNotWaitForALull(t *testing.T) {
	d := new(spreadable)
	withLanes(t, 2e9, 1, d, serverConfig(), func(h *hosts, c *Conn) {
		send(t, c, 200*time.Millisecond, 64<<10, 0)
		d.wantTold(t, "after 2 Gbit/s", 1, 2)
		begin := time.Now()
		h.server.Close()
		if took := time.Since(begin); took != 0 {
			t.Errorf("Close took %v", took)
		}
		d.wantTold(t, "after Close", 1, 2)
	})
}

func TestOneQueueCarriesOneConnection(t *testing.T) {
	d := new(spreadable)
	withLanes(t, 2e9, 0, d, serverConfig(), func(_ *hosts, c *Conn) {
		send(t, c, 500*time.Millisecond, 64<<10, 0)
		d.wantTold(t, "after 2 Gbit/s on one connection", 1)
	})
}

func TestSpreadAlwaysLeavesTheDeviceAlone(t *testing.T) {
	d := new(spreadable)
	cfg := serverConfig()
	cfg.SpreadAlways = true
	withLanes(t, 2e9, 1, d, cfg, func(_ *hosts, c *Conn) {
		send(t, c, 200*time.Millisecond, 64<<10, 0)
		d.wantTold(t, "after 2 Gbit/s")
	})
}

// TestADeviceThatDoesNotSpread is told so once, and all of its queues are in use.
func TestADeviceThatDoesNotSpread(t *testing.T) {
	var log bytes.Buffer
	d := &spreadable{err: errors.New("no")}
	cfg := serverConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	withLanes(t, 2e9, 1, d, cfg, func(_ *hosts, c *Conn) {
		send(t, c, 200*time.Millisecond, 64<<10, 0)
		d.wantTold(t, "after 2 Gbit/s", 1)
	})
	if n := strings.Count(log.String(), "the queues of the device stay as they are"); n != 1 {
		t.Errorf("%d warnings in the log, want 1:\n%s", n, &log)
	}
}

func TestConnectionsTakeTurnsOnTheQueues(t *testing.T) {
	var l lanes
	l.init(3)
	var got []uint16
	for serial := range uint64(6) {
		got = append(got, l.of(serial))
	}
	if want := []uint16{0, 1, 2, 0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("queues %v, want %v", got, want)
	}
}

// TestTrafficWatch looks at traffic every 10 ms.
func TestTrafficWatch(t *testing.T) {
	const gbit = 1e9 / 8 / 100 // in 10 ms
	large, small := traffic{frames: 100, octets: 2 * gbit}, traffic{frames: 2000, octets: 2000 * 999}
	for _, test := range []struct {
		name  string
		steps []traffic
		want  []bool
		alone bool // one connection
	}{
		{"much data", []traffic{large, large, large, large}, []bool{false, false, true, true}, false},
		{"one connection", []traffic{large, large, large, large}, []bool{false, false, false, false}, true},
		{"a break starts the count anew", []traffic{large, large, {}, large, large, large}, []bool{false, false, false, false, false, true}, false},
		{"small frames", []traffic{small, small, small, small}, []bool{false, false, false, false}, false},
		{"too slow", slices.Repeat([]traffic{{frames: 10, octets: gbit - 1}}, 4), []bool{false, false, false, false}, false},
		{"just enough", slices.Repeat([]traffic{{frames: gbit / 1000, octets: gbit}}, 3), []bool{false, false, true}, false},
		{"it lasts for 200 ms", slices.Concat(slices.Repeat([]traffic{large}, 3), slices.Repeat([]traffic{small}, 21)),
			slices.Concat([]bool{false, false}, slices.Repeat([]bool{true}, 20), []bool{false, false}), false},
	} {
		var w trafficWatch
		var got []bool
		var sum traffic
		for i, s := range test.steps {
			sum.frames, sum.octets = sum.frames+s.frames, sum.octets+s.octets
			got = append(got, w.bulk(mono.Time(0).Add(time.Duration(i+1)*lookEvery), sum, !test.alone))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

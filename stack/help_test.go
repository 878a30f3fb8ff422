package stack

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// lateEngine is a device that, once told to, keeps its engine from reading for a minute each time.
// Who polls it finds all that can have come by then.
type lateEngine struct {
	link.Device
	late  atomic.Bool
	polls atomic.Int64
}

func (d *lateEngine) Queues() []link.Queue {
	return []link.Queue{&lateQueue{d.Device.Queues()[0].(link.SharedQueue), d}}
}

// connect returns the two ends of a connection that stands when the engine begins to be late.
func (d *lateEngine) connect(t *testing.T, h *hosts) (client, server *Conn) {
	client, server = h.connect(t)
	synctest.Wait()
	mustWrite(t, client, "x") // after this batch
	d.late.Store(true)
	wantRead(t, server, "x")
	synctest.Wait()
	return client, server
}

// withLateEngine runs a test in virtual time with a connection whose client has a late engine.
func withLateEngine(t *testing.T, f func(t *testing.T, d *lateEngine, client, server *Conn)) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{})
		d := &lateEngine{Device: a}
		h := newHostsOn(t, d, b, clientConfig(), serverConfig())
		defer h.close()
		client, server := d.connect(t, h)
		f(t, d, client, server)
		client.Close()
		server.Close()
	})
}

type lateQueue struct {
	link.SharedQueue
	d *lateEngine
}

func (q *lateQueue) ReadShared(turn sync.Locker, frames []link.Frame) (int, error) {
	if q.d.late.Load() {
		<-time.After(time.Minute)
	}
	return q.SharedQueue.ReadShared(turn, frames)
}

func (q *lateQueue) Poll(frames []link.Frame) int {
	if q.d.late.Load() {
		synctest.Wait()
	}
	q.d.polls.Add(1)
	return q.SharedQueue.Poll(frames)
}

// TestAWriterTakesInWhatMakesRoom: a Write that has filled the send buffer does not wait for the
// engine when the ACK is there already.
func TestAWriterTakesInWhatMakesRoom(t *testing.T) {
	for _, write := range []struct {
		name string
		f    func(*Conn, []byte) error
	}{
		{"Write", func(c *Conn, b []byte) error { _, err := c.Write(b); return err }},
		{"WriteBuffers", func(c *Conn, b []byte) error { _, err := c.WriteBuffers(&net.Buffers{b[:1], b[1:]}); return err }},
	} {
		t.Run(write.name, func(t *testing.T) {
			withLateEngine(t, func(t *testing.T, d *lateEngine, client, server *Conn) {
				data := bytes.Repeat([]byte("portico "), 1<<19)
				received := make(chan []byte)
				go func() {
					b := make([]byte, len(data))
					io.ReadFull(server, b)
					received <- b
				}()
				begin := time.Now()
				if err := write.f(client, data); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took >= time.Second {
					t.Errorf("writing took %v: it waited for the engine", took)
				}
				if d.polls.Load() == 0 {
					t.Error("nobody polled")
				}
				if !bytes.Equal(<-received, data) {
					t.Error("what arrived is not what was sent")
				}
			})
		})
	}
}

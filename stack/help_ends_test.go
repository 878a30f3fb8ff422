package stack

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// flooded is a device with a late engine, and who polls it always gets something, a ping. When
// the fifth is answered something happens.
type flooded struct {
	lateEngine
	answers int
	atFifth func()
}

func (d *flooded) Queues() []link.Queue {
	return []link.Queue{&floodedQueue{d.lateEngine.Queues()[0].(*lateQueue), d}}
}

type floodedQueue struct {
	*lateQueue
	d *flooded
}

func (q *floodedQueue) Poll(frames []link.Frame) int {
	if len(frames) == 0 {
		return 0
	}
	ping := packet(server4, client4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0)})
	frames[0].Data = append(frames[0].Data[:0], ping...)
	return 1
}

func (q *floodedQueue) Write(frames []link.Frame) (int, error) {
	n, err := q.SharedQueue.Write(frames)
	if ip.Protocol(frames[0].Data[9]) == ip.ICMP {
		if q.d.answers++; q.d.answers == 5 {
			q.d.atFifth()
		}
	}
	return n, err
}

// TestAWriterThatTakesInEndsInTime: however much there is to take in, and though none of it
// makes room.
func TestAWriterThatTakesInEndsInTime(t *testing.T) {
	for _, test := range []struct {
		by   string
		end  func(h *hosts, c *Conn)
		want error
	}{
		{"its deadline", func(_ *hosts, c *Conn) { c.SetWriteDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		{"Close", func(_ *hosts, c *Conn) { c.Close() }, net.ErrClosed},
		{"Close of the stack", func(h *hosts, _ *Conn) { go h.client.Close() }, net.ErrClosed},
	} {
		t.Run(test.by, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pipe.New(pipe.Config{})
				d := &flooded{lateEngine: lateEngine{Device: a}}
				h := newHostsOn(t, d, b, clientConfig(), serverConfig())
				defer h.close()
				client, server := d.connect(t, h)
				defer server.Close() // it does not read
				d.atFifth = func() { test.end(h, client) }
				_, err := client.Write(make([]byte, 64<<20))
				if !errors.Is(err, test.want) {
					t.Errorf("Write: %v, want %v", err, test.want)
				}
				client.Close()
			})
		})
	}
}

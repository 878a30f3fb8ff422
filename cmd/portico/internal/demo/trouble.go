package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/ladder"
	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/stack"
	"github.com/a644562b/portico/tcp"
)

// The second scene: a wire that loses a segment, and a visitor who does not read. No kernel
// does either when asked, so that two stacks on a pipe in memory play it always.
const (
	troubleDelay = 10 * time.Millisecond  // of the wire, each way
	troubleRoom  = 6 * 1448               // the visitor's window in bytes: six segments
	troubleBytes = 10 * 1448              // what it is to get
	troubleLost  = 3                      // the segment with data that is lost
	troublePause = 800 * time.Millisecond // how long the visitor does not read: two probes
	troublePort  = "19"
)

// trouble plays it, and draws what portico saw.
func trouble(ctx context.Context) (*ladder.Ladder, error) {
	near, far := pipe.New(pipe.Config{})
	wire := impair.Config{Delay: troubleDelay}
	slow, err := impair.Wrap(near, wire, wire)
	if err != nil {
		return nil, err
	}
	watch := node.NewWatch()
	n, err := node.OpenOn(&loser{Device: slow}, node.Config{Addrs: []netip.Prefix{porticoAddr}, OnChange: watch.Changed})
	if err != nil {
		return nil, err
	}
	defer n.Stack.Close()
	room := tcp.Params{ReceiveBuffer: troubleRoom, NoWindowScale: true} // exactly so much
	visitor, err := stack.New(far, stack.Config{Addrs: []netip.Prefix{hostAddr}, TCP: room})
	if err != nil {
		return nil, err
	}
	defer visitor.Close()
	if err := transfer(ctx, n.Stack, visitor); err != nil {
		return nil, fmt.Errorf("the slow visitor: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	if !watch.Settled(ctx, n.Book, 1) {
		return nil, errors.New("the slow visitor's connection did not close in time")
	}
	t, err := n.Book.Find("1")
	if err != nil {
		return nil, err
	}
	return ladder.Build(t, ladder.Config{Peer: "visitor"}), nil
}

// transfer has portico send to the visitor, who pauses before it reads.
func transfer(ctx context.Context, portico, visitor *stack.Stack) error {
	l, err := portico.Listen("tcp", ":"+troublePort)
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Write(make([]byte, troubleBytes)) // an error shows at the visitor's
		io.Copy(io.Discard, c)              // until it closes
		c.Close()
	}()
	c, err := visitor.DialContext(ctx, "tcp", porticoAddr.Addr().String()+":"+troublePort)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	select {
	case <-time.After(troublePause):
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = io.CopyN(io.Discard, c, troubleBytes)
	return err
}

// loser is a device that loses one of the full segments that are written to it.
type loser struct {
	link.Device
	full atomic.Int64 // such segments so far
}

func (d *loser) Queues() []link.Queue {
	return []link.Queue{losingQueue{d.Device.Queues()[0], d}}
}

type losingQueue struct {
	link.Queue
	dev *loser
}

func (q losingQueue) Write(frames []link.Frame) (int, error) {
	for i := range frames {
		if frames[i].Len() < 1000 || q.dev.full.Add(1) != troubleLost {
			continue
		}
		if n, err := q.Queue.Write(frames[:i]); err != nil {
			return n, err
		}
		n, err := q.Queue.Write(frames[i+1:])
		return i + 1 + n, err
	}
	return q.Queue.Write(frames)
}

package node

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/stack"
	"github.com/google/gopacket/pcapgo"
)

// pair is a node with a capture, and a stack that talks to it.
func pair(t *testing.T, cfg Config) (*Node, *stack.Stack) {
	t.Helper()
	a, b := pipe.New(pipe.Config{})
	cfg.Addrs = []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")}
	n, err := OpenOn(a, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stack.Close() })
	peer, err := stack.New(b, stack.Config{Addrs: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	return n, peer
}

// syncBuffer is a capture's memory.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func TestConnectionIsRecordedCapturedAndSettles(t *testing.T) {
	watch := NewWatch()
	var wire syncBuffer
	n, peer := pair(t, Config{OnChange: watch.Changed, Capture: &wire})
	l, err := n.Stack.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()
	c, err := peer.Dial("tcp", "10.77.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	open, cancel := context.WithCancel(t.Context())
	cancel()
	if watch.Settled(open, n.Book, 1) {
		t.Error("an open connection counts as settled")
	}
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if !watch.Settled(ctx, n.Book, 1) {
		t.Fatalf("it did not settle: %+v", n.Book.List())
	}
	tr, err := n.Book.Find("1")
	if err != nil || len(tr.Entries) < 8 || !tr.Passive {
		t.Errorf("recording %+v, %v", tr, err)
	}
	n.Stack.Close()
	r, err := pcapgo.NewNgReader(&wire.buf, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	packets := 0
	for {
		if _, _, err := r.ReadPacketData(); err != nil {
			break
		}
		packets++
	}
	if packets < 6 { // three to open, three to close
		t.Errorf("%d packets were captured", packets)
	}
}

func TestCaptureSaysWhatPacketsDid(t *testing.T) {
	watch := NewWatch()
	var wire syncBuffer
	n, peer := pair(t, Config{OnChange: watch.Changed, Capture: &wire})
	l, err := n.Stack.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}()
	c, err := peer.Dial("tcp", "10.77.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, c)
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if !watch.Settled(ctx, n.Book, 1) {
		t.Fatal("it did not settle")
	}
	n.Stack.Close()
	for _, want := range []string{
		"LISTEN → SYN-RECEIVED", "SYN-RECEIVED → ESTABLISHED", "ESTABLISHED → FIN-WAIT-1", "→ TIME-WAIT",
	} {
		if !bytes.Contains(wire.buf.Bytes(), []byte(want)) {
			t.Errorf("no packet has the comment %q", want)
		}
	}
}

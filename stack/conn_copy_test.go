package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

// source reads data in pieces of random length, up to all that there is room for.
type source struct {
	data []byte
	rnd  *rand.Rand
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	if s.rnd.IntN(2) == 0 {
		p = p[:1+s.rnd.IntN(len(p))]
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

// slow is a writer that rests now and then, so that data waits for it.
type slow struct {
	bytes.Buffer
	rnd    *rand.Rand
	writes int
}

func (w *slow) Write(p []byte) (int, error) {
	w.writes++
	if w.rnd.IntN(8) == 0 {
		<-time.After(time.Duration(w.rnd.IntN(100)) * time.Millisecond)
	}
	return w.Buffer.Write(p)
}

// TestCopyKeepsTheStream lets data pass by ReadFrom, a relay that copies from one
// connection to another, and WriteTo, over wires that cut super-segments or not and lose
// some of it, into buffers of all sizes: memory changes hands on the way, and what arrives is
// what was sent.
func TestCopyKeepsTheStream(t *testing.T) {
	seeds := uint64(200)
	if race.Enabled {
		seeds = 20
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { copyStream(t, seed) })
		})
	}
}

func copyStream(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 4))
	config := func(cfg Config) Config {
		if rnd.IntN(2) == 0 {
			cfg.TCP = tcp.Params{SendBuffer: 4096 + rnd.IntN(300_000), ReceiveBuffer: 4096 + rnd.IntN(300_000)}
		}
		return cfg
	}
	wire := pipe.Config{}
	if rnd.IntN(2) == 0 {
		wire = allOffloads()
	}
	bad := func() impair.Config {
		return impair.Config{Seed: rnd.Uint64(), Loss: 0.05 * rnd.Float64(), Delay: time.Duration(rnd.IntN(20)) * time.Millisecond}
	}
	a, b := pipe.New(wire)
	worse, err := impair.Wrap(a, bad(), bad())
	if err != nil {
		t.Fatal(err)
	}
	h := newHostsOn(t, worse, b, config(clientConfig()), config(serverConfig()))
	defer h.close()
	in, relayFrom := h.connect(t)
	last, relayTo := h.connect(t)

	data := make([]byte, 100_000+rnd.IntN(2_000_000))
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	go func() {
		if n, err := in.ReadFrom(&source{data: data, rnd: rand.New(rand.NewPCG(seed, 5))}); n != int64(len(data)) || err != nil {
			t.Errorf("ReadFrom: %d bytes, %v", n, err)
		}
		in.CloseWrite()
	}()
	go func() {
		// The relay is on the server, between the two connections of the client.
		if n, err := relayFrom.WriteTo(relayTo); n != int64(len(data)) || err != nil {
			t.Errorf("WriteTo a connection: %d bytes, %v", n, err)
		}
		relayTo.CloseWrite()
	}()
	got := &slow{rnd: rand.New(rand.NewPCG(seed, 6))}
	if n, err := last.WriteTo(got); n != int64(len(data)) || err != nil {
		t.Errorf("WriteTo: %d bytes, %v", n, err)
	}
	if !bytes.Equal(got.Bytes(), data) {
		t.Fatal("other bytes arrived than were sent")
	}
	for _, c := range []*Conn{in, relayFrom, relayTo, last} {
		c.Close()
	}
	<-time.After(5 * time.Minute)
	noConns(t, h.client)
	noConns(t, h.server)
}

// TestWriteToJoinsSmallSegments: a writer that lags behind gets what has come meanwhile at
// once, not segment by segment.
func TestWriteToJoinsSmallSegments(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		const pieces, size = 40, 100
		for range pieces {
			c.Write(make([]byte, size))
			synctest.Wait()
		}
		c.CloseWrite()
		synctest.Wait()
		w := &slow{rnd: rand.New(rand.NewPCG(1, 1))}
		if n, err := s.WriteTo(w); n != pieces*size || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if w.writes != 1 {
			t.Errorf("%d writes of what was there at once", w.writes)
		}
	})
}

// stubborn is a writer that takes two bytes and then fails, or not even that.
type stubborn struct{ err error }

func (w stubborn) Write(p []byte) (int, error) { return min(2, len(p)), w.err }

func TestCopyReturnsTheOthersError(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		c, s := h.connect(t)
		odd := errors.New("odd")
		n, err := c.ReadFrom(io.MultiReader(bytes.NewReader([]byte("abcdefgh")), failing{odd}))
		wantErr(t, err, odd, "readfrom tcp "+between(c)+": odd")
		if n != 8 {
			t.Errorf("ReadFrom: %d bytes, want the 8 before the error", n)
		}
		n, err = s.WriteTo(stubborn{odd})
		wantErr(t, err, odd, "writeto tcp "+between(s)+": odd")
		if n != 2 {
			t.Errorf("WriteTo: %d bytes, want the 2 that were written", n)
		}
		c.Write([]byte("abcdefgh"))
		n, err = s.WriteTo(stubborn{})
		wantErr(t, err, io.ErrShortWrite, "writeto tcp "+between(s)+": short write")
		if n != 2 {
			t.Errorf("WriteTo: %d bytes, want the 2 that were written", n)
		}
		c.Close()
		s.Close()
	})
}

// failing is a reader that fails.
type failing struct{ err error }

func (r failing) Read([]byte) (int, error) { return 0, r.err }

// BenchmarkCopy moves 64 KiB by ReadFrom, or by WriteTo, with plain calls at the other end.
func BenchmarkCopy(b *testing.B) {
	for _, bench := range []struct {
		name string
		run  func(b *testing.B, c, s *Conn)
	}{
		{"Write Read", func(b *testing.B, c, s *Conn) { go empty(s); fill(b, c) }},
		{"ReadFrom Read", func(b *testing.B, c, s *Conn) { go empty(s); c.ReadFrom(&endless{b}) }},
		{"Write WriteTo", func(b *testing.B, c, s *Conn) { go s.WriteTo(io.Discard); fill(b, c) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			h := newHosts(b, clientConfig(), serverConfig(), allOffloads())
			defer h.close()
			c, s := h.connect(b)
			b.SetBytes(copySize)
			b.ReportAllocs()
			bench.run(b, c, s)
		})
	}
}

const copySize = 64 << 10

func empty(s *Conn) {
	for p := make([]byte, copySize); ; {
		if _, err := s.Read(p); err != nil {
			return
		}
	}
}

func fill(b *testing.B, c *Conn) {
	for p := make([]byte, copySize); b.Loop(); {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}

// endless is a reader of as much as is measured, which costs nothing.
type endless struct{ b *testing.B }

func (e *endless) Read(p []byte) (int, error) {
	if !e.b.Loop() {
		return 0, io.EOF
	}
	return copySize, nil
}

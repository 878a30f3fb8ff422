package stack

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/internal/race"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

const impairedSeeds = 1000

// TestTransfersSurviveBadWires sends random data both ways over a wire that is bad in a
// different way for every seed: what arrives is what was sent, both ends close, and
// nothing is left.
func TestTransfersSurviveBadWires(t *testing.T) {
	for seed := range uint64(impairedSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { badWire(t, seed) })
		})
	}
}

// badWireParams draws what one end can do. It keeps trying: at 30 % of loss in both
// directions it is no surprise that a segment is lost ten times.
func badWireParams(rnd *rand.Rand) tcp.Params {
	p := tcp.Params{R2: 200, R2SYN: 200, R2SYNACK: 200, MaxRTO: 10 * time.Second}
	if rnd.IntN(2) == 0 {
		p.SendBuffer, p.ReceiveBuffer = 4096+rnd.IntN(200_000), 4096+rnd.IntN(200_000)
	}
	p.NoSACK, p.NoTimestamps, p.NoWindowScale = rnd.IntN(8) == 0, rnd.IntN(8) == 0, rnd.IntN(8) == 0
	return p
}

// badness draws what one direction of the wire does.
func badness(rnd *rand.Rand) impair.Config {
	c := impair.Config{
		Seed:      rnd.Uint64(),
		Loss:      0.3 * rnd.Float64(),
		Delay:     time.Duration(rnd.IntN(50)) * time.Millisecond,
		Jitter:    time.Duration(rnd.IntN(10)) * time.Millisecond,
		Reorder:   0.1 * rnd.Float64(),
		ReorderBy: time.Duration(1+rnd.IntN(20)) * time.Millisecond,
		Duplicate: 0.1 * rnd.Float64(),
		Corrupt:   0.05 * rnd.Float64(),
	}
	if rnd.IntN(4) == 0 {
		c.Rate, c.QueuePackets = int64(1_000_000+rnd.IntN(50_000_000)), 20+rnd.IntN(100)
	}
	return c
}

func badWire(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	wire := pipe.Config{Queues: 1 + rnd.IntN(3), MTU: []int{1280, 1500, 9000}[rnd.IntN(3)]}
	if rnd.IntN(2) == 0 {
		wire.Caps = link.Caps{Checksum: true, TSO4: true, TSO6: true}
	}
	a, b := pipe.New(wire)
	badA, err := impair.Wrap(a, badness(rnd), impair.Config{})
	if err != nil {
		t.Fatal(err)
	}
	badB, err := impair.Wrap(b, badness(rnd), impair.Config{})
	if err != nil {
		t.Fatal(err)
	}
	client, server := clientConfig(), serverConfig()
	client.TCP, server.TCP = badWireParams(rnd), badWireParams(rnd)
	h := newHostsOn(t, badA, badB, client, server)
	defer h.close()

	l := h.listen(t, "tcp", ":80")
	address := []string{"10.77.0.2:80", "[fd77::2]:80"}[rnd.IntN(2)]
	up, down := randomBytes(rnd), randomBytes(rnd)
	slow, slowServer := rnd.IntN(4) == 0, rnd.IntN(4) == 0
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		done <- exchange(c.(*Conn), reader(c, slowServer), down, up)
	}()
	c := h.dial(t, "tcp", address)
	if err := exchange(c, reader(c, slow), up, down); err != nil {
		t.Errorf("client: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("server: %v", err)
	}
	// TIME-WAIT, and a FIN that is still on its way to somebody who has left it.
	<-time.After(time.Hour)
	noConns(t, h.client)
	noConns(t, h.server)
	accounted(t, h.client, h.server, badA, badB)
	if n := len(h.server.Listeners()); n != 1 || h.server.Listeners()[0].Queued != 0 {
		t.Errorf("listeners after all: %v", h.server.Listeners())
	}
}

func randomBytes(rnd *rand.Rand) []byte {
	most := 100_000
	if rnd.IntN(30) == 0 && !race.Enabled { // the race detector makes it ten times slower
		most = 2_000_000 // long enough for windows to open and losses to come in flocks
	}
	b := make([]byte, 1+rnd.IntN(most))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// reader reads from c, or, when slow, so little and so seldom that windows close.
func reader(c io.Reader, slow bool) io.Reader {
	if slow {
		return slowReader{c}
	}
	return c
}

type slowReader struct{ r io.Reader }

func (s slowReader) Read(b []byte) (int, error) {
	<-time.After(50 * time.Millisecond)
	return s.r.Read(b[:min(len(b), 10_000)])
}

// exchange writes to c and reads from r at the same time, and compares.
func exchange(c *Conn, r io.Reader, send, want []byte) error {
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(send)
		if err == nil {
			err = c.CloseWrite()
		}
		wrote <- err
	}()
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%d bytes arrived that are not the %d that were sent", len(got), len(want))
	}
	if werr := <-wrote; err == nil {
		err = werr
	}
	if cerr := c.Close(); err == nil {
		err = cerr
	}
	return err
}

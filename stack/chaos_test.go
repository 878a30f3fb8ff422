package stack

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
)

// TestRudeApplicationsLeaveNothing lets applications dial, write, read, close and reset in
// any order, over bad wires, and give up in the middle of everything: when all have
// closed, no connection, timer or queue is left on either side.
func TestRudeApplicationsLeaveNothing(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { rudeApplications(t, seed) })
		})
	}
}

func rudeApplications(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	a, b := pipe.New(pipe.Config{})
	badA, err := impair.Wrap(a, badness(rnd), impair.Config{})
	if err != nil {
		t.Fatal(err)
	}
	badB, err := impair.Wrap(b, badness(rnd), impair.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := serverConfig()
	server.Backlog = 1 + rnd.IntN(10)
	h := newHostsOn(t, badA, badB, clientConfig(), server)
	defer h.close()
	l := h.listen(t, "tcp", ":80")
	var wg sync.WaitGroup
	wg.Go(func() {
		rnd := rand.New(rand.NewPCG(seed, 3))
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			seed := rnd.Uint64()
			wg.Go(func() { rude(c.(*Conn), rand.New(rand.NewPCG(seed, 4))) })
		}
	})
	for range 20 {
		seed := rnd.Uint64()
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 5))
			<-time.After(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(2000))*time.Millisecond)
			defer cancel()
			c, err := h.client.DialContext(ctx, "tcp", "10.77.0.2:80")
			if err == nil {
				rude(c.(*Conn), rnd)
			}
		})
	}
	<-time.After(time.Duration(rnd.IntN(10)) * time.Second)
	l.Close()
	wg.Wait()
	// As long as the most patient timer: the peer may be gone without a word.
	<-time.After(2 * time.Hour)
	noConns(t, h.client)
	noConns(t, h.server)
	if n := l.queue.Len() + l.claimed + l.requests; n != 0 {
		t.Errorf("%d connections still wait to be accepted", n)
	}
}

// rude does a few things with a connection and then closes it, whatever happened.
func rude(c *Conn, rnd *rand.Rand) {
	defer c.Close()
	if rnd.IntN(5) == 0 {
		c.SetLinger(rnd.IntN(3))
	}
	for range rnd.IntN(8) {
		c.SetDeadline(time.Now().Add(time.Duration(rnd.IntN(2000)) * time.Millisecond))
		switch rnd.IntN(8) {
		case 0, 1, 2:
			c.Write(make([]byte, 1+rnd.IntN(100_000)))
		case 3, 4:
			io.ReadFull(c, make([]byte, 1+rnd.IntN(100_000)))
		case 5:
			c.CloseWrite()
		case 6:
			c.CloseRead()
		case 7:
			<-time.After(time.Duration(rnd.IntN(5000)) * time.Millisecond)
		}
	}
}

package tun

import (
	"fmt"
	"sync"
	"testing"

	"github.com/a644562b/portico/link"
)

// TestReadersOfATUNTakeTurns: one waits and one polls; together they read what the kernel sends,
// once and in order.
func TestReadersOfATUNTakeTurns(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	q := h.Queues()[0].(link.SharedQueue)
	const datagrams = 300

	var turn sync.Mutex
	var got []string // guarded by turn
	take := func(frames []link.Frame) {
		for i := range frames {
			if p := decode(t, frames[i].Data); p.TransportLayer() != nil && p.ApplicationLayer() != nil {
				got = append(got, string(p.ApplicationLayer().Payload()))
			}
		}
	}
	enough := make(chan struct{})
	go func() {
		defer close(enough)
		for {
			frames := readFrames(4, 2000)
			n, err := q.ReadShared(&turn, frames)
			if err != nil {
				t.Error(err)
				return
			}
			take(frames[:n])
			done := len(got) > 0 && got[len(got)-1] == "end"
			turn.Unlock()
			if done {
				return
			}
		}
	}()
	polled := 0
	for i := range datagrams {
		socket.Write(fmt.Appendf(nil, "%d", i))
		if i%2 == 0 && turn.TryLock() {
			frames := readFrames(4, 2000)
			n := q.Poll(frames)
			take(frames[:n])
			polled += n
			turn.Unlock()
		}
	}
	turn.Lock() // so that the other one reads the last
	socket.Write([]byte("end"))
	turn.Unlock()
	<-enough
	if len(got) != datagrams+1 {
		t.Fatalf("%d datagrams, want %d", len(got), datagrams+1)
	}
	for i, text := range got[:datagrams] {
		if text != fmt.Sprint(i) {
			t.Fatalf("datagram %d is %s", i, text)
		}
	}
	t.Logf("%d of %d by Poll", polled, datagrams)
}

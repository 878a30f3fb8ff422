package pipe

import (
	"sync"

	"github.com/a644562b/portico/internal/buffer"
	"github.com/a644562b/portico/internal/ring"
	"github.com/a644562b/portico/link"
)

// lane is the queue of frames on their way in one direction: their bytes one behind the
// other, and for each where it ends and its offload state.
type lane struct {
	maxFrames, maxBytes int

	mu      sync.Mutex
	arrived sync.Cond // of mu: frames is no longer empty, or closed
	frames  ring.Ring[frame]
	bytes   buffer.Receive
	closed  bool
	dropped uint64
}

// frame is a frame on its way, its bytes apart.
type frame struct {
	len     int32
	offload link.Offload
}

func newLane(maxFrames, maxBytes int) *lane {
	l := &lane{maxFrames: maxFrames, maxBytes: maxBytes}
	l.arrived.L = &l.mu
	return l
}

// push copies frames into the lane, as far as they find room.
func (l *lane) push(frames []link.Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wasEmpty := l.frames.Len() == 0
	for i := range frames {
		f := &frames[i]
		n := f.Len()
		if l.closed || l.frames.Len() == l.maxFrames || l.bytes.Len()+n > l.maxBytes {
			l.dropped++
			continue
		}
		l.bytes.Append(f.Data)
		for _, p := range f.Payload {
			l.bytes.Append(p)
		}
		l.frames.Push(frame{len: int32(n), offload: f.Offload})
	}
	if wasEmpty && l.frames.Len() > 0 {
		l.arrived.Signal() // there is one reader, and it only waits when there is nothing
	}
}

// pop waits for a frame and fills as many of frames as there are, with turn locked while it
// does so, and on return when there are some.
func (l *lane) pop(turn sync.Locker, frames []link.Frame) (int, error) {
	for len(frames) > 0 {
		if err := l.await(); err != nil {
			return 0, err
		}
		turn.Lock()
		if n := l.poll(frames); n > 0 {
			return n, nil
		}
		turn.Unlock() // somebody else has had them
	}
	return 0, nil
}

// await waits for a frame.
func (l *lane) await() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.frames.Len() == 0 && !l.closed {
		l.arrived.Wait()
	}
	if l.closed {
		return link.ErrClosed
	}
	return nil
}

// poll is pop without waiting.
func (l *lane) poll(frames []link.Frame) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fill(frames)
}

// fill moves what is there into frames and returns how many of them it filled.
func (l *lane) fill(frames []link.Frame) int {
	n := 0
	for n < len(frames) && l.frames.Len() > 0 {
		f := l.frames.Pop()
		if int(f.len) > len(frames[n].Data) {
			l.skip(int(f.len))
			continue
		}
		frames[n] = link.Frame{Data: frames[n].Data[:f.len], Offload: f.offload}
		l.bytes.Read(frames[n].Data)
		n++
	}
	return n
}

// skip drops the n bytes of a frame that is too long for its reader.
func (l *lane) skip(n int) {
	b := buffer.NewBlock() // holds the longest frame
	l.bytes.Read(b.B[:n])
	b.Release()
	l.dropped++
}

// close ends all reads, drops what waits, and from now on drops what comes.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.dropped += uint64(l.frames.Len())
	l.frames = ring.Ring[frame]{}
	l.bytes.Clear()
	l.arrived.Broadcast()
}

func (l *lane) drops() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

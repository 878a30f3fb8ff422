package stack

import (
	"testing"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// glut is a device with more frames than are asked for, of the lengths in sizes, in turn.
type glut struct {
	link.Device
	sizes   []int
	offered []int // to each Read: how many frames
	done    chan struct{}
}

func (f *glut) Queues() []link.Queue { return []link.Queue{f} }

func (f *glut) Write(frames []link.Frame) (int, error) { return len(frames), nil }

func (f *glut) Read(frames []link.Frame) (int, error) {
	if len(f.offered) == len(f.sizes) {
		close(f.done)
		return 0, link.ErrClosed
	}
	size := f.sizes[len(f.offered)]
	for i := range frames {
		frames[i].Data = frames[i].Data[:size]
		frames[i].Data[0] = 0 // no version of IP
	}
	f.offered = append(f.offered, len(frames))
	return len(frames), nil
}

// TestLargeFramesAreReadFewAtOnce: as many small frames are read at once as are there, but of
// large ones no more than the caches hold, also when they follow small ones.
func TestLargeFramesAreReadFewAtOnce(t *testing.T) {
	const small, large, most = 1500, 64000, 1 << 20
	sizes := make([]int, 60)
	for i := range sizes {
		sizes[i] = small
		if i < 20 || i >= 40 {
			sizes[i] = large
		}
	}
	a, b := pipe.New(pipe.Config{})
	defer b.Close()
	f := &glut{Device: a, sizes: sizes, done: make(chan struct{})}
	s := newStack(t, f, serverConfig())
	<-f.done
	s.Close()
	for i, n := range f.offered {
		settled := i%20 >= 10
		switch {
		case settled && sizes[i] == small && n != maxFrames:
			t.Errorf("read %d: room for %d small frames, want %d", i, n, maxFrames)
		case settled && sizes[i] == large && (n < minFrames || n*large > most):
			t.Errorf("read %d: room for %d large frames", i, n)
		}
	}
}

package impair

import (
	"errors"

	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/link"
)

// outbound is the direction from the writer to the wrapped device.
type outbound struct {
	line
	under  []link.Queue
	frames []link.Frame // of handOn
}

func newOutbound(cfg Config, under []link.Queue) *outbound {
	o := &outbound{under: under}
	o.init(cfg, streamOut, o.handOn)
	return o
}

// write puts frames on their way, cut into packets.
func (o *outbound) write(queue int, frames []link.Frame) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, link.ErrClosed
	}
	now := o.now()
	for i := range frames {
		err := gso.Split(&frames[i], func(p *link.Frame) { o.arrive(now, queue, p) })
		if err != nil {
			return i, errors.Join(err, o.flush(now))
		}
	}
	if err := o.flush(now); err != nil {
		return 0, err
	}
	return len(frames), nil
}

// handOn writes a batch to the wrapped device. Its error is ErrClosed or nil: any
// other is about one packet, which is counted.
func (o *outbound) handOn(batch []*packet) (err error) {
	for from := 0; from < len(batch); {
		queue := batch[from].queue
		o.frames = o.frames[:0]
		for _, p := range batch[from:] {
			if p.queue != queue {
				break
			}
			o.frames = append(o.frames, link.Frame{Data: p.data(), Offload: link.Offload{Checksum: link.ChecksumNone}})
		}
		from += len(o.frames)
		err = errors.Join(err, o.handOver(o.under[queue], o.frames))
	}
	clear(o.frames)
	for _, p := range batch {
		o.done(p)
	}
	return err
}

// handOver writes frames to one queue, leaving out those that it refuses.
func (o *outbound) handOver(q link.Queue, frames []link.Frame) error {
	for len(frames) > 0 {
		n, err := q.Write(frames)
		o.stats.Passed += uint64(n)
		frames = frames[n:]
		switch {
		case len(frames) == 0:
			return nil
		case errors.Is(err, link.ErrClosed):
			o.stats.Refused += uint64(len(frames))
			return err
		}
		o.stats.Refused++
		frames = frames[1:]
	}
	return nil
}

package impair

import (
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/ring"
)

// bottleneck is the slowest hop of a direction and the queue in front of it. It holds
// no packets, only their sizes and when they will have left.
type bottleneck struct {
	rate                 int64 // bits a second; 0: there is none
	maxPackets, maxBytes int   // 0: no such bound

	queue ring.Ring[leaving]
	bytes int // of the packets in queue
	// free is when the last bit of the last packet has left, and rest what the
	// division left over, in 1/rate nanoseconds: without it a rate would be missed by
	// up to a nanosecond a packet.
	free mono.Time
	rest uint64
}

type leaving struct {
	at   mono.Time
	size int
}

// send queues a packet of size bytes and returns when its last bit has left; false if
// the queue is full and the packet dropped.
func (b *bottleneck) send(now mono.Time, size int) (mono.Time, bool) {
	if b.rate == 0 {
		return now, true
	}
	for b.queue.Len() > 0 && b.queue.Front().at <= now {
		b.bytes -= b.queue.Pop().size
	}
	if b.maxPackets > 0 && b.queue.Len() >= b.maxPackets || b.maxBytes > 0 && b.bytes+size > b.maxBytes {
		return 0, false
	}
	if b.free < now {
		b.free, b.rest = now, 0
	}
	// No overflow: a packet is at most 64 KiB, and rest is below the largest int64.
	work := uint64(size)*8*uint64(time.Second) + b.rest
	b.free, b.rest = b.free.Add(time.Duration(work/uint64(b.rate))), work%uint64(b.rate)
	b.queue.Push(leaving{at: b.free, size: size})
	b.bytes += size
	return b.free, true
}

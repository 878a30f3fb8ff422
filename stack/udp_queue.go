package stack

import (
	"net/netip"

	"github.com/a644562b/portico/internal/ring"
)

// Every datagram that waits counts for datagramOverhead bytes more than its payload, so
// that empty ones are not free.
const datagramOverhead = 256

// datagram is what is known of one that waits to be read, besides its payload.
type datagram struct {
	from     netip.AddrPort
	to       netip.Addr // as it was sent to, which may be a group or a broadcast address
	size     int        // bytes of payload
	ttl, tos uint8
}

// datagramSize is the size of a datagram in bytes, rounded up.
const datagramSize = 80

func (d *datagram) charge() int { return d.size + datagramOverhead }

// datagrams is a queue of datagrams with their payloads in one ring of bytes, so that
// nothing is allocated for a datagram and what is held is what the limit says. An empty
// socket that was never full holds nothing.
//
// The caller's lock guards it.
type datagrams struct {
	list  ring.Ring[datagram]
	bytes []byte // its length is 0 or a power of two
	head  int    // index of the oldest byte
	n     int    // bytes in the ring

	charged int // what the queue counts for
	peak    int // the most bytes in the ring since it was last empty
	calm    int // how often in a row it became empty without having needed its size
}

const (
	smallestQueue = 2048
	// A ring that was far too large calmRounds times in a row is halved.
	calmRounds = 64
)

// push adds a datagram, whose payload it copies, unless the queue would count for more
// than limit bytes; an empty queue takes any datagram.
func (q *datagrams) push(d datagram, payload []byte, limit int) bool {
	d.size = len(payload)
	if q.charged != 0 && q.charged+d.charge() > limit {
		return false
	}
	if need := q.n + len(payload); need > len(q.bytes) {
		q.resize(need)
	}
	if len(payload) > 0 {
		at := (q.head + q.n) & (len(q.bytes) - 1)
		n := copy(q.bytes[at:], payload)
		copy(q.bytes, payload[n:])
		q.n += len(payload)
	}
	q.peak = max(q.peak, q.n)
	q.charged += d.charge()
	q.list.Push(d)
	return true
}

// pop takes the oldest datagram out and copies what fits of it to the parts of b in
// order. The queue must not be empty.
func (q *datagrams) pop(b ...[]byte) (d datagram, copied int) {
	d = q.list.Pop()
	left := d.size
	for _, p := range b {
		n := q.peek(p[:min(len(p), left)], d.size-left)
		copied += n
		left -= n
	}
	q.n -= d.size
	q.charged -= d.charge()
	if len(q.bytes) > 0 {
		q.head = (q.head + d.size) & (len(q.bytes) - 1)
	}
	if q.n == 0 {
		q.emptied()
	}
	return d, copied
}

// peek copies len(b) bytes, which are there, from offset behind the oldest.
func (q *datagrams) peek(b []byte, offset int) int {
	if len(b) == 0 {
		return 0
	}
	at := (q.head + offset) & (len(q.bytes) - 1)
	n := copy(b, q.bytes[at:])
	copy(b[n:], q.bytes)
	return len(b)
}

// emptied gives memory back in the long run.
func (q *datagrams) emptied() {
	q.head = 0
	if q.peak > len(q.bytes)/4 || len(q.bytes) <= smallestQueue {
		q.calm = 0
	} else if q.calm++; q.calm == calmRounds {
		q.calm = 0
		q.bytes = make([]byte, len(q.bytes)/2)
	}
	q.peak = 0
}

// resize makes the ring large enough for need bytes.
func (q *datagrams) resize(need int) {
	size := max(smallestQueue, len(q.bytes))
	for size < need {
		size *= 2
	}
	bytes := make([]byte, size)
	q.peek(bytes[:q.n], 0)
	q.bytes, q.head = bytes, 0
}

// footprint is what the queue counts for in bytes, or what it holds if that is more.
func (q *datagrams) footprint() int {
	return max(q.charged, len(q.bytes)+q.list.Cap()*datagramSize)
}

// len is how many datagrams wait.
func (q *datagrams) len() int { return q.list.Len() }

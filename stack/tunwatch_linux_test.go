package stack

import (
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/link"
)

// watched is a device under the eyes of a judge, which sees every frame that goes to the
// kernel and comes from it.
type watched struct {
	link.Device
	judge *judge
}

func (w watched) Spread(n int) error { return link.Spread(w.Device, n) }

func (w watched) Queues() []link.Queue {
	queues := append([]link.Queue(nil), w.Device.Queues()...)
	for i, q := range queues {
		queues[i] = &watchedQueue{q, i, w.judge}
	}
	return queues
}

type watchedQueue struct {
	link.Queue
	number int
	judge  *judge
}

func (q *watchedQueue) Read(frames []link.Frame) (int, error) {
	n, err := q.Queue.Read(frames)
	for i := range frames[:n] {
		q.judge.see(q.number, "in", &frames[i])
	}
	return n, err
}

func (q *watchedQueue) Write(frames []link.Frame) (int, error) {
	for i := range frames {
		q.judge.see(q.number, "out", &frames[i])
	}
	return q.Queue.Write(frames)
}

// judge decodes what it sees by gopacket and holds it against the MTU. With offloads each piece
// of a super-segment counts; without, nothing may be left for others to do.
type judge struct {
	mtu     int
	offload bool

	mu     sync.Mutex
	broken string         // the first rule that was broken
	supers map[string]int // super-segments by direction
	queues map[flowID]*flowQueues
}

// flowID is a TCP connection: our end and the kernel's.
type flowID struct{ ours, kernel netip.AddrPort }

// flowQueues are the queues that a flow was seen on last, and all that it was seen on. An ACK
// that the kernel delays, or a segment that it repeats, comes at a time of its own: only what is
// new counts for in.
type flowQueues struct {
	in, out int
	all     map[int]bool
	next    uint32 // the sequence number behind all that has come in
	// lastOut is a copy of our last segment without data.
	lastOut []byte
}

func newJudge(mtu int, offload bool) *judge {
	return &judge{mtu: mtu, offload: offload, supers: map[string]int{}, queues: map[flowID]*flowQueues{}}
}

func (j *judge) see(queue int, way string, f *link.Frame) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if fault := j.fault(f); fault != "" && j.broken == "" {
		j.broken = fmt.Sprintf("%s on queue %d: %s: %+v", way, queue, fault, f.Offload)
	}
	if f.GSO != link.GSONone {
		j.supers[way]++
	}
	j.follow(queue, way, f)
}

// fault says what is wrong with a frame.
func (j *judge) fault(f *link.Frame) string {
	longest := f.Len()
	if f.GSO != link.GSONone {
		longest = int(f.HeaderLen) + int(f.GSOSize)
	}
	switch {
	case longest > j.mtu:
		return fmt.Sprintf("a packet of %d bytes, the MTU is %d", longest, j.mtu)
	case !j.offload && f.GSO != link.GSONone:
		return "a super-segment"
	case !j.offload && f.Checksum != link.ChecksumNone:
		return "a checksum left to others"
	}
	return ""
}

// follow notes by which queue a flow goes.
func (j *judge) follow(queue int, way string, f *link.Frame) {
	kind := layers.LayerTypeIPv4
	if f.Data[0]>>4 == 6 {
		kind = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(f.Data, kind, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	segment, ok := p.TransportLayer().(*layers.TCP)
	if !ok {
		return
	}
	src, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
	dst, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
	id := flowID{netip.AddrPortFrom(dst, uint16(segment.DstPort)), netip.AddrPortFrom(src, uint16(segment.SrcPort))}
	if way == "out" {
		id = flowID{id.kernel, id.ours}
	}
	l := j.queues[id]
	if l == nil {
		l = &flowQueues{in: -1, out: -1, all: map[int]bool{}}
		j.queues[id] = l
	}
	l.all[queue] = true
	if way == "in" {
		end := segment.Seq + uint32(len(segment.Payload))
		if segment.SYN || segment.FIN {
			end++
		}
		if end != segment.Seq && (l.in < 0 || int32(end-l.next) > 0) {
			l.in, l.next = queue, end
		}
		return
	}
	l.out = queue
	if len(f.Payload) == 0 && len(segment.Payload) == 0 {
		l.lastOut = append([]byte(nil), f.Data...)
	}
}

// flow is what is known of a connection by now.
func (j *judge) flow(ours, kernel netip.AddrPort) flowQueues {
	j.mu.Lock()
	defer j.mu.Unlock()
	l := j.queues[flowID{ours, kernel}]
	if l == nil {
		return flowQueues{in: -1, out: -1}
	}
	seen := *l
	seen.all = maps.Clone(l.all)
	return seen
}

// check fails the test if a rule was broken.
func (j *judge) check(t *testing.T) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != "" {
		t.Error(j.broken)
	}
}

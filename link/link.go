// Package link is the wire as the house sees it: a Device moves batches of
// frames, and each frame carries its offload state, so that a 64 KiB TCP
// super-segment and a 40-byte ACK travel by the same call.
//
// A frame starts with the IP header; there is no link-layer header (a TUN has
// none). The package refuses to look inside: IP is the business of package ip.
package link

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// ErrClosed is returned by calls on a closed Device.
var ErrClosed = errors.New("link: device closed")

// MaxFrame is the largest frame in bytes: an IPv4 packet of 65,535, or an IPv6
// header of 40 with a payload of 65,535. (But see BigSender.)
const MaxFrame = 65535 + 40

// GSO says how a super-segment is to be cut.
type GSO uint8

const (
	GSONone GSO = iota // an ordinary packet
	GSOTCP4            // TCP over IPv4, cut into Offload.GSOSize bytes of payload each
	GSOTCP6            // TCP over IPv6, likewise
	GSOUDP             // UDP (USO): each piece a datagram of GSOSize bytes of payload
)

// Checksum is the state of the transport checksum of a frame.
type Checksum uint8

const (
	// ChecksumNone: nobody vouches. A receiver verifies; a sender has filled it in.
	ChecksumNone Checksum = iota
	// ChecksumPartial: the field holds the folded, not inverted pseudo-header sum and
	// the rest is left to whoever puts the frame on a real wire. Received, it means
	// that a local sender left it so: accept.
	ChecksumPartial
	// ChecksumValid: it has been verified already. Only meaningful when received.
	ChecksumValid
)

// Offload is what the two ends of a device tell each other about a frame
// besides its bytes (the virtio_net_hdr of Linux, without its layout).
type Offload struct {
	GSO      GSO
	Checksum Checksum
	// GSOSize is the payload in bytes of each piece of a super-segment; 0 for
	// GSONone.
	GSOSize uint16
	// HeaderLen is the length in bytes of the IP and transport headers, which every
	// piece repeats; needed for a super-segment, else it may be 0.
	HeaderLen uint16
	// ChecksumStart is where the transport header starts, ChecksumOffset where in
	// it the checksum stands, in bytes; only meaningful with ChecksumPartial.
	ChecksumStart, ChecksumOffset uint16
}

// Frame is one IP packet or one super-segment. A reader does not see who made the
// latter: the sender's host, one on the way, or the device that was read.
type Frame struct {
	// Data is the packet, from its IP header on. For Read the caller provides the
	// memory (MaxFrame bytes are always enough) and the device shortens Data to
	// what arrived. For Write it is the packet or its beginning.
	Data []byte
	// Payload continues Data when writing, in order; the device gathers it and does
	// not keep it after Write returns. It is nil on frames that were read.
	Payload [][]byte
	Offload
}

// Len is the length of the frame in bytes, Data and Payload together.
func (f *Frame) Len() int {
	n := len(f.Data)
	for _, p := range f.Payload {
		n += len(p)
	}
	return n
}

// AppendTo appends the bytes of the frame, gathered, to b.
func (f *Frame) AppendTo(b []byte) []byte {
	b = append(b, f.Data...)
	for _, p := range f.Payload {
		b = append(b, p...)
	}
	return b
}

// Queue is one lane of a device. One goroutine reads it; Write may be called by
// any number at once.
type Queue interface {
	// Read waits until at least one frame is there and returns how many of frames
	// it filled. A frame that does not fit is dropped and counted, never cut.
	// After Close it returns an error that is ErrClosed.
	Read(frames []Frame) (int, error)
	// Write sends frames in order and returns how many were handed over. It does
	// not wait for the receiver: what finds no room is dropped, as on a wire. It
	// does not change or keep the frames' memory. The error says why the frame after
	// the last one could not be sent; ErrClosed after Close.
	Write(frames []Frame) (int, error)
}

// SharedQueue is a Queue that several goroutines read in turn: one that waits for frames, and
// whoever else would rather take in what is there than wait for that one. What they read
// under the same lock comes in order.
type SharedQueue interface {
	Queue
	// ReadShared is Read with l locked whenever it reads, and not while it waits. When it returns
	// frames l is locked, else it is not. It uses the memory of frames with l locked only:
	// meanwhile whoever else has the lock may give the same to Poll.
	ReadShared(l sync.Locker, frames []Frame) (int, error)
	// Poll reads what is there, and does not wait. The caller holds the lock. It returns 0 when
	// there is nothing, and when the device has failed or is closed: ReadShared says which.
	Poll(frames []Frame) int
}

// Unshared is the lock of a SharedQueue that has one reader.
type Unshared struct{}

func (Unshared) Lock()   {}
func (Unshared) Unlock() {}

// Caps are the offloads that the far side of a device takes off a writer's hands.
type Caps struct {
	// Checksum: frames with ChecksumPartial may be written.
	Checksum bool
	// TSO4, TSO6, USO: super-segments of that kind may be written.
	TSO4, TSO6, USO bool
}

// Spreader is a Device whose far side can be told by how many of the queues to send.
type Spreader interface {
	Device
	// Spread has the far side send by the first n queues from now on, 1 to len(Queues());
	// a Device begins with all of them. What the far side sends by the others while they go may
	// be lost, and so may what is not read of it until Spread returns. Frames may be written to
	// any queue whatever n is. It may take some milliseconds. After Close the error is
	// ErrClosed; after any other the far side may send by more queues than n, or by fewer.
	Spread(n int) error
}

// Spread is d.Spread(n), or an error that is errors.ErrUnsupported where d is no Spreader.
// Devices that wrap others have their Spread from it.
func Spread(d Device, n int) error {
	if s, ok := d.(Spreader); ok {
		return s.Spread(n)
	}
	return fmt.Errorf("link: device %s cannot send by fewer queues than it has: %w", d.Name(), errors.ErrUnsupported)
}

// BigSender is a Device whose far side takes TCP super-segments over IPv4 that are longer than any
// IPv4 packet (BIG TCP, as Linux calls it). The total length in their IP header is 0, as it has
// no room for theirs.
type BigSender interface {
	Device
	// BigTo is how long such a frame to dst may be, in bytes; 0: not longer than MaxFrame. It may
	// change, but what could be written once may be written as long as Caps have TSO4.
	BigTo(dst netip.Addr) int
}

// EventKind is what happened to a device.
type EventKind uint8

const (
	EventUp EventKind = iota + 1
	// EventDown: nothing passes until EventUp; what is written meanwhile is dropped.
	EventDown
	EventMTU
	// EventGone: nothing will pass any more, for the far side has closed the wire.
	EventGone
)

// Event is a change of a device's state.
type Event struct {
	Kind EventKind
	MTU  int // the new MTU in bytes, with EventMTU
}

func (e Event) String() string {
	switch e.Kind {
	case EventUp:
		return "up"
	case EventDown:
		return "down"
	case EventMTU:
		return fmt.Sprintf("mtu %d", e.MTU)
	case EventGone:
		return "gone"
	}
	return "unknown event"
}

// Device is a network interface. All methods may be called at any time from any
// goroutine (but see Queue.Read).
type Device interface {
	// Name is what a person calls the device, "tun0" for one.
	Name() string
	// MTU is the largest IP packet in bytes that the wire carries; super-segments
	// are longer and are cut to it. It may change: see Events.
	MTU() int
	// Caps says which offloads may be written now. They may shrink for good when the
	// far side refuses one; then the device has cut the refused frame itself.
	Caps() Caps
	// Queues are the lanes of the device, at least one. The slice does not change.
	Queues() []Queue
	// Events delivers changes of state; it is closed by Close. A reader that falls
	// behind loses the oldest.
	Events() <-chan Event
	// Close takes the device down and ends all Reads. Closing twice returns
	// ErrClosed.
	Close() error
}

package stack

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// deliver queues data, which it copies, as datagrams of size bytes each and a last one
// of what is left; d is what is known of all of them. It counts in sh what became of each,
// and is false when the socket has been closed.
func (u *UDPConn) deliver(sh *shard, d datagram, data []byte, size int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return false
	}
	defer u.settleFlow()
	u.used()
	count := &sh.udp[familyIndex(d.to)]
	for {
		n := min(size, len(data))
		if u.flowFull() || !u.queue.push(d, data[:n], u.limit) {
			u.drops.Add(1)
			sh.drop(dropUDPQueue, 1)
			add(&count.RcvbufErrors, 1)
			add(&count.InErrors, 1)
		} else {
			add(&count.InDatagrams, 1)
		}
		u.canRead.Signal()
		if data = data[n:]; len(data) == 0 {
			return true
		}
	}
}

// fail makes the next read or write return an error that the network has reported.
func (u *UDPConn) fail(errno syscall.Errno) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = errno
	u.canRead.Broadcast()
}

// tooBig is fail for a datagram that was longer than the path takes, which a socket that
// lets routers cut does not want to know.
func (u *UDPConn) tooBig() {
	u.mu.Lock()
	told := u.options.pathMTU != PathMTUDont
	u.mu.Unlock()
	if told {
		u.fail(syscall.EMSGSIZE)
	}
}

// await waits for a datagram. The socket is locked.
func (u *UDPConn) await() error {
	for {
		switch {
		case u.closed:
			return net.ErrClosed
		case u.readDeadline.expired:
			return os.ErrDeadlineExceeded
		case u.fault != 0:
			return u.report("read")
		case u.queue.len() > 0:
			return nil
		case u.ended():
			return io.EOF
		}
		u.canRead.Wait()
	}
}

// report returns the pending error, once.
func (u *UDPConn) report(call string) error {
	errno := u.fault
	u.fault = 0
	return os.NewSyscallError(call, errno)
}

// receive waits for a datagram and copies what fits of it to b; the rest is lost, as on
// Linux.
func (u *UDPConn) receive(b []byte) (n int, d datagram, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.await(); err != nil {
		return 0, datagram{}, err
	}
	d, n = u.queue.pop(b)
	u.settleFlow()
	return n, d, nil
}

// Read reads one datagram. What does not fit b is lost.
func (u *UDPConn) Read(b []byte) (int, error) {
	n, _, err := u.receive(b)
	return n, u.opError("read", err)
}

// ReadFrom reads one datagram and tells its sender, a *net.UDPAddr.
func (u *UDPConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := u.ReadFromUDP(b)
	if err != nil {
		return n, nil, err
	}
	return n, from, nil
}

// ReadFromUDP is ReadFrom with the concrete type.
func (u *UDPConn) ReadFromUDP(b []byte) (int, *net.UDPAddr, error) {
	n, from, err := u.ReadFromUDPAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without the allocation.
func (u *UDPConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, d, err := u.receive(b)
	return n, u.stack.zoned(d.from), u.opError("read", err)
}

// msgTrunc is MSG_TRUNC of Linux, for the flags of ReadMsgUDP: the datagram was longer
// than the buffer.
const msgTrunc = 0x20

// ReadMsgUDP is ReadFromUDP that tells by flags, which then are 0x20, that the datagram
// did not fit b. Nothing is written to oob and oobn is 0: for the TOS, TTL and destination
// of a datagram see ReadMsg.
func (u *UDPConn) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	n, oobn, flags, from, err := u.ReadMsgUDPAddrPort(b, oob)
	if err != nil {
		return n, oobn, flags, nil, err
	}
	return n, oobn, flags, net.UDPAddrFromAddrPort(from), nil
}

// ReadMsgUDPAddrPort is ReadMsgUDP without the allocation.
func (u *UDPConn) ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error) {
	n, d, err := u.receive(b)
	if d.size > n {
		flags = msgTrunc
	}
	return n, 0, flags, u.stack.zoned(d.from), u.opError("read", err)
}

// UDPMessage is a datagram with what there is to know of it: what ReadMsg and ReadBatch
// fill in, and what WriteMsg and WriteBatch are told.
type UDPMessage struct {
	// Buffers are the payload, its parts one behind the other. A read fills them as far
	// as the datagram goes.
	Buffers [][]byte
	// N is how many bytes of Buffers were read or sent.
	N int
	// Addr is who sent the datagram, or whom to send it to; to write, the zero AddrPort
	// on a socket that was dialed.
	Addr netip.AddrPort
	// Local is the address that the datagram was sent to, or is to be sent from: one of
	// the stack's own. To write, the zero Addr leaves the choice to the socket.
	Local netip.Addr
	// TTL and TOS are those of the IP header. To write, 0 stands for the socket's
	// setting.
	TTL, TOS uint8
	// Segment is, to write, the bytes of payload that Buffers are to be cut into; 0 stands
	// for the socket's setting (SetSegmentSize).
	Segment int
	// Truncated: the datagram that was read did not fit, and its rest is lost.
	Truncated bool
}

// fill takes the oldest datagram of the socket, which is locked.
func (m *UDPMessage) fill(u *UDPConn) {
	d, n := u.queue.pop(m.Buffers...)
	m.N, m.Addr, m.Local, m.TTL, m.TOS = n, u.stack.zoned(d.from), d.to, d.ttl, d.tos
	m.Segment, m.Truncated = 0, d.size > n
}

// ReadMsg reads one datagram into m, whose Buffers say where to.
func (u *UDPConn) ReadMsg(m *UDPMessage) error {
	u.mu.Lock()
	err := u.await()
	if err == nil {
		m.fill(u)
		u.settleFlow()
	}
	u.mu.Unlock()
	return u.opError("read", err)
}

// ReadBatch waits for a datagram and reads all that are there then, as many as ms has
// room for. It returns how many that were.
func (u *UDPConn) ReadBatch(ms []UDPMessage) (int, error) {
	if len(ms) == 0 {
		return 0, nil
	}
	u.mu.Lock()
	err := u.await()
	n := 0
	for err == nil && n < len(ms) && u.queue.len() > 0 {
		ms[n].fill(u)
		n++
	}
	u.settleFlow()
	u.mu.Unlock()
	return n, u.opError("read", err)
}

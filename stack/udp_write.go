package stack

import (
	"net"
	"net/netip"
	"os"
	"syscall"
)

// Write sends a datagram to the address that was dialed. One that cannot be sent in one
// piece or, where the settings allow it, in fragments gives EMSGSIZE.
func (u *UDPConn) Write(b []byte) (int, error) {
	o := getOutbox()
	defer o.put()
	o.parts[0] = b
	m := UDPMessage{Buffers: o.parts[:]}
	err := u.send(&m, o)
	if err != nil {
		return 0, u.opError("write", err)
	}
	return len(b), nil
}

// WriteTo sends a datagram to addr, a *net.UDPAddr. On a socket that was dialed the error
// is net.ErrWriteToConnected.
func (u *UDPConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, ok := addrPortOf(addr)
	if !ok || addr.Network() != networkUDP {
		err := error(syscall.EINVAL)
		if u.connected() {
			err = net.ErrWriteToConnected
		}
		return 0, opError("write", u.network, u.LocalAddr(), addr, err)
	}
	if err := u.sendTo(b, to); err != nil {
		return 0, opError("write", u.network, u.LocalAddr(), addr, err)
	}
	return len(b), nil
}

// WriteToUDP is WriteTo with the concrete type.
func (u *UDPConn) WriteToUDP(b []byte, addr *net.UDPAddr) (int, error) {
	if addr == nil {
		err := errMissingAddress
		if u.connected() {
			err = net.ErrWriteToConnected
		}
		return 0, opError("write", u.network, u.LocalAddr(), nil, err)
	}
	return u.WriteTo(b, addr)
}

// WriteToUDPAddrPort is WriteTo without the allocation.
func (u *UDPConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if err := u.sendTo(b, to); err != nil {
		return 0, opError("write", u.network, u.LocalAddr(), net.UDPAddrFromAddrPort(to), err)
	}
	return len(b), nil
}

// sendTo is send to an address of the user, of which an unspecified one is the stack
// itself.
func (u *UDPConn) sendTo(b []byte, to netip.AddrPort) error {
	if u.connected() {
		return net.ErrWriteToConnected
	}
	addr := to.Addr().Unmap()
	if !addr.IsValid() || addr.IsUnspecified() {
		own, ok := u.stack.addrs.anyOwn(u.binding.families)
		if !ok {
			return os.NewSyscallError("sendto", syscall.ENETUNREACH)
		}
		addr = own
	}
	o := getOutbox()
	defer o.put()
	o.parts[0] = b
	m := UDPMessage{Buffers: o.parts[:], Addr: netip.AddrPortFrom(addr, to.Port())}
	return u.send(&m, o)
}

// WriteMsgUDP is WriteToUDP, or Write where addr is nil. Control messages are not taken: oob
// must be empty; for what they say see WriteMsg.
func (u *UDPConn) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	switch {
	case len(oob) > 0:
		err = opError("write", u.network, u.LocalAddr(), udpAddrOrNil(addr), os.NewSyscallError("sendmsg", syscall.EINVAL))
	case addr == nil && u.connected():
		n, err = u.Write(b)
	default:
		n, err = u.WriteToUDP(b, addr)
	}
	return n, 0, err
}

// WriteMsgUDPAddrPort is WriteMsgUDP without the allocation; the zero AddrPort stands for
// nil.
func (u *UDPConn) WriteMsgUDPAddrPort(b, oob []byte, addr netip.AddrPort) (n, oobn int, err error) {
	switch {
	case len(oob) > 0:
		err = opError("write", u.network, u.LocalAddr(), net.UDPAddrFromAddrPort(addr), os.NewSyscallError("sendmsg", syscall.EINVAL))
	case addr == netip.AddrPort{} && u.connected():
		n, err = u.Write(b)
	default:
		n, err = u.WriteToUDPAddrPort(b, addr)
	}
	return n, 0, err
}

// udpAddrOrNil keeps a nil pointer from becoming an interface that is not nil.
func udpAddrOrNil(a *net.UDPAddr) net.Addr {
	if a == nil {
		return nil
	}
	return a
}

// WriteMsg sends one datagram, or as many as m.Segment makes of it, and sets m.N.
func (u *UDPConn) WriteMsg(m *UDPMessage) error {
	o := getOutbox()
	defer o.put()
	return u.writeMsg(m, o)
}

func (u *UDPConn) writeMsg(m *UDPMessage, o *outbox) error {
	err := net.ErrWriteToConnected
	if !u.connected() || !m.Addr.IsValid() {
		err = u.send(m, o)
	}
	if err != nil {
		m.N = 0
		addr := u.RemoteAddr()
		if m.Addr.IsValid() {
			addr = net.UDPAddrFromAddrPort(m.Addr)
		}
		return opError("write", u.network, u.LocalAddr(), addr, err)
	}
	m.N = 0
	for _, b := range m.Buffers {
		m.N += len(b)
	}
	return nil
}

// WriteBatch sends the datagrams of ms in order and returns how many were sent before
// the first error.
func (u *UDPConn) WriteBatch(ms []UDPMessage) (int, error) {
	o := getOutbox()
	defer o.put()
	for i := range ms {
		if err := u.writeMsg(&ms[i], o); err != nil {
			return i, err
		}
	}
	return len(ms), nil
}

// send sends m, whose addresses are the user's.
func (u *UDPConn) send(m *UDPMessage, o *outbox) error {
	options, err := u.maySend()
	if err != nil {
		return err
	}
	to := u.peer
	if !u.connected() {
		if !m.Addr.IsValid() {
			return os.NewSyscallError("write", syscall.EDESTADDRREQ)
		}
		addr, err := u.stack.unzoned(m.Addr.Addr().Unmap())
		if err != nil {
			return err
		}
		to = netip.AddrPortFrom(addr, m.Addr.Port())
	}
	if !u.binding.families.has(to.Addr()) {
		return &net.AddrError{Err: noSuitableAddress, Addr: to.String()}
	}
	if to.Port() == 0 {
		return os.NewSyscallError("sendto", syscall.EINVAL)
	}
	src, err := u.source(m, to.Addr())
	if err != nil {
		return err
	}
	out := outgoing{src: netip.AddrPortFrom(src, u.binding.port), dst: to, udpOptions: options}
	if !out.broadcast && u.stack.addrs.isBroadcast(to.Addr()) {
		return os.NewSyscallError("sendto", syscall.EACCES)
	}
	out.override(m)
	if err := u.stack.sendDatagram(&out, m.Buffers, o); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	return nil
}

// override replaces settings of the socket by those of one message.
func (out *outgoing) override(m *UDPMessage) {
	if out.dst.Addr().IsMulticast() {
		out.ttl = out.groupTTL
	}
	if m.TTL != 0 {
		out.ttl = m.TTL
	}
	if m.TOS != 0 {
		out.tos = m.TOS
	}
	if m.Segment != 0 {
		out.segment = m.Segment
	}
}

// source is the address to send m from.
func (u *UDPConn) source(m *UDPMessage, to netip.Addr) (netip.Addr, error) {
	src, err := u.stack.source(to)
	if err != nil {
		return src, os.NewSyscallError("sendto", err)
	}
	if u.binding.addr.IsValid() {
		src = u.binding.addr
	}
	if m.Local.IsValid() {
		if src, err = u.stack.unzoned(m.Local.Unmap()); err != nil {
			return src, err
		}
		if !u.stack.addrs.isLocal(src) || src.Is4() != to.Is4() {
			return src, os.NewSyscallError("sendto", syscall.EINVAL)
		}
	}
	if src.IsLoopback() && !u.stack.addrs.isLocal(to) {
		return src, os.NewSyscallError("sendto", syscall.EINVAL) // never on a wire (RFC 1122, section 3.2.1.3 (g))
	}
	return src, nil
}

// maySend returns the settings to send with, or why nothing can be sent now.
func (u *UDPConn) maySend() (udpOptions, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.closed:
		return udpOptions{}, net.ErrClosed
	case u.writeDeadline.expired:
		return udpOptions{}, os.ErrDeadlineExceeded
	case u.fault != 0:
		return udpOptions{}, u.report("write")
	case u.ended():
		return udpOptions{}, os.NewSyscallError("write", syscall.EPIPE)
	}
	u.used()
	return u.options, nil
}

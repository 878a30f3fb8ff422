package main

import (
	"fmt"
	"log"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// vnetEndpoint is a link endpoint for a TUN with IFF_VNET_HDR: the kernel's TSO
// packets (up to 64 KiB) go into netstack whole, and netstack's host GSO packets
// go to the kernel whole, both with partial checksums. gVisor ships no such
// endpoint for TUN (fdbased does GSO on sockets only).
type vnetEndpoint struct {
	fds    []int
	mtu    uint32
	attach atomic.Pointer[stack.NetworkDispatcher]
}

const vnetLen = 10

func newVnet() (stack.LinkEndpoint, error) {
	fds, err := openQueues(unix.IFF_VNET_HDR)
	if err != nil {
		return nil, err
	}
	for _, fd := range fds {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6); err != nil {
			return nil, fmt.Errorf("TUNSETOFFLOAD: %w", err)
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, err
		}
	}
	return &vnetEndpoint{fds: fds, mtu: uint32(*flagMTU)}, nil
}

func (e *vnetEndpoint) MTU() uint32                             { return e.mtu }
func (e *vnetEndpoint) SetMTU(m uint32)                         { e.mtu = m }
func (e *vnetEndpoint) MaxHeaderLength() uint16                 { return 0 }
func (e *vnetEndpoint) LinkAddress() tcpip.LinkAddress          { return "" }
func (e *vnetEndpoint) SetLinkAddress(tcpip.LinkAddress)        {}
func (e *vnetEndpoint) Wait()                                   {}
func (e *vnetEndpoint) Close()                                  {}
func (e *vnetEndpoint) SetOnCloseAction(func())                 {}
func (e *vnetEndpoint) AddHeader(*stack.PacketBuffer)           {}
func (e *vnetEndpoint) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (e *vnetEndpoint) IsAttached() bool                        { return e.attach.Load() != nil }
func (e *vnetEndpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (e *vnetEndpoint) GSOMaxSize() uint32                      { return 65536 }
func (e *vnetEndpoint) SupportedGSO() stack.SupportedGSO {
	if *flagGSO {
		return stack.HostGSOSupported
	}
	return stack.GSONotSupported
}
func (e *vnetEndpoint) Capabilities() stack.LinkEndpointCapabilities {
	if *flagRxsum {
		return stack.CapabilityRXChecksumOffload
	}
	return 0
}

func (e *vnetEndpoint) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		e.attach.Store(nil)
		return
	}
	if e.attach.Swap(&d) == nil {
		for _, fd := range e.fds {
			go e.read(fd, d)
		}
	}
}

func writev(fd int, iov []unix.Iovec) syscall.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	return errno
}

func (e *vnetEndpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		var h [vnetLen]byte
		g := &pkt.GSOOptions
		if g.Type != stack.GSONone {
			hl := uint16(pkt.HeaderSize())
			h[2], h[3] = byte(hl), byte(hl>>8)
			if g.NeedsCsum {
				h[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
				h[6], h[7] = byte(g.L3HdrLen), byte(g.L3HdrLen>>8)
				h[8], h[9] = byte(g.CsumOffset), byte(g.CsumOffset>>8)
			}
			if pkt.Data().Size() > int(g.MSS) {
				h[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
				if g.Type == stack.GSOTCPv6 {
					h[1] = unix.VIRTIO_NET_HDR_GSO_TCPV6
				}
				h[4], h[5] = byte(g.MSS), byte(g.MSS>>8)
			}
		}
		var arr [16]unix.Iovec
		iov := append(arr[:0], unix.Iovec{Base: &h[0], Len: vnetLen})
		for _, s := range pkt.AsSlices() {
			if len(s) > 0 {
				iov = append(iov, unix.Iovec{Base: &s[0], Len: uint64(len(s))})
			}
		}
		if errno := writev(e.fds[int(pkt.Hash)%len(e.fds)], iov); errno != 0 {
			outDropped.Add(1)
			if i == 0 {
				return 0, tcpip.TranslateErrno(errno)
			}
			return i, nil
		}
	}
	return pkts.Len(), nil
}

// viewSizes scatter a packet: the first holds all headers, small packets do not
// pin a large chunk, and the sum covers 64 KiB.
var viewSizes = [...]int{2048, 16384, 65536}

func (e *vnetEndpoint) read(fd int, d stack.NetworkDispatcher) {
	f := os.NewFile(uintptr(fd), "tun")
	rc, err := f.SyscallConn()
	if err != nil {
		log.Fatal(err)
	}
	var hdr [vnetLen]byte
	var views [len(viewSizes)]*buffer.View
	iov := make([]unix.Iovec, 1+len(viewSizes))
	iov[0] = unix.Iovec{Base: &hdr[0], Len: vnetLen}
	for {
		for i := range views {
			if views[i] == nil {
				views[i] = buffer.NewViewSize(viewSizes[i])
				iov[i+1] = unix.Iovec{Base: views[i].BasePtr(), Len: uint64(viewSizes[i])}
			}
		}
		var n int
		var errno syscall.Errno
		err := rc.Read(func(fd uintptr) bool {
			r, _, en := unix.RawSyscall(unix.SYS_READV, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
			n, errno = int(r), en
			return errno != unix.EAGAIN
		})
		if err != nil || (errno != 0 && errno != unix.EINTR) {
			log.Fatalf("tun read: %v %v", err, errno)
		}
		if n -= vnetLen; n <= 0 {
			continue
		}
		var b buffer.Buffer
		for i := 0; n > 0 && i < len(views); i++ {
			k := min(n, viewSizes[i])
			views[i].CapLength(k)
			b.Append(views[i])
			views[i] = nil
			n -= k
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: b})
		first, ok := pkt.Data().PullUp(1)
		if ok {
			switch first[0] >> 4 {
			case 4:
				d.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt)
			case 6:
				d.DeliverNetworkPacket(header.IPv6ProtocolNumber, pkt)
			}
		}
		pkt.DecRef()
	}
}

package tun

import (
	"encoding/binary"
	"fmt"

	"github.com/a644562b/portico/link"
	"golang.org/x/sys/unix"
)

// What the kernel may give us unfinished. wireguard has asked for nearly the same;
// with TSO_ECN a super-segment with CWR set stays one as well.
const (
	tcpFeatures = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	// udpFeatures exist since Linux 6.2.
	udpFeatures = unix.TUN_F_USO4 | unix.TUN_F_USO6
)

// setOffloads asks the kernel for the offloads of the mode, both ways, and finds out
// by trial which it takes.
func (d *Device) setOffloads(c *control, mode OffloadMode) error {
	if mode == OffloadOff {
		if err := c.setFeatures(0); err != nil {
			return fmt.Errorf("tun: turn the offloads of %s off: %w", d.name, err)
		}
		return nil
	}
	caps := offloadAll
	if d.big == nil {
		caps &^= offloadBig
	}
	err := c.setFeatures(tcpFeatures | udpFeatures)
	if err != nil {
		caps &^= offloadUSO
		err = c.setFeatures(tcpFeatures)
	}
	if err != nil {
		if mode == OffloadOn {
			return fmt.Errorf("tun: the kernel refuses the offloads of %s: use auto or off instead of on: %w", d.name, err)
		}
		d.log.Warn("the kernel refuses all offloads; they are done in software", "device", d.name, "error", err)
		return c.setFeatures(0)
	}
	d.caps.Store(uint32(caps))
	d.probe()
	if got := offload(d.caps.Load()); mode == OffloadOn && got&offloadTSO != offloadTSO {
		return fmt.Errorf("tun: the kernel refuses TCP super-segments on %s: use auto or off instead of on", d.name)
	}
	return nil
}

// probe writes a frame of each kind that needs an offload, to find out about a
// kernel that refuses one before data depends on it. The interface is down: the
// kernel looks at the offload state, refuses it or not, and throws the frame away
// (EIO). Were it up, addresses of zero would still lead nowhere. (Kernels before 5.1
// throw away first; there the first real frame is the probe.)
func (d *Device) probe() {
	q := d.queues[0].(*queue)
	for _, f := range probes() {
		n := needs(&f)
		if !d.takes(n) {
			continue
		}
		var err error
		w := &writer{q: q}
		if e := q.raw.Control(func(fd uintptr) {
			w.fd = int(fd)
			err = w.writev(&f)
		}); e != nil {
			return
		}
		switch {
		case !isRefusal(err):
		case n&offloadBig != 0:
			d.caps.And(^uint32(offloadBig)) // no loss: kernels before 6.6 have no memory for such
		default:
			d.refuse(n, err)
		}
	}
}

// probes are the smallest frames that are honest super-segments or have a partial
// checksum, and the longest of all.
func probes() []link.Frame {
	const size, pieces = 100, 2
	udp4, tcp4, tcp6 := probe4(unix.IPPROTO_UDP, udpHeader+size*pieces), probe4(unix.IPPROTO_TCP, tcpMinHeader+size*pieces),
		probe6(unix.IPPROTO_TCP, tcpMinHeader+size*pieces)
	binary.BigEndian.PutUint16(udp4[ip4MinHeader+4:], uint16(udpHeader+size*pieces))
	tcp4[ip4MinHeader+tcpDataOffset] = tcpMinHeader / 4 << 4
	tcp6[ip6Header+tcpDataOffset] = tcpMinHeader / 4 << 4
	frame := func(packet []byte, kind link.GSO, start, header, checksum int) link.Frame {
		f := link.Frame{Data: packet, Offload: link.Offload{GSO: kind, HeaderLen: uint16(start + header),
			Checksum: link.ChecksumPartial, ChecksumStart: uint16(start), ChecksumOffset: uint16(checksum)}}
		if kind != link.GSONone {
			f.GSOSize = size
		}
		return f
	}
	big := frame(probe4(unix.IPPROTO_TCP, tcpMinHeader), link.GSOTCP4, ip4MinHeader, tcpMinHeader, 16)
	big.Data[2], big.Data[3], big.Data[ip4MinHeader+tcpDataOffset] = 0, 0, tcpMinHeader/4<<4
	big.Payload = [][]byte{make([]byte, maxBig-len(big.Data))}
	return []link.Frame{
		frame(udp4, link.GSONone, ip4MinHeader, udpHeader, 6),
		frame(tcp4, link.GSOTCP4, ip4MinHeader, tcpMinHeader, 16),
		frame(tcp6, link.GSOTCP6, ip6Header, tcpMinHeader, 16),
		frame(udp4, link.GSOUDP, ip4MinHeader, udpHeader, 6),
		big,
	}
}

func probe4(proto byte, payload int) []byte {
	p := make([]byte, ip4MinHeader+payload)
	p[0] = 4<<4 | ip4MinHeader/4
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[8], p[9] = 1, proto
	return p
}

func probe6(proto byte, payload int) []byte {
	p := make([]byte, ip6Header+payload)
	p[0] = 6 << 4
	binary.BigEndian.PutUint16(p[4:], uint16(payload))
	p[ip6NextHeader], p[7] = proto, 1
	return p
}

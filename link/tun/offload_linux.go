package tun

import (
	"github.com/a644562b/portico/link"
)

// needs is the set of offloads that writing a frame as it is takes.
func needs(f *link.Frame) offload {
	var n offload
	if f.Checksum == link.ChecksumPartial {
		n = offloadChecksum
	}
	switch f.GSO {
	case link.GSOTCP4:
		n |= offloadTSO4
		if f.Len() > link.MaxFrame {
			n |= offloadBig
		}
	case link.GSOTCP6:
		n |= offloadTSO6
	case link.GSOUDP:
		n |= offloadUSO
	}
	return n
}

// takes reports whether the kernel may be given a frame that needs n. A
// super-segment whose checksum is not left to the kernel is nothing that it could
// cut into honest packets.
func (d *Device) takes(n offload) bool {
	if n&^offloadChecksum != 0 && n&offloadChecksum == 0 {
		return false
	}
	return n&^offload(d.caps.Load()) == 0
}

// wellFormed reports whether the offload state of a frame agrees with its length, so
// that a refusal by the kernel means the offload and not the frame.
func wellFormed(f *link.Frame) bool {
	n := f.Len()
	if n == 0 || n > link.MaxFrame && (n > maxBig || f.GSO != link.GSOTCP4) || f.GSO > link.GSOUDP || f.Checksum > link.ChecksumValid {
		return false
	}
	if f.Checksum == link.ChecksumPartial && int(f.ChecksumStart)+int(f.ChecksumOffset)+2 > n {
		return false
	}
	return f.GSO == link.GSONone || f.GSOSize > 0 && f.HeaderLen > 0 && int(f.HeaderLen) <= n
}

// refuse shrinks the device's offloads for good after the kernel refused a frame that
// needed n, and says so once. When the frame was a super-segment the blame is on
// the cutting, or, before that, on its being longer than an IP packet can be; when it was a
// plain packet with a partial checksum, nothing that rests on partial checksums is left.
func (d *Device) refuse(n offload, why error) {
	lost, what := n&^offloadChecksum, ""
	if n&offloadBig != 0 {
		lost = offloadBig
	}
	switch lost {
	case offloadBig:
		what = "TCP super-segments longer than 64 KiB"
	case offloadTSO4:
		what = "TCP super-segments over IPv4"
	case offloadTSO6:
		what = "TCP super-segments over IPv6"
	case offloadUSO:
		what = "UDP super-segments"
	default:
		lost, what = offloadAll, "partial checksums"
	}
	before := offload(d.caps.And(^uint32(lost)))
	if before&lost != 0 {
		d.log.Warn("the kernel refuses an offload; from now on it is done in software",
			"device", d.name, "offload", what, "error", why)
	}
}

package ip

import (
	"net/netip"
)

// The part of neighbour discovery (RFC 4861) that is left on a link without link-layer
// addresses: whoever asks for an address of ours is told that it is there, which may be to
// see that we are alive (section 7.3) or whether the address is free (RFC 4862, section
// 5.4). There is nothing to resolve, so that we ask nobody.

const (
	icmp6Solicitation  = 135
	icmp6Advertisement = 136
)

const (
	// discoveryHopLimit shows that no router has passed a message on: with less it does
	// not come from the link (RFC 4861, section 3.1).
	discoveryHopLimit = 255
	// solicitationLen is the length of a solicitation without options.
	solicitationLen = 24
	// optSourceLinkAddr is the source link-layer address option.
	optSourceLinkAddr = 1
	// advertisementSolicited is the S flag, in the 32 bits behind the checksum.
	advertisementSolicited = 1 << 30
)

var allNodes6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 1})

// ParseSolicitation reads a neighbour solicitation: whose address it asks for. ok is false
// for any other message. The drop is DropSolicitation when it is none that may be heeded
// (RFC 4861, section 7.1.1), or came by way of a fragment header (RFC 6980, section 5).
// Whether target is an address of the host is the caller's question.
func ParseSolicitation(h *Header, m *Message) (target netip.Addr, ok bool, drop Drop) {
	if h.Is4() || m.Type != icmp6Solicitation {
		return target, false, DropNone
	}
	if h.TTL != discoveryHopLimit || m.Code != 0 || h.Fragmented || ICMPHeaderLen+len(m.Body) < solicitationLen {
		return target, true, DropSolicitation
	}
	target = netip.AddrFrom16([16]byte(m.Body))
	linkAddr, ok := walkDiscoveryOptions(m.Body[16:])
	switch {
	case !ok, target.IsMulticast(),
		h.Src.IsUnspecified() && (linkAddr || !isSolicitedNode(h.Dst)):
		return target, true, DropSolicitation
	}
	return target, true, DropNone
}

// walkDiscoveryOptions reads the options of a message, whose lengths are in units of 8
// bytes; ok is false when one has none, or ends beyond the message.
func walkDiscoveryOptions(b []byte) (sourceLinkAddr, ok bool) {
	for len(b) > 0 {
		if len(b) < 2 {
			return false, false
		}
		n := int(b[1]) * 8
		if n == 0 || n > len(b) {
			return false, false
		}
		sourceLinkAddr = sourceLinkAddr || b[0] == optSourceLinkAddr
		b = b[n:]
	}
	return sourceLinkAddr, true
}

// isSolicitedNode reports whether a is a group by which neighbours look for an address
// (RFC 4291, section 2.7.1).
func isSolicitedNode(a netip.Addr) bool {
	b := a.As16()
	return [13]byte(b[:13]) == [13]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff}
}

// Advertisement makes the answer to a solicitation from src that has been found right, and
// says where it goes: to src, or to all nodes when that is the unspecified address of a host
// that would like to have target (RFC 4861, section 7.2.4). It comes from target and with
// the hop limit that is returned. Without a link-layer address to tell it overrides none.
func Advertisement(src, target netip.Addr) (m Message, dst netip.Addr, hopLimit uint8) {
	m = Message{Type: icmp6Advertisement, Body: target.AsSlice()}
	if src.IsUnspecified() {
		return m, allNodes6, discoveryHopLimit
	}
	m.Rest = advertisementSolicited
	return m, src, discoveryHopLimit
}

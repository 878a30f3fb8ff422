package ip

import (
	"encoding/binary"

	"github.com/a644562b/portico/internal/checksum"
)

// Router alert, the option that makes routers look at a packet that is not sent to them
// (RFC 2113; RFC 2711). Reports of group membership carry it.
const (
	opt4RouterAlert = 148
	opt6RouterAlert = 5
	alert4Len       = 4 // of the option
	alert6Len       = 8 // of the hop-by-hop header that it lies in
)

// AppendAlert is Append with a router alert: 4 bytes more over IPv4, and over IPv6 8, which
// lie in a hop-by-hop header. payloadLen does not count them.
func (h *Header) AppendAlert(b []byte, payloadLen int) []byte {
	start := len(b)
	if h.Is4() {
		b = h.append4(b, alert4Len+payloadLen)
		b = append(b, opt4RouterAlert, alert4Len, 0, 0)
		p := b[start:]
		p[0] = 4<<4 | (HeaderLen4+alert4Len)/4
		p[off4Checksum], p[off4Checksum+1] = 0, 0
		binary.BigEndian.PutUint16(p[off4Checksum:], ^checksum.Sum(0, p))
		return b
	}
	b = h.append6(b, alert6Len+payloadLen)
	b[start+off6NextHeader] = byte(extHopByHop)
	return append(b, byte(h.Protocol), 0, opt6RouterAlert, 2, 0, 0, 1, 0) // and PadN of two bytes
}

// HasRouterAlert reports whether a packet that Parse has accepted carries the option.
func HasRouterAlert(packet []byte) bool {
	if packet[0]>>4 == 4 {
		return hasOption(packet[HeaderLen4:int(packet[0]&0xf)*4], opt4RouterAlert, optNOP, 0)
	}
	if Protocol(packet[off6NextHeader]) != extHopByHop {
		return false
	}
	n := 8 + int(packet[HeaderLen6+1])*8
	return hasOption(packet[HeaderLen6+2:HeaderLen6+n], opt6RouterAlert, opt6Pad1, 2)
}

// hasOption looks for an option in a list that is well formed. pad is the option of one
// byte; lengths count but for extra bytes, the first two of IPv6 options.
func hasOption(b []byte, option, pad byte, extra int) bool {
	for len(b) > 0 {
		switch b[0] {
		case option:
			return true
		case pad:
			b = b[1:]
			continue
		}
		if len(b) < 2 || int(b[1])+extra > len(b) || int(b[1])+extra == 0 {
			return false // the end of the list
		}
		b = b[int(b[1])+extra:]
	}
	return false
}

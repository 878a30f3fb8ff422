package udp

// Drop is why a datagram was dropped; DropNone when it was not.
type Drop uint8

const (
	DropNone         Drop = iota
	DropShort             // shorter than the header
	DropLength            // length field below 8 or beyond the IP payload (RFC 768)
	DropChecksum          // wrong checksum (RFC 1122, section 4.1.3.4)
	DropZeroChecksum      // no checksum over IPv6 (RFC 6935, section 5; RFC 8200, section 8.1)

	// NumDrops is how many values Drop has, DropNone included.
	NumDrops = iota
)

var dropNames = [NumDrops]string{
	DropNone:         "none",
	DropShort:        "udp_short",
	DropLength:       "udp_length",
	DropChecksum:     "udp_checksum",
	DropZeroChecksum: "udp_zero_checksum",
}

// String is a name that serves as a counter's label, unlike any of package ip's.
func (d Drop) String() string {
	if int(d) < len(dropNames) {
		return dropNames[d]
	}
	return "udp_unknown"
}

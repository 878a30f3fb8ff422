package ip

// Drop is why a packet was dropped; DropNone when it was not. Nobody is told but the
// counters, unless the comment says otherwise.
type Drop uint8

const (
	DropNone           Drop = iota
	DropShort               // shorter than an IP header, or empty
	DropVersion             // neither 4 nor 6
	DropHeaderLength        // IHL below 5 or beyond the packet (RFC 791, section 3.1)
	DropLength              // total or payload length beyond the packet, or total length below the header's
	DropHeaderChecksum      // wrong IPv4 header checksum (RFC 1122, section 3.2.1.2)
	DropOptions             // broken list of IPv4 options (RFC 791, section 3.1)
	DropSourceRoute         // a source route or routing header that has further to go (RFC 7126, section 4.3; RFC 5095)
	DropBadSource           // a source that no single other host can have (RFC 1122, section 3.2.1.3; RFC 4291)
	DropBadDestination      // a destination that never comes over a wire (likewise)
	DropFragment            // a piece of a packet; see fragment.go
	DropExtension           // an IPv6 extension header or option beyond the packet (RFC 8200, section 4)
	DropUnknownOption       // an unknown IPv6 option that asks for it (RFC 8200, section 4.2)
	DropNoNextHeader        // an IPv6 packet with nothing in it, next header 59 (RFC 8200, section 4.7)
	DropICMPShort           // ICMP or ICMPv6 shorter than its header
	DropICMPChecksum        // wrong ICMP or ICMPv6 checksum

	// NumDrops is how many values Drop has, DropNone included.
	NumDrops = iota
)

var dropNames = [NumDrops]string{
	DropNone:           "none",
	DropShort:          "ip_short",
	DropVersion:        "ip_version",
	DropHeaderLength:   "ip_header_length",
	DropLength:         "ip_length",
	DropHeaderChecksum: "ip_checksum",
	DropOptions:        "ip_options",
	DropSourceRoute:    "ip_source_route",
	DropBadSource:      "ip_bad_source",
	DropBadDestination: "ip_bad_destination",
	DropFragment:       "ip_fragment",
	DropExtension:      "ip_extension",
	DropUnknownOption:  "ip_unknown_option",
	DropNoNextHeader:   "ip_no_next_header",
	DropICMPShort:      "icmp_short",
	DropICMPChecksum:   "icmp_checksum",
}

// String is a name that serves as a counter's label, unlike any of package udp's.
func (d Drop) String() string {
	if int(d) < len(dropNames) {
		return dropNames[d]
	}
	return "ip_unknown"
}

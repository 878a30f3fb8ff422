package ip

// Drop is why a packet was dropped; DropNone when it was not. Nobody is told but the
// counters, unless the comment says otherwise.
type Drop uint8

const (
	DropNone              Drop = iota
	DropShort                  // shorter than an IP header, or empty
	DropVersion                // neither 4 nor 6
	DropHeaderLength           // IHL below 5 or beyond the packet (RFC 791, section 3.1)
	DropLength                 // total or payload length beyond the packet, or total length below the header's
	DropHeaderChecksum         // wrong IPv4 header checksum (RFC 1122, section 3.2.1.2)
	DropOptions                // broken list of IPv4 options (RFC 791, section 3.1)
	DropSourceRoute            // a source route or routing header that has further to go (RFC 7126, section 4.3; RFC 5095)
	DropBadSource              // a source that no single other host can have (RFC 1122, section 3.2.1.3; RFC 4291)
	DropBadDestination         // a destination that never comes over a wire (likewise)
	DropFragment               // a piece of a packet, for a Reassembler; counted: a piece of a piece
	DropExtension              // an IPv6 extension header or option beyond the packet (RFC 8200, section 4)
	DropUnknownOption          // an unknown IPv6 option that asks for it (RFC 8200, section 4.2)
	DropTooManyExtensions      // more extension headers than an honest packet has (RFC 8504, section 5.3)
	DropTooManyOptions         // more options in an extension header (likewise)
	DropFragmentLength         // a piece of no bytes, or one but the last whose length is no multiple of 8
	DropFragmentTooLong        // pieces of more than a packet can be, 65,535 bytes
	DropFragmentChain          // a first fragment that does not hold all headers (RFC 7112)
	DropFragmentOverlap        // pieces that overlap or contradict each other, and what comes after them (RFC 5722)
	DropFragmentDuplicate      // a piece that is there already
	DropFragmentECN            // pieces of ECN-capable transports and of others (RFC 3168, section 5.3)
	DropReassemblyTimeout      // a datagram whose pieces did not all come in time
	DropReassemblyEvicted      // a datagram whose pieces had to make way for others
	DropReassemblyMemory       // a piece whose datagram had to make way for it
	DropNoNextHeader           // an IPv6 packet with nothing in it, next header 59 (RFC 8200, section 4.7)
	DropICMPShort              // ICMP or ICMPv6 shorter than its header
	DropICMPChecksum           // wrong ICMP or ICMPv6 checksum
	DropSolicitation           // a neighbour solicitation that no neighbour can have sent (RFC 4861, section 7.1.1; RFC 6980)

	// NumDrops is how many values Drop has, DropNone included.
	NumDrops = iota
)

var dropNames = [NumDrops]string{
	DropNone:              "none",
	DropShort:             "ip_short",
	DropVersion:           "ip_version",
	DropHeaderLength:      "ip_header_length",
	DropLength:            "ip_length",
	DropHeaderChecksum:    "ip_checksum",
	DropOptions:           "ip_options",
	DropSourceRoute:       "ip_source_route",
	DropBadSource:         "ip_bad_source",
	DropBadDestination:    "ip_bad_destination",
	DropFragment:          "ip_fragment",
	DropExtension:         "ip_extension",
	DropUnknownOption:     "ip_unknown_option",
	DropTooManyExtensions: "ip_too_many_extensions",
	DropTooManyOptions:    "ip_too_many_options",
	DropFragmentLength:    "ip_fragment_length",
	DropFragmentTooLong:   "ip_fragment_too_long",
	DropFragmentChain:     "ip_fragment_chain",
	DropFragmentOverlap:   "ip_fragment_overlap",
	DropFragmentDuplicate: "ip_fragment_duplicate",
	DropFragmentECN:       "ip_fragment_ecn",
	DropReassemblyTimeout: "ip_reassembly_timeout",
	DropReassemblyEvicted: "ip_reassembly_evicted",
	DropReassemblyMemory:  "ip_reassembly_memory",
	DropNoNextHeader:      "ip_no_next_header",
	DropICMPShort:         "icmp_short",
	DropICMPChecksum:      "icmp_checksum",
	DropSolicitation:      "icmp_solicitation",
}

// String is a name that serves as a counter's label, unlike any of package udp's.
func (d Drop) String() string {
	if int(d) < len(dropNames) {
		return dropNames[d]
	}
	return "ip_unknown"
}

// Package wire is where the fields of IP, TCP and UDP headers stand, for those who cut and
// join packets and have no need of the protocols (RFC 791, section 3.1; RFC 8200, section
// 3; RFC 9293, section 3.1; RFC 768). Offsets and lengths are in bytes.
package wire

import "encoding/binary"

// Protocol numbers.
const (
	ProtoTCP = 6
	ProtoUDP = 17
)

// Lengths of headers, without options.
const (
	IP4HeaderLen = 20
	IP6HeaderLen = 40
	TCPHeaderLen = 20
	UDPHeaderLen = 8
)

// Where the fields stand, each in its header.
const (
	IP4TotalLen   = 2
	IP4ID         = 4
	IP4Fragment   = 6
	IP4Protocol   = 9
	IP4Checksum   = 10
	IP4Addrs      = 12
	IP6PayloadLen = 4
	IP6NextHeader = 6 // and the hop limit
	IP6Addrs      = 8
	TCPSeq        = 4
	TCPAck        = 8
	TCPDataOffset = 12
	TCPFlags      = 13
	TCPWindow     = 14
	TCPChecksum   = 16
	TCPUrgent     = 18 // and the options
	UDPLength     = 4
	UDPChecksum   = 6
)

// Bits of TCPFlags and IP4Fragment.
const (
	FlagFIN = 0x01
	FlagPSH = 0x08
	FlagACK = 0x10
	FlagECE = 0x40
	FlagCWR = 0x80

	IP4DF = 0x4000
)

// Numbers in the byte order of the wire.
func Get16(b []byte) uint16    { return binary.BigEndian.Uint16(b) }
func Get32(b []byte) uint32    { return binary.BigEndian.Uint32(b) }
func Get64(b []byte) uint64    { return binary.BigEndian.Uint64(b) }
func Put16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }

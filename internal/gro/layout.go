package gro

import "encoding/binary"

const (
	protoTCP     = 6
	ip4HeaderLen = 20 // without options
	ip6HeaderLen = 40
	tcpHeaderLen = 20 // at least
)

// Where the fields stand.
const (
	ip4TotalLen   = 2
	ip4ID         = 4
	ip4Fragment   = 6
	ip4Protocol   = 9
	ip4Checksum   = 10
	ip4Addrs      = 12
	ip6PayloadLen = 4
	ip6NextHeader = 6 // and the hop limit
	ip6Addrs      = 8
	tcpSeq        = 4
	tcpAck        = 8
	tcpDataOffset = 12
	tcpFlags      = 13
	tcpWindow     = 14
	tcpChecksum   = 16
	tcpUrgent     = 18 // and the options
)

const (
	flagFIN = 0x01
	flagPSH = 0x08
	flagACK = 0x10
	flagECE = 0x40
	flagCWR = 0x80

	ip4DF = 0x4000
)

func get16(b []byte) uint16    { return binary.BigEndian.Uint16(b) }
func get32(b []byte) uint32    { return binary.BigEndian.Uint32(b) }
func get64(b []byte) uint64    { return binary.BigEndian.Uint64(b) }
func put16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }

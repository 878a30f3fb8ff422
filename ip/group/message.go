package group

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/a644562b/portico/ip"
)

// Types of messages (RFC 9776, section 4; RFC 9777, section 5; the older ones RFC 1112, RFC
// 2236, RFC 2710). IGMP and MLD share the layout of the first 8 bytes with ICMP.
const (
	igmpQuery   = 0x11
	igmpReport1 = 0x12
	igmpReport2 = 0x16
	igmpLeave   = 0x17
	igmpReport3 = 0x22

	mldQuery   = 130
	mldReport1 = 131
	mldDone    = 132
	mldReport2 = 143
)

// Types of the records in a report (RFC 9776, section 4.2.12).
const (
	modeIsInclude   = 1
	modeIsExclude   = 2
	changeToInclude = 3
	changeToExclude = 4
	allowNewSources = 5
	blockOldSources = 6
)

// Where reports go: of the newest versions to all routers that speak it, a leave to all
// routers, anything else to the group itself.
var (
	reports4 = netip.AddrFrom4([4]byte{224, 0, 0, 22})
	routers4 = netip.AddrFrom4([4]byte{224, 0, 0, 2})
	reports6 = netip.MustParseAddr("ff02::16")
	routers6 = netip.MustParseAddr("ff02::2")
)

// IsMLD reports whether an ICMPv6 type is one of MLD.
func IsMLD(typ uint8) bool {
	return typ == mldQuery || typ == mldReport1 || typ == mldDone || typ == mldReport2
}

// query is one of any version.
type query struct {
	version int        // 1 to 3 of IGMP, 1 and 2 of MLD
	group   netip.Addr // invalid: about all groups
	sources []netip.Addr
	most    time.Duration // within which the answer is wanted
	// robust and interval are what the querier works with; 0 where it does not say.
	robust   int
	interval time.Duration
}

// The lengths that tell versions apart, header of 8 bytes included.
const (
	igmpQueryLen  = 8
	igmpQuery3Len = 12
	mldQueryLen   = 24
	mldQuery2Len  = 28
)

// parseQuery reads a query; false when it is none that a host may heed (RFC 9776, section
// 7.1; RFC 9777, section 8.1).
func parseQuery(is4 bool, m *ip.Message) (q query, ok bool) {
	if is4 {
		return parseIGMP(m)
	}
	return parseMLD(m)
}

func parseIGMP(m *ip.Message) (q query, ok bool) {
	q.group = groupOf(netip.AddrFrom4([4]byte{byte(m.Rest >> 24), byte(m.Rest >> 16), byte(m.Rest >> 8), byte(m.Rest)}))
	switch length := ip.ICMPHeaderLen + len(m.Body); {
	case length == igmpQueryLen && m.Code == 0:
		q.version, q.most = 1, 10*time.Second
		return q, !q.group.IsValid()
	case length == igmpQueryLen:
		q.version, q.most = 2, time.Duration(m.Code)*100*time.Millisecond
		return q, true
	case length < igmpQuery3Len:
		return q, false
	}
	q.version, q.most = 3, time.Duration(code8(m.Code))*100*time.Millisecond
	return q, q.rest(m.Body, 4)
}

func parseMLD(m *ip.Message) (q query, ok bool) {
	length := ip.ICMPHeaderLen + len(m.Body)
	if length < mldQueryLen {
		return q, false
	}
	q.group = groupOf(netip.AddrFrom16([16]byte(m.Body)))
	delay := uint16(m.Rest >> 16)
	switch {
	case length == mldQueryLen:
		q.version, q.most = 1, time.Duration(delay)*time.Millisecond
		return q, true
	case length < mldQuery2Len:
		return q, false
	}
	q.version, q.most = 2, time.Duration(code16(delay))*time.Millisecond
	return q, q.rest(m.Body[16:], 16)
}

// rest reads what the newest versions have in addition, with addresses of size bytes.
func (q *query) rest(b []byte, size int) bool {
	n := int(binary.BigEndian.Uint16(b[2:]))
	q.robust = int(b[0] & 7)
	q.interval = time.Duration(code8(b[1])) * time.Second
	b = b[4:]
	if n*size > len(b) || n > 0 && !q.group.IsValid() {
		return false
	}
	for i := range n {
		a, _ := netip.AddrFromSlice(b[i*size : (i+1)*size])
		q.sources = append(q.sources, a)
	}
	slices.SortFunc(q.sources, netip.Addr.Compare)
	q.sources = slices.Compact(q.sources)
	return true
}

// groupOf is the group that a query is about: the unspecified address is none.
func groupOf(a netip.Addr) netip.Addr {
	if !a.IsMulticast() {
		return netip.Addr{}
	}
	return a
}

// code8 and code16 read numbers that are written with an exponent when they are large (RFC
// 9776, section 4.1.1; RFC 9777, section 5.1.3).
func code8(c uint8) int {
	if c < 128 {
		return int(c)
	}
	return int(c&0xf|0x10) << (c>>4&7 + 3)
}

func code16(c uint16) int {
	if c < 1<<15 {
		return int(c)
	}
	return int(c&0xfff|0x1000) << (c>>12&7 + 3)
}

// record is an entry of a report.
type record struct {
	typ     uint8
	group   netip.Addr
	sources []netip.Addr
}

// length is what the record takes in bytes.
func (r *record) length() int {
	size := 4
	if !r.group.Is4() {
		size = 16
	}
	return 4 + size*(1+len(r.sources))
}

func (r *record) append(b []byte) []byte {
	b = append(b, r.typ, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.sources)))
	b = append(b, r.group.AsSlice()...)
	for _, s := range r.sources {
		b = append(b, s.AsSlice()...)
	}
	return b
}

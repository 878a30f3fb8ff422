package group_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/ip/group"
)

// dialogue is a host and the far side of its link, in virtual time. Delays are as long as
// they may be.
type dialogue struct {
	t   *testing.T
	h   *group.Host
	six bool
	now mono.Time
}

func newDialogue(t *testing.T, six bool) *dialogue {
	return &dialogue{t: t, six: six, h: group.NewHost(!six, 1500, func(n int64) int64 { return n - 1 })}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// g and src are groups and sources of the family by number.
func (d *dialogue) g(n int) netip.Addr {
	if d.six {
		return addr(fmt.Sprintf("ff05::%d", n))
	}
	return addr(fmt.Sprintf("239.1.1.%d", n))
}

func (d *dialogue) src(n int) netip.Addr {
	if d.six {
		return addr(fmt.Sprintf("fd00::%d", n))
	}
	return addr(fmt.Sprintf("10.0.0.%d", n))
}

func (d *dialogue) filter(mode group.Mode, sources ...int) group.Filter {
	f := group.Filter{Mode: mode}
	for _, n := range sources {
		f = f.With(d.src(n))
	}
	return f
}

func (d *dialogue) set(g int, f group.Filter) { d.h.Set(d.now, d.g(g), f) }

// want lets a time pass and verifies that in it exactly these messages were sent, each as
// "time since the start destination what".
func (d *dialogue) want(wait time.Duration, messages ...string) {
	d.t.Helper()
	end := d.now.Add(wait)
	var got []string
	for d.h.Deadline() <= end {
		d.now = max(d.now, d.h.Deadline())
		before := len(got)
		d.h.Tick(d.now, func(dst netip.Addr, m *ip.Message) {
			got = append(got, fmt.Sprintf("%v %s", time.Duration(d.now), d.describe(dst, m)))
		})
		if d.h.Deadline() <= d.now {
			d.t.Fatalf("after Tick at %v the deadline is %v (sent %d)", d.now, d.h.Deadline(), len(got)-before)
		}
	}
	d.now = end
	if strings.Join(got, "\n") != strings.Join(messages, "\n") {
		d.t.Fatalf("sent\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(messages, "\n\t"))
	}
}

// describe puts a message into words as gopacket reads it. Addresses are cut to their last
// number.
func (d *dialogue) describe(dst netip.Addr, m *ip.Message) string {
	d.t.Helper()
	src := addr("10.77.0.2")
	if d.six {
		src = addr("fe80::2")
	}
	b := m.Append(nil, src, dst)
	out := dst.String() + " "
	if !d.six {
		p := gopacket.NewPacket(b, layers.LayerTypeIGMP, gopacket.Default)
		switch l := p.Layers()[0].(type) {
		case *layers.IGMP:
			if l.Type != layers.IGMPMembershipReportV3 {
				d.t.Fatalf("type %v", l.Type)
			}
			for _, r := range l.GroupRecords {
				out += recordText(uint8(r.Type), r.MulticastAddress, r.SourceAddresses)
			}
			return out
		case *layers.IGMPv1or2:
			return out + map[layers.IGMPType]string{
				layers.IGMPMembershipReportV1: "report1 ", layers.IGMPMembershipReportV2: "report2 ", layers.IGMPLeaveGroup: "leave ",
			}[l.Type] + last(l.GroupAddress.String())
		}
		d.t.Fatalf("gopacket reads % x as %v", b, p)
	}
	switch m.Type {
	case 131:
		return out + "report1 " + last(netip.AddrFrom16([16]byte(m.Body)).String())
	case 132:
		return out + "done " + last(netip.AddrFrom16([16]byte(m.Body)).String())
	}
	p := gopacket.NewPacket(b, layers.LayerTypeICMPv6, gopacket.Default)
	l, ok := p.Layer(layers.LayerTypeMLDv2MulticastListenerReport).(*layers.MLDv2MulticastListenerReportMessage)
	if !ok {
		d.t.Fatalf("gopacket reads % x as %v", b, p)
	}
	for _, r := range l.MulticastAddressRecords {
		out += recordText(uint8(r.RecordType), r.MulticastAddress, r.SourceAddresses)
	}
	return out
}

// recordText is a record of a report, for both families.
func recordText(typ uint8, group net.IP, from []net.IP) string {
	var sources []string
	for _, s := range from {
		sources = append(sources, last(s.String()))
	}
	name := [...]string{"?", "IS_IN ", "IS_EX ", "TO_IN ", "TO_EX ", "ALLOW ", "BLOCK "}[typ]
	return name + last(group.String()) + "{" + strings.Join(sources, " ") + "}"
}

func last(a string) string { return a[strings.LastIndexAny(a, ".:")+1:] }

// query is one of the newest version about a group, 0 for all, and sources of it; most is
// its maximum response code.
func (d *dialogue) query(most uint16, g int, sources ...int) {
	m := ip.Message{Type: 0x11, Code: uint8(most)}
	b := []byte{2, 125}
	b = binary.BigEndian.AppendUint16(b, uint16(len(sources)))
	for _, n := range sources {
		b = append(b, d.src(n).AsSlice()...)
	}
	group := netip.IPv6Unspecified()
	if g != 0 {
		group = d.g(g)
	}
	if d.six {
		m = ip.Message{Type: 130, Rest: uint32(most) << 16, Body: append(group.AsSlice(), b...)}
	} else {
		if g != 0 {
			m.Rest = binary.BigEndian.Uint32(group.AsSlice())
		}
		m.Body = b
	}
	d.h.Message(d.now, &m)
}

// older is a query of version 1 or 2 of IGMP, or of version 1 of MLD.
func (d *dialogue) older(most uint16, g int) {
	m := ip.Message{Type: 0x11, Code: uint8(most)}
	switch {
	case d.six && g == 0:
		m = ip.Message{Type: 130, Rest: uint32(most) << 16, Body: make([]byte, 16)}
	case d.six:
		m = ip.Message{Type: 130, Rest: uint32(most) << 16, Body: d.g(g).AsSlice()}
	case g != 0:
		m.Rest = binary.BigEndian.Uint32(d.g(g).AsSlice())
	}
	d.h.Message(d.now, &m)
}

// report is one of another host in the version before the newest.
func (d *dialogue) report(g int) {
	m := ip.Message{Type: 0x16}
	if d.six {
		m = ip.Message{Type: 131, Body: d.g(g).AsSlice()}
	} else {
		m.Rest = binary.BigEndian.Uint32(d.g(g).AsSlice())
	}
	d.h.Message(d.now, &m)
}

// families runs a test for IGMP and for MLD. to is where reports of the newest version go.
func families(t *testing.T, f func(t *testing.T, d *dialogue, to string)) {
	t.Run("IGMP", func(t *testing.T) { f(t, newDialogue(t, false), " 224.0.0.22 ") })
	t.Run("MLD", func(t *testing.T) { f(t, newDialogue(t, true), " ff02::16 ") })
}

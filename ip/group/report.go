package group

import (
	"net/netip"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// Tick lets pass what is due: send is called with each message and where it goes. The
// message and its memory are only good until send returns.
func (h *Host) Tick(now mono.Time, send func(dst netip.Addr, m *ip.Message)) {
	h.expire(now)
	if h.version < newest(h.is4) {
		h.tickOlder(now, send)
		return
	}
	var changes, states []record
	for _, m := range h.members() {
		if m.change <= now {
			changes = h.tell(now, m, changes)
		}
		if h.general <= now || m.answer <= now {
			states = m.state(h.general <= now, states)
			m.answer, m.sources = mono.Never, nil
		}
		if m.filter.None() && !m.pending() {
			delete(h.groups, m.group)
		}
	}
	if h.general <= now {
		h.general = mono.Never
	}
	h.report(changes, send)
	h.report(states, send)
}

// tell appends the records of a change, and schedules their repetition.
func (h *Host) tell(now mono.Time, m *member, list []record) []record {
	if m.modeLeft > 0 {
		m.modeLeft--
		r := record{typ: changeToInclude, group: m.group, sources: m.filter.Sources}
		if m.filter.Mode == Exclude {
			r.typ = changeToExclude
		}
		list = append(list, r)
	} else {
		var allowed, blocked Filter
		for s, left := range m.sourcesLeft {
			if m.filter.Hears(s) {
				allowed = allowed.With(s)
			} else {
				blocked = blocked.With(s)
			}
			if m.sourcesLeft[s] = left - 1; left == 1 {
				delete(m.sourcesLeft, s)
			}
		}
		if !allowed.None() {
			list = append(list, record{allowNewSources, m.group, allowed.Sources})
		}
		if !blocked.None() {
			list = append(list, record{blockOldSources, m.group, blocked.Sources})
		}
	}
	m.again(h, now)
	return list
}

// again schedules the next repetition, if one is left.
func (m *member) again(h *Host, now mono.Time) {
	m.change = mono.Never
	if m.pending() {
		m.change = now.Add(h.delay(unsolicitedInterval))
	}
}

// state appends the record that answers a query: about all of the group, or about the
// sources that were asked for (RFC 9776, section 5.2).
func (m *member) state(all bool, list []record) []record {
	if m.filter.None() || Silent(m.group) {
		return list
	}
	if all || len(m.sources) == 0 {
		r := record{typ: modeIsInclude, group: m.group, sources: m.filter.Sources}
		if m.filter.Mode == Exclude {
			r.typ = modeIsExclude
		}
		return append(list, r)
	}
	wanted := intersect(m.sources, m.filter.Sources)
	if m.filter.Mode == Exclude {
		wanted = subtract(m.sources, m.filter.Sources)
	}
	if len(wanted) == 0 {
		return list
	}
	return append(list, record{modeIsInclude, m.group, wanted})
}

// report sends records, as many in one message as fit.
func (h *Host) report(list []record, send func(netip.Addr, *ip.Message)) {
	m := ip.Message{Type: igmpReport3}
	dst := reports4
	if !h.is4 {
		m.Type, dst = mldReport2, reports6
	}
	for i := range list {
		if len(m.Body) > 0 && len(m.Body)+list[i].length() > h.room {
			send(dst, &m)
			m.Rest, m.Body = 0, m.Body[:0]
		}
		m.Rest++
		m.Body = list[i].append(m.Body)
	}
	if len(m.Body) > 0 {
		send(dst, &m)
	}
}

// tickOlder is Tick in the older versions, which have a message a group.
func (h *Host) tickOlder(now mono.Time, send func(netip.Addr, *ip.Message)) {
	for _, m := range h.members() {
		due := m.answer <= now
		if m.change <= now {
			due = due || !m.filter.None()
			m.modeLeft--
			if m.filter.None() {
				h.leave(m, send)
			}
			m.again(h, now)
		}
		if due && !m.filter.None() {
			m.answer = mono.Never
			m.reported = true
			typ := uint8(mldReport1)
			if h.is4 {
				typ = [...]uint8{1: igmpReport1, 2: igmpReport2}[h.version]
			}
			msg := about(typ, m.group)
			send(m.group, &msg)
		}
		if m.filter.None() && !m.pending() {
			delete(h.groups, m.group)
		}
	}
}

// leave says that the host has left a group, unless another host reported it last, which
// then is still in it. Version 1 of IGMP has no such message.
func (h *Host) leave(m *member, send func(netip.Addr, *ip.Message)) {
	if !m.reported || h.is4 && h.version == 1 {
		return
	}
	msg, dst := about(mldDone, m.group), routers6
	if h.is4 {
		msg, dst = about(igmpLeave, m.group), routers4
	}
	send(dst, &msg)
}

// about is a message of the older versions.
func about(typ uint8, g netip.Addr) ip.Message {
	if !g.Is4() {
		return ip.Message{Type: typ, Body: g.AsSlice()}
	}
	b := g.As4()
	return ip.Message{Type: typ, Rest: uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])}
}

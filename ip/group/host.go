package group

import (
	"net/netip"
	"slices"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
)

// Values of RFC 9776, section 8 and RFC 9777, section 9.
const (
	robustness            = 2 // until a querier says otherwise
	unsolicitedInterval   = time.Second
	queryInterval         = 125 * time.Second
	queryResponseInterval = 10 * time.Second
)

// MaxSources bounds the sources of a filter, so that a record fits any packet.
const MaxSources = 64

// Host is what one host tells the routers of one link about its groups of one family. It
// does not lock. Make it by NewHost.
type Host struct {
	is4  bool
	room int                 // bytes of records in one report
	rand func(n int64) int64 // uniform in [0, n)

	groups map[netip.Addr]*member
	robust int
	// general is when to answer a query about all groups.
	general mono.Time
	// older says until when routers of the versions below the newest are about; index 1
	// is version 1.
	older    [3]mono.Time
	interval time.Duration // between queries, as the querier says
	version  int           // the one that is spoken
}

// member is a group that the host is in, or is about to have left.
type member struct {
	group  netip.Addr
	filter Filter

	// A change is told as often as the robustness says: modeLeft times that the mode has
	// changed, with all sources, and each source in sourcesLeft so often that it has.
	modeLeft    int
	sourcesLeft map[netip.Addr]int
	change      mono.Time // when next

	// The answer to a query about this group, about some sources of it if there are any.
	answer  mono.Time
	sources []netip.Addr

	reported bool // the last report of the group was ours, in the older versions
}

// NewHost returns the part of a host that is in no group. mtu is that of the link; rand
// returns a number from 0 to n-1 at random.
func NewHost(is4 bool, mtu int, rand func(n int64) int64) *Host {
	h := &Host{
		is4: is4, rand: rand, groups: make(map[netip.Addr]*member), robust: robustness,
		general: mono.Never, interval: queryInterval, version: newest(is4),
	}
	headers := ip.HeaderLen6 + 8 // and the router alert
	if is4 {
		headers = ip.HeaderLen4 + 4
	}
	h.room = max(mtu, 576) - headers - ip.ICMPHeaderLen
	return h
}

func newest(is4 bool) int {
	if is4 {
		return 3
	}
	return 2
}

// Filter is what the host hears of a group.
func (h *Host) Filter(g netip.Addr) Filter {
	if m := h.groups[g]; m != nil {
		return m.filter
	}
	return Filter{}
}

// Hold makes the host a member without a word; only queries are answered.
func (h *Host) Hold(g netip.Addr) { h.groups[g] = h.newMember(g, All) }

func (h *Host) newMember(g netip.Addr, f Filter) *member {
	return &member{group: g, filter: f, change: mono.Never, answer: mono.Never}
}

// Set changes what the host hears of a group: a zero Filter leaves it. What there is to say
// is due at once.
func (h *Host) Set(now mono.Time, g netip.Addr, f Filter) {
	h.expire(now)
	m := h.groups[g]
	if m == nil {
		m = h.newMember(g, Filter{})
		h.groups[g] = m
	}
	old := m.filter
	m.filter = f
	if Silent(g) {
		if f.None() {
			delete(h.groups, g)
		}
		return
	}
	h.note(m, old)
	if m.pending() {
		m.change = now
	} else if f.None() {
		delete(h.groups, g)
	}
}

// note writes down what there is to say of a change (RFC 9776, section 5.1).
func (h *Host) note(m *member, old Filter) {
	if h.version < newest(h.is4) {
		// The older versions know joining and leaving only.
		if old.None() != m.filter.None() {
			m.modeLeft, m.sourcesLeft = h.robust, nil
		}
		if m.filter.None() && m.modeLeft > 0 {
			m.modeLeft = 1 // a leave is said once (RFC 2236, section 3)
		}
		return
	}
	if old.Mode != m.filter.Mode {
		m.modeLeft, m.sourcesLeft = h.robust, nil
		return
	}
	for _, changed := range [...][]netip.Addr{
		subtract(m.filter.Sources, old.Sources), subtract(old.Sources, m.filter.Sources),
	} {
		for _, s := range changed {
			if m.sourcesLeft == nil {
				m.sourcesLeft = make(map[netip.Addr]int)
			}
			m.sourcesLeft[s] = h.robust
		}
	}
}

// pending reports whether a change is yet to be told.
func (m *member) pending() bool { return m.modeLeft > 0 || len(m.sourcesLeft) > 0 }

// Message takes in a message that came from another host or router. The caller has
// verified its checksum, that it came with a hop limit of 1 and a router alert and, of
// MLD, from a link-local address.
func (h *Host) Message(now mono.Time, m *ip.Message) {
	h.expire(now)
	switch {
	case h.is4 && m.Type == igmpQuery, !h.is4 && m.Type == mldQuery:
		if q, ok := parseQuery(h.is4, m); ok {
			h.query(now, &q)
		}
	case h.is4 && (m.Type == igmpReport1 || m.Type == igmpReport2) && len(m.Body) == 0:
		h.heard(netip.AddrFrom4([4]byte{byte(m.Rest >> 24), byte(m.Rest >> 16), byte(m.Rest >> 8), byte(m.Rest)}))
	case !h.is4 && m.Type == mldReport1 && len(m.Body) >= 16:
		h.heard(netip.AddrFrom16([16]byte(m.Body)))
	}
}

// heard takes in that another host has reported a group: in the older versions one report
// is enough (RFC 2236, section 3; RFC 2710, section 4).
func (h *Host) heard(g netip.Addr) {
	if m := h.groups[g]; m != nil && h.version < newest(h.is4) && !m.filter.None() {
		m.answer, m.sources = mono.Never, nil
		m.modeLeft, m.change = 0, mono.Never
		m.reported = false
	}
}

// query takes in a query (RFC 9776, section 5.2).
func (h *Host) query(now mono.Time, q *query) {
	if q.version < newest(h.is4) {
		h.older[q.version] = now.Add(time.Duration(h.robust)*h.interval + queryResponseInterval)
		h.expire(now)
	} else {
		h.robust, h.interval = robustness, queryInterval
		if q.robust != 0 {
			h.robust = q.robust
		}
		if q.interval != 0 {
			h.interval = q.interval
		}
	}
	if h.version < newest(h.is4) {
		h.askEach(now, q)
		return
	}
	at := now.Add(h.delay(q.most))
	switch {
	case h.general <= at:
	case !q.group.IsValid():
		h.general = at
	default:
		if m := h.groups[q.group]; m != nil {
			m.ask(at, q.sources)
		}
	}
}

// askEach schedules the answers of the older versions: each group has its own.
func (h *Host) askEach(now mono.Time, q *query) {
	for g, m := range h.groups {
		if q.group.IsValid() && g != q.group || Silent(g) || m.filter.None() {
			continue
		}
		if at := now.Add(h.delay(q.most)); at < m.answer {
			m.answer, m.sources = at, nil
		}
	}
}

// ask schedules the answer to a query about the group, or some sources of it.
func (m *member) ask(at mono.Time, sources []netip.Addr) {
	if m.answer == mono.Never {
		m.answer, m.sources = at, sources
		return
	}
	m.answer = min(m.answer, at)
	if len(sources) == 0 || len(m.sources) == 0 || len(m.sources)+len(sources) > MaxSources {
		m.sources = nil // about all of it
		return
	}
	f := Filter{Include, m.sources}
	for _, s := range sources {
		f = f.With(s)
	}
	m.sources = f.Sources
}

// delay is a random time up to most.
func (h *Host) delay(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(h.rand(int64(most)) + 1)
}

// expire goes back to the newest version that every router about speaks. What was
// scheduled in another version is off (RFC 9776, section 7.2.1).
func (h *Host) expire(now mono.Time) {
	version := newest(h.is4)
	for v := version - 1; v >= 1; v-- {
		if h.older[v] > now {
			version = v
		}
	}
	if version == h.version {
		return
	}
	h.version, h.general = version, mono.Never
	for g, m := range h.groups {
		m.answer, m.sources = mono.Never, nil
		m.modeLeft, m.sourcesLeft, m.change = 0, nil, mono.Never
		if m.filter.None() {
			delete(h.groups, g)
		}
	}
}

// Deadline is when Tick is due; mono.Never when nothing is.
func (h *Host) Deadline() mono.Time {
	next := h.general
	for _, m := range h.groups {
		next = min(next, m.change, m.answer)
	}
	return next
}

// members returns the groups in the order of their addresses, so that what is sent does
// not depend on chance.
func (h *Host) members() []*member {
	list := make([]*member, 0, len(h.groups))
	for _, m := range h.groups {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *member) int { return a.group.Compare(b.group) })
	return list
}

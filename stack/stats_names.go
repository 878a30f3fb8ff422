package stack

import (
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// All yields every counter by the name that Linux has for it, as nstat(8) prints it, and in
// its order: "IpInReceives" first, and "TcpExtTCPTimeouts" later. What Linux has no name for
// begins with "Portico"; the drops by reason, those that never occurred included, with
// "PorticoDrop". Names are letters and digits, fit for metrics of any kind.
func (st Stats) All() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		var list []namedCounter
		st.each(func(name string, counter *uint64) { list = append(list, namedCounter{name, *counter}) })
		slices.SortStableFunc(list, func(a, b namedCounter) int { return a.group() - b.group() })
		for _, c := range list {
			if !yield(c.name, c.value) {
				return
			}
		}
	}
}

// IsGauge reports whether a counter of All is no sum, but says how many there are now.
func IsGauge(name string) bool {
	switch name {
	case "TcpCurrEstab", "PorticoTcpConnections", "PorticoTcpTimeWaits", "PorticoTcpOrphans":
		return true
	}
	return false
}

type namedCounter struct {
	name  string
	value uint64
}

// group moves what nstat prints behind the rest: Stats has some of IpExt in IP.
func (c *namedCounter) group() int {
	switch {
	case strings.HasPrefix(c.name, "IpExt"):
		return 1
	case strings.HasPrefix(c.name, "Portico"):
		return 2
	}
	return 0
}

// each calls f with every counter and its name. Those of maps are copies.
func (st *Stats) each(f func(name string, counter *uint64)) {
	v := reflect.ValueOf(st).Elem()
	for i := range v.NumField() {
		prefix := v.Type().Field(i).Tag.Get("mib")
		if drops, ok := v.Field(i).Interface().(map[string]uint64); ok {
			eachReason(func(reason string) {
				n := drops[reason]
				f(prefix+camelCase(reason), &n)
			})
			continue
		}
		eachOfGroup(prefix, v.Field(i), f)
	}
}

// eachOfGroup is each for one of the fields of Stats.
func eachOfGroup(prefix string, group reflect.Value, f func(name string, counter *uint64)) {
	for i := range group.NumField() {
		tag := group.Type().Field(i).Tag.Get("mib")
		switch field := group.Field(i).Addr().Interface().(type) {
		case *uint64:
			f(fieldName(prefix, group.Type().Field(i).Name, tag), field)
		case *map[uint8]uint64:
			for _, typ := range slices.Sorted(maps.Keys(*field)) {
				n := (*field)[typ]
				f(tag+strconv.Itoa(int(typ)), &n)
			}
		}
	}
}

// fieldName is what a field is called in the group that prefix is of: by its tag, if it has
// one. Linux has some counters under IpExt for IPv4 and under Ip6 for IPv6.
func fieldName(prefix, field, tag string) string {
	switch {
	case tag == "ext" && prefix == "Ip":
		return "IpExt" + field
	case tag == "ext" || tag == "":
		return prefix + field
	}
	return prefix + tag
}

// eachReason calls f with every reason that Drops may name.
func eachReason(f func(reason string)) {
	new(shard).eachDrop(func(reason string, _ *uint64) { f(reason) })
}

// camelCase makes "TcpClosedPort" of "tcp_closed_port".
func camelCase(reason string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(reason, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

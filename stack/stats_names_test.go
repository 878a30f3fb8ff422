package stack

import (
	_ "embed"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/tcp"
	"github.com/a644562b/portico/udp"
)

// linuxNames are the names that nstat -az of iproute2 prints on Linux 6.18, those of
// MPTCP and UDP-Lite and of single types of ICMP left out.
//
//go:embed testdata/nstat.txt
var linuxNames string

// number gives every counter of a Stats, those in maps included, another value, and says how
// many there are.
func number(v reflect.Value, next *uint64) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Struct:
			number(f, next)
		case reflect.Uint64:
			*next++
			f.SetUint(*next)
		case reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
			key := reflect.ValueOf(uint8(8))
			if f.Type().Key().Kind() == reflect.String {
				key = reflect.ValueOf("tcp_checksum")
			}
			*next++
			f.SetMapIndex(key, reflect.ValueOf(*next))
		default:
			panic(f.Type().String() + " in Stats has no name")
		}
	}
}

func TestEveryCounterHasOneName(t *testing.T) {
	var st Stats
	var n uint64
	number(reflect.ValueOf(&st).Elem(), &n)
	names := make(map[string]bool)
	seen := make(map[uint64]string)
	for name, value := range st.All() {
		if names[name] {
			t.Errorf("%s is there twice", name)
		}
		names[name] = true
		if value == 0 {
			continue // a reason other than the one that was set
		}
		if other := seen[value]; other != "" {
			t.Errorf("%s and %s are one counter", other, name)
		}
		seen[value] = name
	}
	if uint64(len(seen)) != n {
		t.Errorf("%d of %d counters have a name", len(seen), n)
	}
}

func TestNamesAreThoseOfLinux(t *testing.T) {
	linux := make(map[string]bool)
	for _, name := range strings.Fields(linuxNames) {
		linux[name] = true
	}
	if len(linux) < 200 {
		t.Fatalf("%d names", len(linux))
	}
	types := regexp.MustCompile(`^(IcmpMsg|Icmp6)(In|Out)Type[0-9]+$`)
	ours := regexp.MustCompile(`^Portico[A-Z][A-Za-z0-9]+$`)
	var st Stats
	var n uint64
	number(reflect.ValueOf(&st).Elem(), &n)
	for name := range st.All() {
		// nstat leaves out TcpCurrEstab, which /proc/net/snmp has.
		if !linux[name] && !types.MatchString(name) && !ours.MatchString(name) && name != "TcpCurrEstab" {
			t.Errorf("Linux has no %s", name)
		}
	}
}

func TestEveryReasonToDropHasAName(t *testing.T) {
	got := make(map[string]bool)
	for name := range (Stats{}).All() {
		if reason, ok := strings.CutPrefix(name, "PorticoDrop"); ok {
			got[reason] = true
		}
	}
	want := 0
	check := func(reason string) {
		t.Helper()
		want++
		if reason == "" || !got[camelCase(reason)] {
			t.Errorf("reason %q has no name", reason)
		}
	}
	for _, reason := range dropNames {
		check(reason)
	}
	for d := ip.DropNone + 1; d < ip.NumDrops; d++ {
		check(d.String())
	}
	for d := udp.DropNone + 1; d < udp.NumDrops; d++ {
		check(d.String())
	}
	for _, reason := range tcpDropNames {
		check(reason)
	}
	if len(got) != want {
		t.Errorf("%d names for %d reasons", len(got), want)
	}
}

// What a connection counts finds a field, and one of its own.
func TestEveryCounterOfTCPHasAField(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		before := make(map[string]uint64)
		for name, value := range w.s.Stats().All() {
			before[name] = value
		}
		for c := range tcp.Counter(tcp.NumCounters) {
			w.s.count.Count(c, 1000+int(c))
		}
		for name, value := range w.s.Stats().All() {
			if d := value - before[name]; d != 0 {
				if c := tcp.Counter(d - 1000); c.String() != name {
					t.Errorf("%s counts %v", name, c)
				}
				delete(before, name)
			}
		}
		for c := range tcp.Counter(tcp.NumCounters) {
			if _, left := before[c.String()]; left {
				t.Errorf("%v is not in Stats", c)
			}
		}
	})
}

package rules

import (
	"fmt"
	"slices"
	"strings"
)

// maxLines is how long a file may be that is not a test.
const maxLines = 600

// floor orders the rooms: calls go down or stay on a floor.
var floor = map[string]int{"cmd": 3, "stack": 2, "tcp": 1, "udp": 1, "ip": 1, "link": 1, "internal": 0}

// protocols are the rooms that are sans I/O.
var protocols = []string{"tcp", "udp", "ip"}

// mayImportUp lists the internal packages that know a room above them, each with
// what they know. They are leaves all the same: nothing above but that, and no
// cycle.
var mayImportUp = map[string][]string{
	// Cut and join frames, and a frame is link's.
	"internal/gso": {"link"},
	"internal/gro": {"link"},
	// Simulates hosts, and their protocol is the real one.
	"internal/sim":        {"tcp"},
	"internal/sim/device": {"link"},
}

// foreign says where packages may be imported that are not ours. The first entry that
// matches counts. Everything else of the standard library may be imported everywhere;
// everything else from outside nowhere.
var foreign = []struct {
	path string
	// rooms may import it; those of tests only in their tests and in test kits.
	rooms, tests []string
}{
	{"golang.zx2c4.com/wireguard", []string{"link/tun"}, nil},
	// What the processor has, which the runtime keeps to itself.
	{"golang.org/x/sys/cpu", []string{"internal/checksum"}, nil},
	{"golang.org/x/sys", []string{"link/tun", "cmd"}, nil},
	{"github.com/google/gopacket", []string{"link/capture", "cmd"}, anywhere},
	{"github.com/spf13", []string{"cmd"}, nil},
	{"github.com/prometheus", []string{"cmd"}, nil},
	{"github.com/vishvananda", []string{"cmd"}, anywhere},
	{"golang.org/x/net", nil, anywhere},
	{"pgregory.net/rapid", nil, anywhere},
	{"net/http", []string{"cmd"}, anywhere},
	{"html/template", []string{"cmd"}, anywhere},
	{"testing", nil, anywhere},
}

var anywhere = []string{"cmd", "stack", "tcp", "udp", "ip", "link", "internal"}

// testKits are packages that only tests import; they may import what tests may.
var testKits = []string{"internal/nstest"}

// notUnderStack must not be in the closure of package stack, whoever brings it in.
var notUnderStack = []string{
	"github.com/google/gopacket", "github.com/spf13/cobra", "github.com/vishvananda/netlink",
	"golang.zx2c4.com/wireguard", "net/http", "html/template",
}

// check returns a line for every rule that a file of the house breaks.
func check(all []source) []string {
	var found []string
	underProtocols := closure(all, protocols...)
	for i := range all {
		s := &all[i]
		say := func(format string, args ...any) {
			found = append(found, s.name+": "+fmt.Sprintf(format, args...))
		}
		if _, ok := floor[top(s.room())]; !ok {
			say("lies in no room of the house: give it a floor, and a reason in ARCHITECTURE.md")
			continue
		}
		for _, p := range s.imports {
			if why := badImport(s, p); why != "" {
				say("imports %s: %s", p, why)
			}
		}
		if s.isTest() {
			continue
		}
		if s.in("tcp", "udp", "ip", "internal") && slices.Contains(underProtocols, s.room()) {
			for _, c := range s.clocks {
				say("uses %s: the protocol reads no clock, `now` is an argument", c)
			}
		}
		if s.lines >= maxLines {
			say("has %d lines: a file stays under %d", s.lines, maxLines)
		}
	}
	return append(found, checkStack(closure(all, "stack"))...)
}

// checkStack looks through the packages that stack depends on.
func checkStack(deps []string) []string {
	var found []string
	for _, p := range deps {
		if within(p, notUnderStack...) {
			found = append(found, "stack: depends on "+p+", which has no place on the data path")
		}
	}
	return found
}

// top is the first element of a path.
func top(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}

// ours reports whether an import is one of the module's packages.
func ours(p string) bool {
	_, ok := floor[top(p)]
	return ok
}

// badImport says why the file may not import p; empty when it may.
func badImport(s *source, p string) string {
	if ours(p) {
		return badRoom(s, p)
	}
	if !s.isTest() && s.in(protocols...) && within(p, "net", "os", "sync") && p != "net/netip" {
		return "tcp, udp and ip know no network, no operating system and no locks"
	}
	for _, f := range foreign {
		if !within(p, f.path) {
			continue
		}
		asTest := s.isTest() || s.in(testKits...)
		if s.in(f.rooms...) || asTest && s.in(f.tests...) {
			return ""
		}
		if len(f.tests) > 0 && len(f.rooms) == 0 {
			return "it belongs into tests only"
		}
		return "it stays inside " + strings.Join(f.rooms, " and ")
	}
	if strings.Contains(top(p), ".") {
		return "a dependency that has no place in the house"
	}
	return ""
}

// badRoom says why the file may not import package p of the house. Tests may look in
// from anywhere.
func badRoom(s *source, p string) string {
	from, to := top(s.room()), top(p)
	switch {
	case s.isTest():
		return ""
	case within(p, testKits...) && !s.in(testKits...):
		return "it belongs into tests only"
	case floor[from] < floor[to] && !slices.Contains(mayImportUp[s.room()], p):
		return "calls go one way: cmd, stack, {tcp, udp, ip, link}, internal"
	case floor[from] == 1 && floor[to] == 1 && from != to:
		return "tcp, udp, ip and link do not import one another"
	}
	return ""
}

// closure lists the rooms and everything that their files import, directly or through
// other packages of the house; tests do not count.
func closure(all []source, rooms ...string) []string {
	imports := map[string][]string{}
	for _, s := range all {
		if !s.isTest() {
			imports[s.room()] = append(imports[s.room()], s.imports...)
		}
	}
	reached := slices.Clone(rooms)
	for i := 0; i < len(reached); i++ {
		for _, p := range imports[reached[i]] {
			if !slices.Contains(reached, p) {
				reached = append(reached, p)
			}
		}
	}
	return reached
}

package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// peer is a stack that is measured: what run.sh is told to start.
type peer struct {
	label   string
	program []string
}

// ours is the label of the stack that the others are held against.
const ours = "portico"

// peers are all that there are, in the order of the table's columns.
func peers(flags []string) []peer {
	return []peer{
		{ours, append([]string{"portico"}, flags...)},
		{"gvisor-vnet", []string{"gvisor", "--mode", "vnet"}},
		{"gvisor-wg", []string{"gvisor", "--mode", "wg"}},
		{"kernel", []string{"kernel"}},
	}
}

// group are tests over one path; its peers stand side by side while they are measured in turn.
type group struct {
	loss   string   // percent of what the peer sends on "routed"; "": the path is "direct"
	tests  []string // MODE:CONNECTIONS, as run.sh takes them
	absent []string // labels of peers that are left out
}

// point is what a person calls a test of the group: "rr:32", or "loss1/download:8".
func (g *group) point(test string) string {
	if g.loss == "" {
		return test
	}
	return "loss" + g.loss + "/" + test
}

// options are those of run.sh for the group's path.
func (g *group) options() []string {
	if g.loss == "" {
		return []string{"--path", "direct"}
	}
	return []string{"--path", "routed", "--loss", "down:" + g.loss}
}

// verified is the test that compares every byte; what comes out does not change, so the
// first round alone has it.
const verified = "verify:4"

func groups() []group {
	lossy := func(percent string) group {
		return group{loss: percent, tests: []string{"download:1", "download:8"}, absent: []string{"gvisor-wg"}}
	}
	return []group{
		{tests: []string{verified, "upload:1", "upload:8", "download:1", "download:8", "rr:32", "rr:256", "crr:32", "http:32", "small:1", "small:8"}},
		{tests: []string{"idle:10000"}, absent: []string{"kernel"}}, // whose connections are not in the process
		lossy("0.1"), lossy("1"), lossy("3"),
	}
}

// chosen are the groups with the tests whose point matches one of the globs, which are
// separated by commas.
func chosen(globs string) ([]group, error) {
	var out []group
	for _, g := range groups() {
		var tests []string
		for _, t := range g.tests {
			ok, err := matches(globs, g.point(t))
			if err != nil {
				return nil, err
			}
			if ok {
				tests = append(tests, t)
			}
		}
		if g.tests = tests; len(tests) > 0 {
			out = append(out, g)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no test matches --tests %s: there are %s", globs, strings.Join(points(), " "))
	}
	return out, nil
}

// points are the names of all tests.
func points() (names []string) {
	for _, g := range groups() {
		for _, t := range g.tests {
			names = append(names, g.point(t))
		}
	}
	return names
}

// matches reports whether name is one of the globs; a star also stands for what has a slash.
func matches(globs, name string) (bool, error) {
	flat := func(s string) string { return strings.ReplaceAll(s, "/", "|") }
	for glob := range strings.SplitSeq(globs, ",") {
		ok, err := path.Match(flat(glob), flat(name))
		if err != nil {
			return false, fmt.Errorf("--tests %q: %w", glob, err)
		}
		if ok {
			return true, nil
		}
	}
	return false, nil
}

// choosePeers are those with the labels, which are separated by commas; ours is always among them.
func choosePeers(labels string, flags []string) ([]peer, error) {
	all := peers(flags)
	if labels == "all" {
		return all, nil
	}
	want := strings.Split(labels, ",")
	for _, l := range want {
		if !slices.ContainsFunc(all, func(p peer) bool { return p.label == l }) {
			return nil, fmt.Errorf("--peers: no peer is called %q: choose from portico, gvisor-vnet, gvisor-wg, kernel", l)
		}
	}
	return slices.DeleteFunc(all, func(p peer) bool { return p.label != ours && !slices.Contains(want, p.label) }), nil
}

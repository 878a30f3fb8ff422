package rules

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// CONFORMANCE.md is held to be complete, and what it names to exist. The top of the file
// describes its tables.

// claim is a row of a table of CONFORMANCE.md.
type claim struct {
	line    int
	section string // the heading above the table
	id      string
	asks    string
	verdict string
	reason  string // behind the verdict
	where   []place
	proof   []place
}

// place names something in a file or, for a test, in a directory.
type place struct{ path, name string }

// The verdicts of a row.
const (
	kept        = "kept"
	deviates    = "deviates"
	declined    = "declined"
	application = "application"
	open        = "open"
)

func TestTheStatementOfConformanceIsTrue(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "CONFORMANCE.md"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	claims, faults := readClaims(string(text))
	if len(claims) < 119 {
		t.Fatalf("read %d rows: the tables are not what the reader expects", len(claims))
	}
	for _, f := range append(faults, checkClaims(claims, all, required, mayBeOpen)...) {
		t.Errorf("CONFORMANCE.md:%s", f)
	}
}

// readClaims reads the rows of every table whose first column is called "row".
func readClaims(text string) (claims []claim, faults []string) {
	section, inTable := "", false
	for i, line := range strings.Split(text, "\n") {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			section = heading
		}
		if !strings.HasPrefix(line, "|") {
			inTable = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		switch {
		case cells[0] == "row":
			inTable = true
			continue
		case !inTable, strings.HasPrefix(cells[0], "--"):
			continue
		}
		if len(cells) != 5 {
			faults = append(faults, fmt.Sprintf("%d: %d cells, want row, asks, verdict, where, proof", i+1, len(cells)))
			continue
		}
		c := claim{line: i + 1, section: section, id: cells[0], asks: cells[1]}
		c.verdict, c.reason, _ = strings.Cut(cells[2], ":")
		c.reason = strings.TrimSpace(c.reason)
		var bad bool
		if c.where, bad = places(cells[3]); bad {
			faults = append(faults, fmt.Sprintf("%d: %s: a place is `file.go name`", i+1, c.id))
		}
		if c.proof, bad = places(cells[4]); bad {
			faults = append(faults, fmt.Sprintf("%d: %s: a proof is `directory TestName`", i+1, c.id))
		}
		claims = append(claims, c)
	}
	return claims, faults
}

// places reads what stands in backquotes: a path, and a name in it.
func places(cell string) (list []place, bad bool) {
	parts := strings.Split(cell, "`")
	for i := 1; i < len(parts); i += 2 {
		path, name, ok := strings.Cut(parts[i], " ")
		if !ok {
			bad = true
			continue
		}
		list = append(list, place{path, name})
	}
	return list, bad || len(parts)%2 == 0
}

// checkClaims returns a line for every fault of the statement.
func checkClaims(claims []claim, all []source, required []section, mayBeOpen []string) (faults []string) {
	files, tests := make(map[string]*source), make(map[string][]*source)
	for i := range all {
		s := &all[i]
		files[s.name] = s
		if s.isTest() {
			tests[s.room()] = append(tests[s.room()], s)
		}
	}
	seen := make(map[string]bool)
	for _, c := range claims {
		say := func(format string, args ...any) {
			faults = append(faults, fmt.Sprintf("%d: %s: ", c.line, c.id)+fmt.Sprintf(format, args...))
		}
		if key := c.section + "\n" + c.id; seen[key] {
			say("stands twice")
		} else {
			seen[key] = true
		}
		if c.asks == "" {
			say("does not say what it asks")
		}
		if why := badVerdict(&c, mayBeOpen); why != "" {
			say("%s", why)
		}
		for _, w := range c.where {
			if s := files[w.path]; s == nil {
				say("there is no file %s", w.path)
			} else if !slices.Contains(s.declared, w.name) {
				say("%s declares no %s", w.path, w.name)
			}
		}
		for _, p := range c.proof {
			if why := badProof(p, tests[p.path]); why != "" {
				say("%s", why)
			}
		}
	}
	for _, s := range required {
		for _, id := range s.rows {
			if !seen[s.name+"\n"+id] {
				faults = append(faults, fmt.Sprintf("0: %s: no row in section %q", id, s.name))
			}
		}
	}
	return faults
}

// badVerdict says what is wrong with the verdict of a row and what it has to bring.
func badVerdict(c *claim, mayBeOpen []string) string {
	must := strings.HasPrefix(c.id, "MUST-")
	switch c.verdict {
	case kept, deviates:
		switch {
		case c.verdict == deviates && must:
			return "a MUST is kept"
		case c.verdict == deviates && c.reason == "":
			return "deviates, and does not say why"
		case len(c.where) == 0:
			return "names no place in the code"
		case len(c.proof) == 0:
			return "names no test"
		}
	case declined, application:
		switch {
		case c.reason == "":
			return c.verdict + ", and does not say why"
		case must && (c.verdict != declined || !slices.Contains(sourceRoutes, c.id)):
			return "a MUST is kept; only those about source routes are declined"
		}
	case open:
		switch {
		case c.reason == "":
			return "open, and does not say what is missing"
		case !slices.Contains(mayBeOpen, c.id):
			return "open"
		}
	default:
		return fmt.Sprintf("verdict %q is none of kept, deviates, declined, application", c.verdict)
	}
	return ""
}

// badProof says why a test is no proof: it does not exist, or scripts/test does not run
// it.
func badProof(p place, files []*source) string {
	test, sub, hasSub := strings.Cut(p.name, "/")
	if !slices.ContainsFunc([]string{"Test", "Fuzz", "Example"}, func(kind string) bool { return strings.HasPrefix(test, kind) }) {
		return p.name + " is not the name of a test"
	}
	i := slices.IndexFunc(files, func(s *source) bool { return slices.Contains(s.declared, test) })
	if i < 0 {
		return fmt.Sprintf("there is no test %s in %s", test, p.path)
	}
	switch tag := files[i].tag; {
	case tag == "", tag == "linux":
	case tag == "e2e" && strings.HasPrefix(test, "TestE2E") && within(p.path, "cmd"):
	default:
		return fmt.Sprintf("%s is built with %q only, and scripts/test does not run it", test, tag)
	}
	if hasSub && !slices.ContainsFunc(files, func(s *source) bool {
		return slices.ContainsFunc(s.literals, func(l string) bool { return strings.Contains(l, sub) })
	}) {
		return fmt.Sprintf("the tests of %s have no case %q", p.path, sub)
	}
	return ""
}

// TestEachFaultOfTheStatementIsFound: the test above can fail.
func TestEachFaultOfTheStatementIsFound(t *testing.T) {
	const (
		head = "## RFC\n| row | asks | verdict | where | proof |\n|---|---|---|---|---|\n"
		good = "| MUST-1 | x | kept | `tcp/a.go f`, `tcp/a.go T.m` | `tcp TestA`, `tcp TestA/a case` |\n"
	)
	house := []source{
		{name: "tcp/a.go", declared: []string{"f", "m", "T.m"}},
		{name: "tcp/a_test.go", declared: []string{"TestA", "helper"}, literals: []string{"this is a case: it is"}},
		{name: "cmd/p/e_test.go", declared: []string{"TestE2EX", "TestY"}, tag: "e2e"},
	}
	needed := []section{{"RFC", []string{"MUST-1"}}}
	for _, c := range []struct{ table, want string }{
		{head + good, ""},
		{head + good + "| SHLD-1 | x | deviates: as Linux | `tcp/a.go f` | `cmd/p TestE2EX` |\n", ""},
		{head + good + "| SHLD-1 | x | application: not ours | | |\n", ""},
		{head + good + "| MUST-51 | x | declined: RFC 7126 | | |\n", ""},
		{head + good + "| SHLD-9 | x | open: not yet | | |\n", ""},
		{head + good + "\n| other | table |\n|---|---|\n| a | b |\n", ""},

		{head, "no row in section"},
		{"## Another\n" + head[len("## RFC\n"):] + good, "no row in section"},
		{head + good + good, "stands twice"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go f` |\n", "4 cells"},
		{head + good + "| SHLD-1 | | kept | `tcp/a.go f` | `tcp TestA` |\n", "does not say what it asks"},
		{head + good + "| SHLD-1 | x | kept | | `tcp TestA` |\n", "names no place"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go f` | |\n", "names no test"},
		{head + good + "| SHLD-1 | x | kept | `tcp/b.go f` | `tcp TestA` |\n", "no file tcp/b.go"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go g` | `tcp TestA` |\n", "declares no g"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go` | `tcp TestA` |\n", "a place is"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go f` | `tcp TestB` |\n", "no test TestB"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go f` | `ip TestA` |\n", "no test TestA in ip"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go f` | `tcp helper` |\n", "not the name of a test"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go f` | `tcp TestA/another` |\n", "no case"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go f` | `cmd/p TestY` |\n", "does not run it"},
		{head + good + "| SHLD-1 | x | kept | `tcp/a.go f` | `TestA` |\n", "a proof is"},
		{head + good + "| SHLD-1 | x | deviates | `tcp/a.go f` | `tcp TestA` |\n", "does not say why"},
		{head + good + "| SHLD-1 | x | declined | | |\n", "does not say why"},
		{head + good + "| SHLD-1 | x | open: not yet | | |\n", "open"},
		{head + good + "| SHLD-9 | x | open | | |\n", "what is missing"},
		{head + good + "| SHLD-1 | x | yes | `tcp/a.go f` | `tcp TestA` |\n", "verdict"},
		{head + good + "| MUST-2 | x | deviates: no | `tcp/a.go f` | `tcp TestA` |\n", "a MUST is kept"},
		{head + good + "| MUST-2 | x | declined: no | | |\n", "a MUST is kept"},
		{head + good + "| MUST-51 | x | application: no | | |\n", "a MUST is kept"},
	} {
		claims, faults := readClaims(c.table)
		faults = append(faults, checkClaims(claims, house, needed, []string{"SHLD-9"})...)
		switch {
		case c.want == "" && len(faults) > 0:
			t.Errorf("%s: %q", c.table, faults)
		case c.want != "" && !strings.Contains(strings.Join(faults, "\n"), c.want):
			t.Errorf("%s: found %q, want %q", c.table, faults, c.want)
		}
	}
}

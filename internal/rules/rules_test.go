package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the top of the repository, seen from here.
const root = "../.."

func TestTheHouseKeepsItsRules(t *testing.T) {
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	all, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 || !slices.ContainsFunc(all, func(s source) bool { return s.name == "internal/rules/rules_test.go" }) {
		t.Fatalf("found %d files and not this one among them: the walk is broken", len(all))
	}
	for _, line := range check(all) {
		t.Error(line)
	}
}

// The go command knows what third parties bring in as well.
func TestNothingForeignUnderStack(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"stack").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"tcp") {
		t.Fatalf("stack without tcp in %d packages: the list is broken", len(deps))
	}
	for _, line := range checkStack(deps) {
		t.Error(line)
	}
}

// house is a small one that keeps all rules.
func house() []source {
	return []source{
		{name: "cmd/portico/main.go", imports: []string{"stack", "link/tun", "link/capture", "net/http", "html/template",
			"github.com/spf13/cobra", "github.com/vishvananda/netlink", "golang.org/x/sys/unix", "github.com/google/gopacket", "os", "net"}},
		{name: "stack/stack.go", imports: []string{"tcp", "udp", "ip", "link", "link/pipe", "internal/buffer", "net", "sync", "time"}, clocks: []string{"time.Now"}},
		{name: "stack/stack_test.go", imports: []string{"net/http", "golang.org/x/net/nettest", "link/tun", "internal/nstest", "testing"}},
		{name: "tcp/tcb.go", imports: []string{"internal/buffer", "internal/mono", "net/netip", "time"}, lines: 599},
		{name: "tcp/tcb_test.go", imports: []string{"ip", "github.com/google/gopacket/layers", "sync", "testing"}, clocks: []string{"time.Sleep"}, lines: 2000},
		{name: "udp/udp.go", imports: []string{"internal/checksum"}},
		{name: "ip/ip.go", imports: []string{"internal/checksum"}},
		{name: "link/link.go", imports: []string{"errors"}},
		{name: "link/pipe/pipe.go", imports: []string{"link", "internal/buffer"}},
		{name: "link/tun/tun.go", imports: []string{"link", "golang.zx2c4.com/wireguard/tun", "golang.org/x/sys/unix", "internal/gso"}},
		{name: "link/capture/capture.go", imports: []string{"link", "github.com/google/gopacket/pcapgo"}},
		{name: "internal/buffer/block.go", imports: []string{"sync"}},
		{name: "internal/mono/mono.go", imports: []string{"time"}},
		{name: "internal/checksum/checksum.go", imports: []string{"net/netip", "internal/race", "golang.org/x/sys/cpu"}},
		{name: "internal/gso/gso.go", imports: []string{"link", "internal/checksum"}},
		{name: "internal/sim/run.go", imports: []string{"tcp", "internal/mono"}},
		{name: "tcp/sim_test.go", imports: []string{"internal/sim"}},
		{name: "internal/nstest/nstest.go", imports: []string{"testing", "os/exec"}},
	}
}

func TestALawfulHouseIsLeftAlone(t *testing.T) {
	for _, line := range check(house()) {
		t.Error(line)
	}
}

func TestEachRuleCatchesItsViolation(t *testing.T) {
	const (
		oneWay    = "calls go one way"
		neighbour = "do not import one another"
		pure      = "know no network, no operating system and no locks"
		clock     = "the protocol reads no clock"
		stays     = "it stays inside"
		tests     = "it belongs into tests only"
		path      = "has no place on the data path"
	)
	imports := func(file, path string) source { return source{name: file, imports: []string{path}} }
	for _, tt := range []struct {
		bad  source
		want []string // what is said, line by line
	}{
		{imports("stack/x.go", "cmd/portico/internal/view"), []string{oneWay}},
		{imports("tcp/x.go", "stack"), []string{oneWay}},
		{imports("link/pipe/x.go", "stack"), []string{oneWay}},
		{imports("internal/buffer/x.go", "tcp"), []string{oneWay}},
		{imports("internal/gso/x.go", "ip"), []string{oneWay}},
		{imports("internal/sim/x.go", "stack"), []string{oneWay}},
		{imports("internal/gso/x.go", "link/tun"), []string{oneWay}},
		{imports("tcp/x.go", "ip"), []string{neighbour}},
		{imports("ip/x.go", "udp"), []string{neighbour}},
		{imports("udp/x.go", "link"), []string{neighbour}},
		{imports("link/capture/x.go", "tcp"), []string{neighbour}},
		{imports("tcp/x.go", "net"), []string{pure}},
		{imports("udp/x.go", "os"), []string{pure}},
		{imports("ip/x.go", "sync"), []string{pure}},
		{imports("tcp/x.go", "sync/atomic"), []string{pure}},
		{imports("tcp/x.go", "os/signal"), []string{pure}},
		{imports("ip/x.go", "net/url"), []string{pure}},
		{source{name: "tcp/x.go", clocks: []string{"time.Now"}}, []string{clock}},
		{source{name: "ip/x_linux.go", clocks: []string{"time.Since", "time.Sleep"}}, []string{clock, clock}},
		{source{name: "internal/mono/x.go", clocks: []string{"time.Now"}}, []string{clock}},
		{imports("link/x.go", "golang.zx2c4.com/wireguard/tun"), []string{stays, path}},
		{imports("link/pipe/x_test.go", "golang.zx2c4.com/wireguard/tun"), []string{stays}},
		{imports("stack/x.go", "golang.org/x/sys/unix"), []string{stays}},
		{imports("stack/x_test.go", "golang.org/x/sys/unix"), []string{stays}},
		{imports("internal/nstest/x.go", "golang.org/x/sys/unix"), []string{stays}},
		{imports("internal/checksum/x.go", "golang.org/x/sys/unix"), []string{stays}},
		{imports("stack/x.go", "golang.org/x/sys/cpu"), []string{stays}},
		{imports("link/tun/x.go", "github.com/google/gopacket"), []string{stays}},
		{imports("stack/x.go", "github.com/google/gopacket/layers"), []string{stays, path}},
		{imports("stack/x.go", "link/capture"), []string{path}},
		{imports("stack/x.go", "link/tun"), []string{path}},
		{imports("stack/x.go", "net/http"), []string{stays, path}},
		{imports("link/capture/x.go", "html/template"), []string{stays}},
		{imports("stack/x.go", "github.com/spf13/cobra"), []string{stays, path}},
		{imports("stack/x_test.go", "github.com/spf13/cobra"), []string{stays}},
		{imports("link/tun/x.go", "github.com/vishvananda/netlink"), []string{stays}},
		{imports("internal/buffer/x.go", "github.com/prometheus/client_golang/prometheus"), []string{stays}},
		{imports("cmd/portico/x.go", "pgregory.net/rapid"), []string{tests}},
		{imports("stack/x.go", "golang.org/x/net/nettest"), []string{tests}},
		{imports("stack/x.go", "internal/nstest"), []string{tests}},
		{imports("cmd/portico/x.go", "testing"), []string{tests}},
		{imports("cmd/portico/x.go", "example.com/wonderful"), []string{"a dependency that has no place"}},
		{imports("cmd/portico/x_test.go", "example.com/wonderful"), []string{"a dependency that has no place"}},
		{source{name: "stack/x.go", lines: 600}, []string{"has 600 lines"}},
		{source{name: "utils/x.go"}, []string{"lies in no room"}},
		{source{name: "x.go"}, []string{"lies in no room"}},
	} {
		got := check(append(house(), tt.bad))
		if len(got) != len(tt.want) {
			t.Errorf("%+v: %q, want %q", tt.bad, got, tt.want)
			continue
		}
		for i, line := range got {
			if !strings.Contains(line, tt.want[i]) {
				t.Errorf("%+v: %q, want %q", tt.bad, line, tt.want[i])
			}
		}
	}
}

func TestForeignPackagesAreFoundThroughTheHouse(t *testing.T) {
	bad := append(house(), source{name: "link/pipe/x.go", imports: []string{"link/tun"}})
	got := check(bad)
	if len(got) != 1 || !strings.Contains(got[0], "stack: depends on golang.zx2c4.com/wireguard/tun") {
		t.Errorf("stack over link/pipe over link/tun: %q", got)
	}
}

func TestLoadKeepsToTheModule(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":                "module m\n",
		"tcp/tcb.go":            "package tcp\n",
		"tcp/tcb_test.go":       "package tcp\n",
		"tcp/testdata/x.go":     "no Go\n",
		".git/x.go":             "no Go\n",
		"_old/x.go":             "no Go\n",
		"scripts/peers/go.mod":  "module peers\n",
		"scripts/peers/main.go": "no Go\n",
		"README.md":             "no Go\n",
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range all {
		names = append(names, s.name)
	}
	if want := []string{"tcp/tcb.go", "tcp/tcb_test.go"}; !slices.Equal(names, want) {
		t.Errorf("loaded %q, want %q", names, want)
	}
}

func TestReadFindsImportsClocksAndLength(t *testing.T) {
	for _, tt := range []struct {
		text            string
		imports, clocks []string
		lines           int
	}{
		{"package x\n", nil, nil, 1},
		{"package x\nimport (\n\"time\"\n\"" + module + "link/tun\"\n)\nvar t = time.Now()\n",
			[]string{"time", "link/tun"}, []string{"time.Now"}, 6},
		{"package x\nimport clock \"time\"\nvar now = clock.Now\nfunc f() { <-clock.After(1); clock.Sleep(clock.Second) }\n",
			[]string{"time"}, []string{"time.Now", "time.After", "time.Sleep"}, 4},
		{"package x\nimport . \"time\"\nvar t = Now()\n", []string{"time"}, []string{`import . "time"`}, 3},
		{"package x\nimport \"time\"\nvar d = time.Duration(3) * time.Second\ntype s struct{ Now int }\nvar n = s{}.Now\n",
			[]string{"time"}, nil, 5},
		{"//go:build windows\n\npackage x\nimport _ \"golang.org/x/sys/windows\"\n", []string{"golang.org/x/sys/windows"}, nil, 4},
	} {
		got, err := read("tcp/x.go", []byte(tt.text))
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
		}
		if !slices.Equal(got.imports, tt.imports) || !slices.Equal(got.clocks, tt.clocks) || got.lines != tt.lines {
			t.Errorf("%q: read %+v, want %q, %q, %d lines", tt.text, got, tt.imports, tt.clocks, tt.lines)
		}
	}
}

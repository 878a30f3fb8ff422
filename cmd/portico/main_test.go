package main

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/cmd/portico/internal/serve"
)

// portico runs one command line.
func portico(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

func TestAloneItPrintsHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help"}} {
		code, stdout, stderr := portico(args...)
		if code != exitOK || !strings.Contains(stdout, "portico demo") || stderr != "" {
			t.Errorf("%v: %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	for _, cmd := range newRoot(nil, nil).Commands() {
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s lacks help", cmd.Name())
		}
		code, stdout, _ := portico(cmd.Name(), "--help")
		if code != exitOK || !strings.Contains(stdout, "Examples:") {
			t.Errorf("%s --help: %d %q", cmd.Name(), code, stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := portico("version")
	if code != exitOK || !strings.HasPrefix(stdout, "portico ") || strings.Count(stdout, "\n") != 1 || stderr != "" {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
}

// A wrong command line is one line on stderr that names what is wrong, and exit 2.
func TestWrongUsageIsOneLineAndExit2(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"nonsense", `there is no command "nonsense"`},
		{"tarce", `did you mean "trace"?`},
		{"--nonsense", "--nonsense"},
		{"version x", "takes no argument"},

		{"up x", "takes no argument"},
		{"up --nonsense", "--nonsense"},
		{"up --addr 10.77.0.2", "prefix length"},
		{"up --addr 10.77.0.300/24", "prefix length"},
		{"up --addr none", "--addr is empty"},
		{"up --addr 224.0.0.1/24", "not the address of a host"},
		{"up --addr 127.7.0.2/16", "not the address of a host"},
		{"up --addr 10.77.0.1/24 --host-addr 10.77.0.1/24", "need an address each"},
		{"up --addr 10.77.0.2/24 --addr 10.77.0.2/16", "given twice"},
		{"up --addr 10.77.0.255/24", "not the address of a host"},
		{"up --addr ::ffff:10.77.0.2/120", "prefix length, as in 10.77.0.2/24"},
		{"up --addr 10.77.0.2/32", "give it one with --host-addr"},
		{"up --host-addr x", "prefix length"},
		{"up --mtu 100", "--mtu 100 is out of range"},
		{"up --mtu 70000", "out of range"},
		{"up --mtu 1000 --addr fd77::2/64 --host-addr none", "too small for the IPv6 address"},
		{"up --mtu x", "--mtu"},
		{"up --queues 0", "--queues 0 is out of range"},
		{"up --queues 1000", "out of range"},
		{"up --queues many", "--queues many is out of range: choose auto, or 1 to 256"},
		{"up --offload perhaps", "none of auto, on, off"},
		{"up --serve http", "service=address:port"},
		{"up --serve gopher=:70", `no service is called "gopher"`},
		{"up --serve http=80", "not an address and port"},
		{"up --log-level loud", "none of debug, info, warn, error"},
		{"up --log-format xml", "none of text, json"},
		{"up --api /run/x.sock", "unix://"},
		{"up --api tcp://127.0.0.1:1", "unix://"},
		{"up --keepalive -1s", "too short"},
		{"up --keepalive 1ns", "too short"},
		{"up --keepalive soon", "--keepalive"},
		{"up --cc vegas", "none of cubic, newreno"},
		{"up --ecn maybe", "none of accept, ask, off"},
		{"up --syncookies sometimes", "none of full, always, never"},
		{"up --ttl 0", "--ttl 0 is not within 1 to 255"},
		{"up --ttl 256", "--ttl 256 is not within 1 to 255"},
		{"up --dscp -1", "--dscp -1 is not within 0 to 63"},
		{"up --dscp 64", "--dscp 64 is not within 0 to 63"},

		{"ss x", "takes no argument"},
		{"ss --api x", "unix://"},
		{"ss -z", "-z"},
		{"stat [", "is not a pattern"},
		{"stat --watch 1ms", "--watch 1ms is too short"},
		{"stat --watch 0", "--watch"},
		{"stat --api x", "unix://"},
		{"trace 1 2", "is another"},
		{"trace --api x", "unix://"},

		{"fetch", "URL is missing"},
		{"fetch a b", "is another"},
		{"fetch ftp://h/", "only http and https"},
		{"fetch http://", "names no host"},
		{"fetch http://h:bad/", "is not a URL"},
		{"fetch --connect-timeout 0s http://h/", "above 0"},
		{"fetch --addr x http://h/", "prefix length"},
		{"fetch --queues 257 http://h/", "--queues 257 is out of range"},
		{"fetch --offload no http://h/", "none of auto, on, off"},

		{"fetch --dns ns.test http://h/", "not the address of a name server"},
		{"fetch --dns 10.78.0.1:0 http://h/", "not the address of a name server"},

		{"ping", "ADDR is missing"},
		{"ping a b", "is another"},
		{"ping -c -1 10.78.0.1", "negative"},
		{"ping -i 0 10.78.0.1", "out of range"},
		{"ping -i NaN 10.78.0.1", "out of range"},
		{"ping -W 0 10.78.0.1", "out of range"},
		{"ping -s -1 10.78.0.1", "out of range"},
		{"ping -s 70000 10.78.0.1", "out of range"},
		{"ping -t 0 10.78.0.1", "--ttl 0 is out of range"},
		{"ping -t 256 10.78.0.1", "out of range"},
		{"ping --queues 0 10.78.0.1", "--queues 0 is out of range"},

		{"traceroute", "ADDR is missing"},
		{"traceroute -m 0 10.78.0.1", "--max-hops 0 is out of range"},
		{"traceroute -m 256 10.78.0.1", "out of range"},
		{"traceroute -q 0 10.78.0.1", "--queries 0 is out of range"},
		{"traceroute -w 0 10.78.0.1", "--wait 0 is out of range"},

		{"demo x", "takes no argument"},
		{"demo --wire rope", "none of auto, tun, pipe"},
	} {
		code, stdout, stderr := portico(strings.Fields(c.line)...)
		if code != exitUsage || stdout != "" || !isOneLine(stderr) || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "--help`)") {
			t.Errorf("portico %s: exit %d, stdout %q, stderr %q; want exit %d and one line with %q", c.line, code, stdout, stderr, exitUsage, c.want)
		}
	}
}

func isOneLine(s string) bool {
	return strings.HasPrefix(s, "portico: ") && strings.Count(s, "\n") == 1 && strings.HasSuffix(s, "\n")
}

// shortDir is a directory for a socket, whose path is at most 107 bytes long: t.TempDir's has the
// name of the test in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// What cannot be done is one line with the remedy, and exit 1.
func TestFailureIsOneLineAndExit1(t *testing.T) {
	dir := shortDir(t)
	missing := "unix://" + filepath.Join(dir, "missing.sock")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	living := filepath.Join(dir, "living.sock")
	l, err := net.Listen("unix", living)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"ss", "--api", missing}, "portico up"},
		{[]string{"stat", "--api", missing}, "portico up"},
		{[]string{"stat", "--watch", "1s", "--api", missing}, "portico up"},
		{[]string{"trace", "--api", missing}, "portico up"},
		{[]string{"trace", "1", "--api", missing}, "portico up"},
		{[]string{"up", "--api", "unix://" + living}, "another portico answers"},
		{[]string{"up", "--api", "unix://" + file}, "not a socket"},
		{[]string{"up", "--api", missing, "--pcap", filepath.Join(dir, "no", "dir", "x.pcapng")}, "--pcap"},
		{[]string{"up", "--api", missing, "--pcap", "-"}, "/dev/stdout"},
		{[]string{"fetch", "-o", filepath.Join(dir, "no", "dir", "x"), "http://10.78.0.1/"}, "--output"},
	} {
		code, stdout, stderr := portico(c.args...)
		if code != exitFailed || stdout != "" || !isOneLine(stderr) || !strings.Contains(stderr, c.want) {
			t.Errorf("portico %v: exit %d, stdout %q, stderr %q; want %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

func TestReadyLineSaysWhatToTry(t *testing.T) {
	for services, want := range map[string]string{
		"http=:80":              " (try: curl http://10.77.0.2/)",
		"echo=:7,http=:8080":    " (try: curl http://10.77.0.2:8080/)",
		"http=[fd77::2]:80":     " (try: curl http://[fd77::2]/)",
		"echo=:7":               "",
		"":                      "",
		"http=10.77.0.2:80":     " (try: curl http://10.77.0.2/)",
		"http=0.0.0.0:80":       " (try: curl http://10.77.0.2/)",
		"http=[::]:81,echo=:17": " (try: curl http://10.77.0.2:81/)",
		"http=[fe80::2]:81":     " (try: curl 'http://[fe80::2%tun0]:81/')",
		"http=:http":            " (try: curl http://10.77.0.2/)",
		"http=:0":               "",
	} {
		if got, want := readyOf(t, services, "10.77.0.1/24"), "portico: ready: 10.77.0.2, fd77::2 on tun0"+want; got != want {
			t.Errorf("%q: %q, want %q", services, got, want)
		}
	}
	if got := readyOf(t, "http=:80"); strings.Contains(got, "curl") || !strings.Contains(got, "ip link set tun0 up") {
		t.Errorf("with --host-addr none: %q", got)
	}
}

func readyOf(t *testing.T, services string, hosts ...string) string {
	t.Helper()
	specs, err := serve.ParseSpecs(services)
	if err != nil {
		t.Fatal(err)
	}
	addrs := []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24"), netip.MustParsePrefix("fd77::2/64")}
	return readyLine(node.Config{Addrs: addrs, HostAddrs: defaultPrefixes(hosts...).list}, "tun0", specs)
}

package api

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/stack"
	"github.com/a644562b/portico/tcp"
)

var (
	local  = netip.MustParseAddrPort("10.77.0.2:80")
	remote = netip.MustParseAddrPort("10.77.0.1:40112")
)

type fakeHost struct{}

func (fakeHost) Conns() []stack.ConnInfo {
	return []stack.ConnInfo{{Serial: 5, Info: tcp.Info{State: tcp.StateCloseWait, Local: local, Remote: remote, Cwnd: 14480}}}
}
func (fakeHost) Listeners() []stack.ListenerInfo {
	return []stack.ListenerInfo{{Local: local, Queued: 1, Backlog: 4096}}
}
func (fakeHost) PacketConns() []stack.PacketInfo {
	return []stack.PacketInfo{{Local: netip.MustParseAddrPort("[::]:7"), Drops: 3}}
}
func (fakeHost) Stats() stack.Stats { return stack.Stats{Drops: map[string]uint64{"tcp_checksum": 2}} }

func source() Source {
	book := record.NewBook()
	observe := book.Observe(record.ID{Serial: 5, Local: local, Remote: remote, Passive: true})
	observe(&tcp.Event{Time: 1_000_000_000, Kind: tcp.EventState, To: tcp.StateListen})
	observe(&tcp.Event{Time: 2_000_000_000, Kind: tcp.EventSegmentIn, From: tcp.StateListen,
		Segment: tcp.SegmentInfo{Seq: 9, Flags: tcp.SYN, Window: 64240}})
	return Source{Host: fakeHost{}, Now: func() tcp.Time { return 5_000_000_000 }, Book: book}
}

func serveAt(t *testing.T, path string) *Server {
	t.Helper()
	s, err := Serve(path, source())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// inOwnDir runs the test in a directory of its own, for a socket's path is at most 107 bytes long
// and t.TempDir's has the name of the test in it.
func inOwnDir(t *testing.T) { t.Chdir(t.TempDir()) }

func TestAnswersSurviveTheSocket(t *testing.T) {
	inOwnDir(t)
	const path = "p.sock"
	s := serveAt(t, path)
	defer s.Close()
	c, ctx := NewClient(path), context.Background()

	all, err := c.Sockets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Connections) != 1 || all.Connections[0].Serial != 5 || all.Connections[0].State != "CLOSE-WAIT" ||
		all.Connections[0].Remote != remote || all.Connections[0].Cwnd != 14480 {
		t.Errorf("connections %+v", all.Connections)
	}
	if len(all.Listeners) != 1 || all.Listeners[0].Backlog != 4096 || len(all.Packets) != 1 || all.Packets[0].Remote.IsValid() {
		t.Errorf("listeners %+v, packets %+v", all.Listeners, all.Packets)
	}
	counters, err := c.Stats(ctx)
	if err != nil || !slices.Contains(counters, Counter{"PorticoDropTcpChecksum", 2}) || !slices.Contains(counters, Counter{"IpInReceives", 0}) {
		t.Errorf("counters %+v, %v", counters, err)
	}
	traces, err := c.Traces(ctx)
	if err != nil || len(traces) != 1 {
		t.Fatalf("traces %v, %v", traces, err)
	}
	if tr := traces[0]; tr.Serial != 5 || tr.Age != 4*time.Second || tr.Idle != 3*time.Second || tr.State != "LISTEN" || tr.Totals.SegmentsIn != 1 {
		t.Errorf("trace %+v", tr)
	}
	for _, ref := range []string{"5", remote.String()} {
		if l, err := c.Trace(ctx, ref); err != nil || l.Serial != 5 || l.Client.Addr != remote {
			t.Errorf("%s: %+v, %v", ref, l, err)
		}
	}
	if _, err := c.Trace(ctx, "6"); err == nil || !strings.Contains(err.Error(), "no recording of connection 6") {
		t.Errorf("unknown connection: %v", err)
	}
}

func TestSocketIsItsOwnersAlone(t *testing.T) {
	inOwnDir(t)
	const path = "p.sock"
	s := serveAt(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&fs.ModeSocket == 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	s.Close()
	if left, err := os.ReadDir("."); err != nil || len(left) != 0 {
		t.Errorf("Close left %v (%v)", left, err)
	}
}

func TestSocketOfADeadDaemonIsReplacedAndOfALivingOneNot(t *testing.T) {
	inOwnDir(t)
	const path = "p.sock"
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	s := serveAt(t, path)
	defer s.Close()
	if _, err := Serve(path, source()); err == nil || !strings.Contains(err.Error(), "another portico answers") {
		t.Errorf("a second daemon: %v", err)
	}
	if _, err := NewClient(path).Sockets(context.Background()); err != nil {
		t.Errorf("the first no longer answers: %v", err)
	}
}

func TestFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Serve(path, source()); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("error %v", err)
	}
	if b, err := os.ReadFile(path); string(b) != "data" {
		t.Errorf("the file holds %q (%v)", b, err)
	}
}

func TestCloseLeavesTheSocketOfASuccessor(t *testing.T) {
	inOwnDir(t)
	const path = "p.sock"
	first := serveAt(t, path)
	os.Remove(path)
	second := serveAt(t, path)
	defer second.Close()
	first.Close()
	if _, err := NewClient(path).Sockets(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestNoDaemonIsOneLineWithTheRemedy(t *testing.T) {
	inOwnDir(t)
	const stale = "stale.sock"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, path := range []string{"missing.sock", stale} {
		_, err := NewClient(path).Sockets(context.Background())
		if err == nil || !strings.Contains(err.Error(), "portico up") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestPlaceThatCannotBeWrittenIsSaid(t *testing.T) {
	_, err := Serve(filepath.Join(t.TempDir(), "no", "such", "dir", "p.sock"), source())
	if err == nil || !strings.Contains(err.Error(), "--api") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
}

func TestParseAddress(t *testing.T) {
	if got, err := ParseAddress("unix:///run/../run/p.sock"); err != nil || got != "/run/p.sock" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "/run/p.sock", "unix://p.sock", "tcp://127.0.0.1:1", "unix:/run/p"} {
		if got, err := ParseAddress(bad); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

func ExampleParseAddress() {
	path, err := ParseAddress("unix:///run/portico.sock")
	fmt.Println(path, err)
	// Output: /run/portico.sock <nil>
}

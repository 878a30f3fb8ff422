package device

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/sim/path"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/stack"
)

const ms = time.Millisecond

// wire is the two ends of a path inside a bubble.
func wire(t *testing.T, ab, ba path.Config) (a, b *Device) {
	t.Helper()
	a, b, err := New(1500, ab, ba)
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// packet4 is an IPv4 packet of TCP with that many bytes of data.
func packet4(data int, ecn byte) []byte {
	p := make([]byte, 40+data)
	p[0], p[1], p[8], p[9] = 0x45, ecn, 64, protocolTCP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(p[10:], ^checksum.Sum(0, p[:20]))
	p[20+12] = 5 << 4
	p[20+13] = 0x10
	return p
}

func read(t *testing.T, d *Device) []byte {
	t.Helper()
	frames := []link.Frame{{Data: make([]byte, link.MaxFrame)}}
	if n, err := d.Read(frames); n != 1 || err != nil {
		t.Fatalf("Read = %d, %v", n, err)
	}
	return frames[0].Data
}

func TestAPacketTakesSerializationAndPropagation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := wire(t, path.Config{Rate: 10_000_000, Delay: 20 * ms}, path.Config{})
		defer a.Close()
		defer b.Close()
		start := time.Now()
		p := packet4(1210, 0) // 1,250 bytes: 1 ms at 10 Mbit/s
		if n, err := a.Write([]link.Frame{{Data: p}, {Data: p}}); n != 2 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
		for i := range 2 {
			if got := read(t, b); !bytes.Equal(got, p) {
				t.Errorf("packet %d has changed", i)
			}
			if took, want := time.Since(start), 20*ms+time.Duration(i+1)*ms; took != want {
				t.Errorf("packet %d took %v, want %v", i, took, want)
			}
		}
	})
}

func TestMarksStandInTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := wire(t, path.Config{Rate: 10_000_000, MarkPackets: 1}, path.Config{})
		defer a.Close()
		defer b.Close()
		v6 := make([]byte, 60)
		v6[0], v6[1], v6[6] = 0x60, 2<<4, protocolTCP
		for _, p := range [][]byte{packet4(100, 2), packet4(100, 2), v6, packet4(100, 0)} {
			if _, err := a.Write([]link.Frame{{Data: p}}); err != nil {
				t.Fatal(err)
			}
		}
		if p := read(t, b); p[1] != 2 {
			t.Errorf("the first, which met no queue, has ECN bits %d", p[1]&3)
		}
		if p := read(t, b); p[1] != ecnCE || checksum.Sum(0, p[:20]) != checksum.Valid {
			t.Errorf("the second has ECN bits %d, header %x", p[1]&3, p[:20])
		}
		if p := read(t, b); p[1]>>4&3 != ecnCE {
			t.Errorf("that of IPv6 has ECN bits %d", p[1]>>4&3)
		}
		if p := read(t, b); p[1] != 0 {
			t.Error("one that is not ECN-capable is marked")
		}
	})
}

func TestAcksAreToldFromData(t *testing.T) {
	for _, c := range []struct {
		name string
		p    []byte
		want path.Packet
	}{
		{"ACK", packet4(0, 0), path.Packet{Size: 40, Bare: true}},
		{"data", packet4(1, 1), path.Packet{Size: 41, Data: true, ECT: true}},
		{"rubbish", []byte{0}, path.Packet{Size: 1, Data: true}},
	} {
		if got := look(c.p); got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	syn := packet4(0, 0)
	syn[20+13] = 2
	if got := look(syn); got.Bare {
		t.Error("a SYN is taken for an ACK")
	}
}

func TestLatePacketsAreOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := wire(t, path.Config{Seed: 4, Delay: 5 * ms, Reorder: 0.5, ReorderBy: 3 * ms}, path.Config{})
		defer a.Close()
		defer b.Close()
		const n = 40
		for i := range n {
			if _, err := a.Write([]link.Frame{{Data: packet4(i, 0)}}); err != nil {
				t.Fatal(err)
			}
		}
		seen := make(map[int]bool)
		overtaken, last := 0, -1
		for range n {
			k := len(read(t, b)) - 40
			if k < last {
				overtaken++
			}
			last = k
			seen[k] = true
		}
		if len(seen) != n || overtaken == 0 {
			t.Errorf("%d of %d packets, %d overtaken", len(seen), n, overtaken)
		}
	})
}

func TestCloseEndsReadsAndWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := wire(t, path.Config{Delay: ms}, path.Config{})
		done := make(chan error)
		go func() {
			_, err := b.Read([]link.Frame{{Data: make([]byte, 2000)}})
			done <- err
		}()
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != link.ErrClosed {
			t.Errorf("Read: %v", err)
		}
		if _, err := a.Write([]link.Frame{{Data: packet4(10, 0)}}); err != nil {
			t.Errorf("Write to an end that is closed: %v", err)
		}
		if err := b.Close(); err != link.ErrClosed {
			t.Errorf("a second Close: %v", err)
		}
		a.Close()
		if _, err := a.Write([]link.Frame{{Data: packet4(10, 0)}}); err != link.ErrClosed {
			t.Errorf("Write after Close: %v", err)
		}
	})
}

func TestABadPathIsRefused(t *testing.T) {
	if _, _, err := New(1500, path.Config{}, path.Config{Loss: 2}); err == nil || !strings.Contains(err.Error(), "Loss") {
		t.Errorf("%v", err)
	}
}

// host is a stack on an end of the wire.
func host(t *testing.T, dev link.Device, addr string) *stack.Stack {
	t.Helper()
	s, err := stack.New(dev, stack.Config{Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestHTTPOverAPath: a client and a server of net/http, each on a stack of its own, over a
// path that loses and reorders. Every byte arrives, at no more than the path's rate, and
// the path is used well.
func TestHTTPOverAPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, rate = 4 << 20, 20_000_000
		down := path.Config{Seed: 1, Rate: rate, Delay: 10 * ms, QueueBytes: 100_000, Loss: 0.0005, Reorder: 0.002, ReorderBy: 2 * ms}
		a, b := wire(t, down, path.Config{Seed: 1, Rate: 5_000_000, Delay: 10 * ms, QueueBytes: 50_000})
		server, client := host(t, a, "10.77.0.2/24"), host(t, b, "10.77.0.1/24")
		defer server.Close()
		defer client.Close()
		body := make([]byte, size)
		rnd := rand.NewChaCha8([32]byte{1})
		_, _ = rnd.Read(body)
		l, err := server.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		tr := &http.Transport{DialContext: client.DialContext}
		start := time.Now()
		got, err := get(&http.Client{Transport: tr}, "http://10.77.0.2/")
		took := time.Since(start)
		if err != nil {
			t.Error(err)
		}
		if sha256.Sum256(got) != sha256.Sum256(body) {
			t.Errorf("%d bytes arrived that are not the %d that were sent", len(got), size)
		}
		least := time.Duration(size * 8 * int64(time.Second) / rate)
		if took < least || took > least*2 {
			t.Errorf("it took %v; the path needs %v", took, least)
		}
		if s := a.Stats(); s.Packets[path.Lost] == 0 || s.Late == 0 {
			t.Errorf("the path was too kind: %+v", s)
		}
		tr.CloseIdleConnections()
		srv.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
}

func get(c *http.Client, url string) ([]byte, error) {
	r, err := c.Get(url)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", r.Status)
	}
	return io.ReadAll(r.Body)
}

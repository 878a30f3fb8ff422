// Package services holds the TCP services that every peer offers, so that all
// stacks run the same application code. A peer gives a ListenFunc and calls
// Start.
//
//	port  7  echo:   writes back what it reads
//	port  9  sink:   reads until EOF, then answers 16 bytes: the count of bytes
//	                 read and the count of sampled mismatches (both big endian
//	                 uint64), then closes
//	port 11  hold:   reads one byte, writes it back, closes (idle connections)
//	port 19  source: reads one byte, then writes the test pattern until the
//	                 connection breaks
//	port 21  small:  likewise, SmallSize bytes by each Write
//	port 80  HTTP:   / (13 bytes), /big?n=BYTES, /stats (JSON), /gc (collects garbage
//	                 and gives what is free to the system)
package services

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/scripts/peers/internal/sample"
)

// Ports of the services.
const (
	PortEcho   = 7
	PortSink   = 9
	PortHold   = 11
	PortSource = 19
	PortSmall  = 21
	PortHTTP   = 80
)

// SmallSize is what the service small writes at once; PatternSize is a multiple of it.
const SmallSize = 64

// Hello is what / answers.
const Hello = "Hello, World!"

// PatternSize is the period of the test pattern.
const PatternSize = 64 << 10

// Pattern is the test data: byte i of a stream is Pattern[i%PatternSize]. It is
// stored twice so that any window of PatternSize bytes is contiguous.
var Pattern = func() []byte {
	p := make([]byte, 2*PatternSize)
	x := uint64(0x9e3779b97f4a7c15)
	for i := 0; i < PatternSize; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		p[i] = byte(x >> 32)
	}
	copy(p[PatternSize:], p[:PatternSize])
	return p
}()

// Sample checks up to 64 bytes at both ends of b, which starts at stream offset
// off, against the pattern, and returns the number of differing bytes.
func Sample(b []byte, off int64) int {
	if len(b) == 0 {
		return 0
	}
	bad := 0
	check := func(b []byte, off int64) {
		s := int(off % PatternSize)
		for i, c := range b {
			if Pattern[s+i] != c {
				bad++
			}
		}
	}
	n := min(len(b), 64)
	check(b[:n], off)
	if len(b) > n {
		m := min(len(b)-n, 64)
		check(b[len(b)-m:], off+int64(len(b)-m))
	}
	return bad
}

// Full checks all of b against the pattern.
func Full(b []byte, off int64) int {
	bad := 0
	for len(b) > 0 {
		s := int(off % PatternSize)
		n := min(len(b), PatternSize)
		for i, c := range b[:n] {
			if Pattern[s+i] != c {
				bad++
			}
		}
		b = b[n:]
		off += int64(n)
	}
	return bad
}

// Stats are the peer's own counters, served at /stats.
type Stats struct {
	SinkBytes   atomic.Int64
	SinkBad     atomic.Int64
	SourceBytes atomic.Int64
	EchoBytes   atomic.Int64
	Conns       atomic.Int64
	Errors      atomic.Int64 // read errors other than EOF on sink and echo
	lastError   atomic.Value
}

// S is the process-wide instance.
var S Stats

// Extra, if set, adds stack-specific counters to /stats.
var Extra func() map[string]any

func (s *Stats) err(where string, err error) {
	s.Errors.Add(1)
	s.lastError.Store(where + ": " + err.Error())
}

// ListenFunc makes a listener on a port of the stack under test.
type ListenFunc func(port int) (net.Listener, error)

// Start opens all listeners and serves them in the background.
func Start(listen ListenFunc) error {
	for _, sv := range []struct {
		port int
		h    func(net.Conn)
	}{
		{PortEcho, echo}, {PortSink, sink}, {PortHold, hold}, {PortSource, source}, {PortSmall, small},
	} {
		l, err := listen(sv.port)
		if err != nil {
			return fmt.Errorf("listen %d: %w", sv.port, err)
		}
		go accept(l, sv.h)
	}
	l, err := listen(PortHTTP)
	if err != nil {
		return fmt.Errorf("listen %d: %w", PortHTTP, err)
	}
	go func() {
		if err := http.Serve(l, mux()); !errors.Is(err, net.ErrClosed) {
			log.Fatal(err)
		}
	}()
	return nil
}

func accept(l net.Listener, h func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			S.err("accept", err)
			time.Sleep(time.Millisecond)
			continue
		}
		S.Conns.Add(1)
		go h(c)
	}
}

func echo(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if _, werr := c.Write(buf[:n]); werr != nil {
				S.err("echo write", werr)
				return
			}
			S.EchoBytes.Add(int64(n))
		}
		if err != nil {
			if err != io.EOF {
				S.err("echo read", err)
			}
			return
		}
	}
}

func sink(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 128<<10)
	var total int64
	bad := 0
	for {
		n, err := c.Read(buf)
		bad += Sample(buf[:n], total)
		total += int64(n)
		S.SinkBytes.Add(int64(n))
		if err != nil {
			if err != io.EOF {
				S.err("sink read", err)
				return
			}
			break
		}
	}
	S.SinkBad.Add(int64(bad))
	var rep [16]byte
	binary.BigEndian.PutUint64(rep[:8], uint64(total))
	binary.BigEndian.PutUint64(rep[8:], uint64(bad))
	if _, err := c.Write(rep[:]); err != nil {
		S.err("sink write", err)
	}
}

func hold(c net.Conn) {
	defer c.Close()
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil {
		if err != io.EOF {
			S.err("hold read", err)
		}
		return
	}
	if _, err := c.Write(b); err != nil {
		S.err("hold write", err)
	}
}

func source(c net.Conn) { writePattern(c, len(Pattern)) }

func small(c net.Conn) { writePattern(c, SmallSize) }

// writePattern reads a byte, and then writes the pattern in pieces of size bytes, of which the
// length of Pattern is a multiple.
func writePattern(c net.Conn, size int) {
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		S.err("source read", err)
		return
	}
	defer sample.Watch(c)()
	for off := 0; ; off = (off + size) % len(Pattern) {
		n, err := c.Write(Pattern[off : off+size])
		S.SourceBytes.Add(int64(n))
		if err != nil {
			return // the client ends the transfer by closing
		}
	}
}

func mux() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(Hello)))
		io.WriteString(w, Hello)
	})
	m.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		if err != nil || n < 0 {
			http.Error(w, "bad n", 400)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		w.Header().Set("Content-Type", "application/octet-stream")
		for n > 0 {
			k := min(n, int64(PatternSize))
			if _, err := w.Write(Pattern[:k]); err != nil {
				return
			}
			n -= k
		}
	})
	// By itself, and not part of /stats: what the counters are put together in, a
	// description of every connection for one, is garbage that would be measured.
	m.HandleFunc("/gc", func(w http.ResponseWriter, r *http.Request) { debug.FreeOSMemory() })
	m.HandleFunc("/stats", func(w http.ResponseWriter, r *http.Request) {
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		out := map[string]any{
			"pid": os.Getpid(), "sink_bytes": S.SinkBytes.Load(), "sink_bad": S.SinkBad.Load(),
			"source_bytes": S.SourceBytes.Load(), "echo_bytes": S.EchoBytes.Load(),
			"conns": S.Conns.Load(), "errors": S.Errors.Load(),
			"goroutines": runtime.NumGoroutine(), "heap_inuse": ms.HeapInuse,
			"stack_inuse": ms.StackInuse, "num_gc": ms.NumGC, "mallocs": ms.Mallocs,
			"total_alloc": ms.TotalAlloc,
		}
		if e, ok := S.lastError.Load().(string); ok {
			out["last_error"] = e
		}
		if sums := sample.Read().Map(); sums != nil {
			out["senders"] = sums
		}
		if Extra != nil {
			out["extra"] = Extra()
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(out)
	})
	return m
}

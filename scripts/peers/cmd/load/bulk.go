package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/scripts/peers/internal/result"
	"github.com/a644562b/portico/scripts/peers/internal/sample"
	"github.com/a644562b/portico/scripts/peers/internal/services"
)

// settle is how long the peer has to notice the end of a transfer before it is asked
// for its counters.
const settle = 300 * time.Millisecond

// upload sends the pattern until the deadline, then closes its half and reads the
// sink's own count. Seconds run until all sinks have read the last byte and said so, and
// bytes are those that they confirmed.
func upload(r *result.Line) (usage, usage) {
	s0 := peerStats()
	cs := connectAll(services.PortSink)
	var sent, confirmed atomic.Int64
	var wg sync.WaitGroup
	before := snap()
	start := time.Now()
	for _, c := range cs {
		wg.Go(func() {
			n, got := uploadOne(c, start.Add(*dur))
			sent.Add(n)
			confirmed.Add(got)
		})
	}
	wg.Wait()
	r.Seconds = time.Since(start).Seconds()
	after := snap()
	r.Bytes = confirmed.Load()
	s1 := peerStats()
	if d := num(s1, "sink_bytes") - num(s0, "sink_bytes"); d != r.Bytes || d != sent.Load() {
		fail("count", fmt.Errorf("sent %d, confirmed %d, peer counted %d", sent.Load(), r.Bytes, d))
	}
	r.Extra = growth(s0, s1)
	maps.Copy(r.Extra, sample.Read().Map())
	r.Verified = errCount.Load() == 0 && len(cs) == *conns && r.Bytes > 0
	return before, after
}

// uploadOne returns how much was written and how much of it the sink has read.
func uploadOne(c *net.TCPConn, end time.Time) (sent, confirmed int64) {
	defer c.Close()
	defer sample.Watch(c)()
	c.SetDeadline(end.Add(*drain))
	for time.Now().Before(end) {
		k, err := c.Write(services.Pattern)
		sent += int64(k)
		if err != nil {
			fail("write", err)
			return sent, 0
		}
	}
	if err := c.CloseWrite(); err != nil {
		fail("closewrite", err)
		return sent, 0
	}
	var reply [16]byte
	if _, err := io.ReadFull(c, reply[:]); err != nil {
		fail("sink reply", err)
		return sent, 0
	}
	confirmed = int64(binary.BigEndian.Uint64(reply[:8]))
	if confirmed != sent {
		fail("count", fmt.Errorf("sent %d, sink read %d", sent, confirmed))
	}
	if bad := binary.BigEndian.Uint64(reply[8:]); bad != 0 {
		fail("pattern", fmt.Errorf("%d sampled bytes differ at the sink", bad))
	}
	return sent, confirmed
}

// mostBuffered bounds what the peer's Write may have accepted and this process not
// read: it sits in the buffers of one connection.
const mostBuffered = 64 << 20

// download opens connections to the port of a source, tells it to begin, and reads until the
// deadline. Bytes are those read within the time; the peer's count must not be smaller.
func download(r *result.Line, port int) (usage, usage) {
	s0 := peerStats()
	cs := connectAll(port)
	var total atomic.Int64
	var wg sync.WaitGroup
	before := snap()
	start := time.Now()
	for _, c := range cs {
		wg.Go(func() { total.Add(downloadOne(c, start.Add(*dur))) })
	}
	wg.Wait()
	r.Seconds = time.Since(start).Seconds()
	after := snap()
	for _, c := range cs {
		c.Close()
	}
	r.Bytes = total.Load()
	time.Sleep(settle)
	s1 := peerStats()
	d := num(s1, "source_bytes") - num(s0, "source_bytes")
	if d < r.Bytes || d-r.Bytes > int64(*conns)*mostBuffered {
		fail("count", fmt.Errorf("read %d, source wrote %d", r.Bytes, d))
	}
	r.Extra = growth(s0, s1)
	r.Verified = errCount.Load() == 0 && len(cs) == *conns && r.Bytes > 0
	return before, after
}

// downloadOne returns how much was read until end.
func downloadOne(c *net.TCPConn, end time.Time) (n int64) {
	c.SetDeadline(end)
	if _, err := c.Write([]byte("g")); err != nil {
		fail("write", err)
		return 0
	}
	buf := make([]byte, 128<<10)
	bad := 0
	for {
		k, err := c.Read(buf)
		bad += services.Sample(buf[:k], n)
		n += int64(k)
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			fail("read", err)
		}
		if bad > 0 {
			fail("pattern", fmt.Errorf("%d sampled bytes differ", bad))
		}
		return n
	}
}

// verify sends size MiB of pattern through the echo with odd chunk sizes on every
// connection and compares every byte, then fetches /big and compares that.
func verify(r *result.Line) (usage, usage) {
	total := int64(*size) << 20
	before := snap()
	start := time.Now()
	cs := connectAll(services.PortEcho)
	var wg sync.WaitGroup
	for _, c := range cs {
		c.SetDeadline(time.Now().Add(*drain))
		wg.Go(func() { sendOdd(c, total) })
		wg.Go(func() {
			defer c.Close()
			compare("echo", c, total)
		})
	}
	wg.Wait()
	r.Bytes = total * int64(len(cs))
	if body := big(total); body != nil {
		compare("big", body, total)
		body.Close()
		r.Bytes += total
	}
	r.Seconds = time.Since(start).Seconds()
	r.Verified = errCount.Load() == 0 && len(cs) == *conns
	return before, snap()
}

// sendOdd writes the pattern in pieces of many sizes.
func sendOdd(c *net.TCPConn, total int64) {
	var off int64
	for i := int64(1); off < total; i++ {
		s := off % services.PatternSize
		n := min(1+(i*7919)%40000, total-off)
		k, err := c.Write(services.Pattern[s : s+n])
		off += int64(k)
		if err != nil {
			fail("verify write", err)
			return
		}
	}
	c.CloseWrite()
}

// compare reads until the end and holds every byte against the pattern.
func compare(what string, c io.Reader, total int64) {
	buf := make([]byte, 50000)
	var off int64
	for {
		n, err := c.Read(buf)
		if bad := services.Full(buf[:n], off); bad != 0 {
			fail(what, fmt.Errorf("%d bytes differ near %d", bad, off))
		}
		off += int64(n)
		if err == nil {
			continue
		}
		if err != io.EOF {
			fail(what, fmt.Errorf("after %d bytes: %w", off, err))
		} else if off != total {
			fail(what, fmt.Errorf("read %d of %d bytes", off, total))
		}
		return
	}
}

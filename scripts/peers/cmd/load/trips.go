package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/scripts/peers/internal/hist"
	"github.com/a644562b/portico/scripts/peers/internal/result"
	"github.com/a644562b/portico/scripts/peers/internal/services"
)

// pingpong does one request after another on every connection: of the echo, or of HTTP.
func pingpong(r *result.Line, h *hist.Hist) (usage, usage) {
	p := services.PortEcho
	if *mode == "http" {
		p = services.PortHTTP
	}
	cs := connectAll(p)
	before, after := inTime(r, h, len(cs), func(worker int, end time.Time) func() error {
		c := cs[worker]
		c.SetDeadline(end.Add(10 * time.Second))
		if *mode == "http" {
			return httpTrip(c)
		}
		return echoTrip(c, worker)
	})
	for _, c := range cs {
		c.Close()
	}
	r.Verified = errCount.Load() == 0 && len(cs) == *conns && r.Ops > 0
	return before, after
}

// crr does connect, one request and answer, close, in one worker for each connection.
func crr(r *result.Line, h *hist.Hist) (usage, usage) {
	before, after := inTime(r, h, *conns, func(worker int, _ time.Time) func() error {
		return func() error {
			c, err := dial(services.PortEcho)
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			return echoTrip(c, worker)()
		}
	})
	r.Verified = errCount.Load() == 0 && r.Ops > 0
	return before, after
}

// inTime lets each worker make trips until the time is over or one fails, and counts
// them in r and h.
func inTime(r *result.Line, h *hist.Hist, workers int, begin func(worker int, end time.Time) func() error) (usage, usage) {
	var ops atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	before := snap()
	start := time.Now()
	end := start.Add(*dur)
	for w := range workers {
		wg.Go(func() {
			trip := begin(w, end)
			var own hist.Hist
			for t0 := time.Now(); t0.Before(end); t0 = time.Now() {
				if err := trip(); err != nil {
					fail("trip", err)
					break
				}
				own.Add(time.Since(t0))
			}
			ops.Add(own.Count())
			mu.Lock()
			h.Merge(&own)
			mu.Unlock()
		})
	}
	wg.Wait()
	r.Seconds = time.Since(start).Seconds()
	r.Ops = ops.Load()
	return before, snap()
}

// echoTrip returns a function that sends a request no other is like and compares the
// answer.
func echoTrip(c net.Conn, id int) func() error {
	request := make([]byte, max(*size, 8))
	answer := make([]byte, len(request))
	var seq uint64
	return func() error {
		seq++
		binary.BigEndian.PutUint64(request, seq<<16|uint64(id))
		if _, err := c.Write(request); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, answer); err != nil {
			return err
		}
		if !bytes.Equal(request, answer) {
			return errors.New("echo differs")
		}
		return nil
	}
}

// httpTrip returns a function that gets / and compares the body. It is by hand: a client
// of net/http would take more of the machine than the stacks do.
func httpTrip(c net.Conn) func() error {
	request := []byte("GET / HTTP/1.1\r\nHost: peer\r\n\r\n")
	br := bufio.NewReaderSize(c, 4096)
	tp := textproto.NewReader(br)
	body := make([]byte, len(services.Hello))
	return func() error {
		if _, err := c.Write(request); err != nil {
			return err
		}
		line, err := tp.ReadLineBytes()
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("status %q", line)
		}
		n := -1
		for {
			line, err := tp.ReadLineBytes()
			if err != nil {
				return err
			}
			if len(line) == 0 {
				break
			}
			if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				n, _ = strconv.Atoi(string(v))
			}
		}
		if n != len(body) {
			return fmt.Errorf("content length %d", n)
		}
		if _, err := io.ReadFull(br, body); err != nil {
			return err
		}
		if string(body) != services.Hello {
			return fmt.Errorf("body %q", body)
		}
		return nil
	}
}

// big fetches n bytes of pattern by HTTP; nil if that failed.
func big(n int64) io.ReadCloser {
	cl := http.Client{Timeout: *drain, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := cl.Get("http://" + port(services.PortHTTP) + "/big?n=" + strconv.FormatInt(n, 10))
	if err != nil {
		fail("big", err)
		return nil
	}
	return r.Body
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/a644562b/portico/scripts/peers/internal/services"
)

func port(p int) string { return net.JoinHostPort(*addr, strconv.Itoa(p)) }

func dial(p int) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: -1, Control: services.SetCC(*cc)}
	c, err := d.Dial("tcp", port(p))
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// atOnce is how many connections are opened or closed at the same time at most.
const atOnce = 64

// connectAll opens the connections and returns those that were made.
func connectAll(p int) []*net.TCPConn {
	cs := make([]*net.TCPConn, *conns)
	var wg sync.WaitGroup
	sem := make(chan struct{}, atOnce)
	for i := range cs {
		sem <- struct{}{}
		wg.Go(func() {
			defer func() { <-sem }()
			c, err := dial(p)
			if err != nil {
				fail("dial", err)
				return
			}
			cs[i] = c
		})
	}
	wg.Wait()
	made := cs[:0]
	for _, c := range cs {
		if c != nil {
			made = append(made, c)
		}
	}
	return made
}

// ready waits until the echo answers.
func ready() int {
	var err error
	for end := time.Now().Add(*dur); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = answers(); err == nil {
			return 0
		}
	}
	fmt.Fprintf(os.Stderr, "load: the peer does not answer: %v\n", err)
	return 1
}

func answers() error {
	c, err := net.DialTimeout("tcp", port(services.PortEcho), 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Second))
	b := []byte("x")
	if _, err := c.Write(b); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if b[0] != 'x' {
		return errors.New("the echo differs")
	}
	return nil
}

// peerStats asks the peer for its counters.
func peerStats() map[string]any {
	m := map[string]any{}
	r, err := get("/stats")
	if err == nil {
		err = json.NewDecoder(r.Body).Decode(&m)
		r.Body.Close()
	}
	if err != nil {
		fail("stats", err)
	}
	return m
}

// collectGarbage makes the peer give back what memory it does not need.
func collectGarbage() {
	r, err := get("/gc")
	if err == nil {
		err = r.Body.Close()
	}
	if err != nil {
		fail("gc", err)
	}
}

// get fetches path from the peer by a connection of its own.
func get(path string) (*http.Response, error) {
	cl := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return cl.Get("http://" + port(services.PortHTTP) + path)
}

func num(m map[string]any, k string) int64 {
	f, _ := m[k].(float64)
	return int64(f)
}

// growth is by how much the peer's counters grew from a to b, those of nested objects
// included.
func growth(a, b map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range b {
		switch v := v.(type) {
		case float64:
			if d := int64(v) - num(a, k); d != 0 && k != "pid" {
				out[k] = d
			}
		case map[string]any:
			before, _ := a[k].(map[string]any)
			for k, d := range growth(before, v) {
				out[k] = d
			}
		}
	}
	return out
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/ladder"
	"github.com/a644562b/portico/cmd/portico/internal/view"
)

// Client asks the daemon at one socket.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the daemon whose socket is at path. It connects when it is
// asked something.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}}
}

// Sockets lists the daemon's sockets.
func (c *Client) Sockets(ctx context.Context) (s view.Sockets, err error) {
	return s, c.get(ctx, "/v1/sockets", &s)
}

// Stats returns the counters of the daemon's stack.
func (c *Client) Stats(ctx context.Context) (s []Counter, err error) {
	return s, c.get(ctx, "/v1/stats", &s)
}

// Traces lists the connections that can be traced, oldest first.
func (c *Client) Traces(ctx context.Context) (t []Trace, err error) {
	return t, c.get(ctx, "/v1/traces", &t)
}

// Trace returns the life of the connection that conn names: its serial number or the
// peer's address:port.
func (c *Client) Trace(ctx context.Context, conn string) (*ladder.Ladder, error) {
	l := new(ladder.Ladder)
	if err := c.get(ctx, "/v1/trace?conn="+url.QueryEscape(conn), l); err != nil {
		return nil, err
	}
	return l, nil
}

func (c *Client) get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://portico"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	if resp.StatusCode != http.StatusOK {
		var f failure
		if dec.Decode(&f) != nil || f.Error == "" {
			return fmt.Errorf("the daemon at %s answered %s: is it of another version?", c.path, resp.Status)
		}
		return errors.New(f.Error)
	}
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("cannot read the answer of the daemon at %s: %w", c.path, err)
	}
	return nil
}

// explain says what to do about a daemon that does not answer.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no portico is running at %s: start one with `sudo portico up`, or name its socket with --api", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("may not open %s: run this as the user who runs the daemon (sudo)", c.path)
	}
	return fmt.Errorf("the daemon at %s does not answer: %w", c.path, err)
}

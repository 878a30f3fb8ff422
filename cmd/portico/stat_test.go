package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/api"
)

// A watcher prints what was added since it last did, and ends in order when it is
// interrupted.
func TestStatWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		ask := func(context.Context) ([]api.Counter, error) {
			asked++
			n := uint64(asked)
			return []api.Counter{{Name: "TcpInSegs", Value: 100 * n * n}, {Name: "TcpOutRsts", Value: min(n, 2)}}, nil
		}
		f := statFlags{watch: 2 * time.Second}
		var out bytes.Buffer
		done := make(chan error)
		go func() { done <- f.follow(ctx, ask, &out) }()
		<-time.After(5 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended by %v", err)
		}
		want := "#portico\n" +
			"TcpInSegs                       300              150.0\n" +
			"TcpOutRsts                      1                  0.5\n" +
			"#portico\n" +
			"TcpInSegs                       500              250.0\n"
		if out.String() != want {
			t.Errorf("after 5 s\n%s\nwant\n%s", out.String(), want)
		}
	})
}

func TestStatSaysWhyItStopsToWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("no portico is running")
		asked := 0
		ask := func(context.Context) ([]api.Counter, error) {
			if asked++; asked == 3 {
				return nil, gone
			}
			return []api.Counter{{Name: "TcpInSegs", Value: 1}}, nil
		}
		f := statFlags{watch: time.Second, asJSON: true}
		var out bytes.Buffer
		if err := f.follow(t.Context(), ask, &out); err != gone || out.String() != "{\"portico\":{}}\n" {
			t.Errorf("%v after %q", err, out.String())
		}
	})
}

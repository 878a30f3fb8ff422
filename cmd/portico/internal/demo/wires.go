package demo

import (
	"context"
	"net/netip"

	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/cmd/portico/internal/osi"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/stack"
)

// OnTUN plays with the kernel at the other end of a TUN. It is for a namespace of its own.
func OnTUN(ctx context.Context) (*Story, error) {
	s, err := newScene(func(cfg node.Config) (*node.Node, error) {
		cfg.TUN, cfg.HostAddrs = "tun0", []netip.Prefix{hostAddr}
		return node.Open(cfg)
	})
	if err != nil {
		return nil, err
	}
	return s.play(ctx, kernelClient(), "tun", osi.TUN)
}

// OnPipe plays with two stacks and no kernel.
func OnPipe(ctx context.Context) (*Story, error) {
	near, far := pipe.New(pipe.Config{})
	visitor, err := stack.New(far, stack.Config{Addrs: []netip.Prefix{hostAddr}})
	if err != nil {
		return nil, err
	}
	defer visitor.Close()
	s, err := newScene(func(cfg node.Config) (*node.Node, error) { return node.OpenOn(near, cfg) })
	if err != nil {
		return nil, err
	}
	return s.play(ctx, goClient(visitor.DialContext), "pipe", osi.Pipe)
}

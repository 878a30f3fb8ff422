// Package node puts a host together: a TUN or another device, the kernel's side of it, a
// capture, a stack, and a recording of every connection. Every command that has a stack of
// its own starts here.
package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/host"
	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/capture"
	"github.com/a644562b/portico/link/tun"
	"github.com/a644562b/portico/stack"
	"github.com/a644562b/portico/tcp"
)

// Config says what to put together.
type Config struct {
	// TUN is the name of the interface; empty: the system picks one.
	TUN string
	// Addrs are the stack's addresses, HostAddrs the kernel's on the other side of the
	// TUN. None of the latter: the kernel's side is somebody else's business, and the
	// interface stays down until they take it up.
	Addrs, HostAddrs []netip.Prefix
	// MTU in bytes, Queues, Offload and NoBigTCP are as in tun.Config.
	MTU, Queues int
	Offload     tun.OffloadMode
	NoBigTCP    bool
	// SpreadAlways is as in stack.Config.
	SpreadAlways bool
	// Capture gets every packet as pcapng, with what it did to its connection as the
	// comment; nil for none. It is not closed.
	Capture io.Writer
	// KeepAlive is after how long a silent peer is probed, and how often; 0: never. A peer
	// that leaves keepAliveCount probes unanswered is gone.
	KeepAlive time.Duration
	// DNS are the name servers that the stack asks; none: it resolves no names.
	DNS []netip.AddrPort
	// TTL, DSCP and SYNCookies are as in stack.Config.
	TTL, DSCP  uint8
	SYNCookies stack.SYNCookies
	// TCP are the settings of all TCP connections.
	TCP tcp.Params
	// OnChange is as in record.Book.
	OnChange func()
	Logger   *slog.Logger
}

const keepAliveCount = 3

// Node is a running host.
type Node struct {
	Stack *stack.Stack
	Book  *record.Book
	Name  string // of the device
}

// Failure is what ended the stack where nobody closed it, a TUN that was deleted for one; else nil.
func (n *Node) Failure() error {
	err := n.Stack.Err()
	if err == nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("the TUN %s failed: %w", n.Name, err)
}

// Explain is err, or what ended the stack if err comes of that.
func (n *Node) Explain(err error) error {
	if !errors.Is(err, net.ErrClosed) {
		return err
	}
	select {
	case <-n.Stack.Done():
	case <-time.After(closingTime):
	}
	if failure := n.Failure(); failure != nil {
		return failure
	}
	return err
}

// closingTime is how long a stack may take to close once its calls say that it does.
const closingTime = time.Second

// device is the TUN that the node stands on.
func (cfg *Config) device() tun.Config {
	return tun.Config{
		Name: cfg.TUN, MTU: cfg.MTU, Queues: cfg.Queues, Offload: cfg.Offload, NoBigTCP: cfg.NoBigTCP, Logger: cfg.Logger,
	}
}

// Open makes a TUN and a host on it.
func Open(cfg Config) (*Node, error) {
	if err := host.Conflict(append(append([]netip.Prefix(nil), cfg.Addrs...), cfg.HostAddrs...)); err != nil {
		return nil, err
	}
	dev, err := tun.Open(cfg.device())
	if err != nil {
		return nil, err
	}
	if len(cfg.HostAddrs) > 0 {
		if err := host.Configure(dev.Name(), cfg.HostAddrs, cfg.Addrs); err != nil {
			dev.Close()
			return nil, err
		}
	}
	return OpenOn(dev, cfg)
}

// OpenOn makes a host on a device, which it owns from then on.
func OpenOn(dev link.Device, cfg Config) (*Node, error) {
	n := &Node{Book: record.NewBook(), Name: dev.Name()}
	n.Book.OnChange = cfg.OnChange
	if cfg.Capture != nil {
		tap, err := n.tap(dev, cfg)
		if err != nil {
			dev.Close()
			return nil, err
		}
		dev = tap
	}
	sc := stack.Config{
		Addrs: cfg.Addrs, DNS: cfg.DNS, TCP: cfg.TCP, TTL: cfg.TTL, DSCP: cfg.DSCP, SYNCookies: cfg.SYNCookies,
		SpreadAlways: cfg.SpreadAlways, Observe: n.observe, Logger: cfg.Logger,
	}
	if cfg.KeepAlive > 0 {
		sc.KeepAlive = tcp.KeepAlive{Enable: true, Idle: cfg.KeepAlive, Interval: cfg.KeepAlive, Count: keepAliveCount}
	}
	var err error
	if n.Stack, err = stack.New(dev, sc); err != nil {
		dev.Close()
		return nil, err
	}
	return n, nil
}

// tap puts a capture around dev.
func (n *Node) tap(dev link.Device, cfg Config) (link.Device, error) {
	n.Book.Remarks = record.NewRemarks()
	return capture.Wrap(dev, capture.Config{
		Writer: cfg.Capture,
		Comment: func(dir capture.Direction, packet []byte) string {
			return n.Book.Remarks.Comment(dir == capture.Outbound, packet)
		},
		OnError: func(err error) {
			if cfg.Logger != nil {
				cfg.Logger.Error("the capture has ended", "err", err)
			}
		},
	})
}

// observe opens the recording of a connection.
func (n *Node) observe(id stack.ConnID) tcp.Observer {
	return n.Book.Observe(record.ID{Serial: id.Serial, Local: id.Local, Remote: id.Remote, Passive: id.Passive})
}

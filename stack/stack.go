// Package stack is a TCP/IP host in user space with the face of package net: a Stack
// sits on a link.Device and offers Dial, Listen and ListenPacket, whose results are
// net.Conn, net.Listener and net.PacketConn and fail with the errors of net.
//
// It is the only room with goroutines, locks and a clock on the path of the data, and it
// has few: one engine for each queue of the device, one for packets to the stack's own
// addresses, one for all timers. A connection has no goroutine. Its protocol, a tcp.TCB,
// runs under the connection's lock in whichever goroutine has something for it: an
// engine, the timers, or the application's own, which sends what it writes, and takes in
// what has come when that finds no room.
//
// What the package adds to the protocols is what a host needs besides them:
// demultiplexing, ports and their rules as on Linux (RFC 6056 for those it chooses), what
// is answered to packets that nobody serves (RFC 1122, section 3.2.2; RFC 9293, section
// 3.10.7.1), blocking calls, deadlines, and closing in the background.
//
// It refuses to forward packets and to know a link layer.
package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

// Stack is a host: some addresses on one device. All methods may be called at any time
// from any goroutine, but not from an observer.
type Stack struct {
	cfg    Config
	log    *slog.Logger
	addrs  addrs
	secret [32]byte // keys ISNs, timestamps and ephemeral ports

	epoch  time.Time
	device iface
	loop   iface // carries packets to our own addresses
	lanes  lanes

	conns      flowTable
	listeners  portTable[*Listener]
	sockets    udpTable
	pings      pings
	groups     groups
	forwarder  forwarder
	fastOpens  fastOpens
	timers     timers
	starved    starved
	waits      waits
	errorRate  errorRate
	paths      paths
	reassembly reassembly
	idents     idents
	flowSeed   maphash.Seed
	resolver   Resolver

	serial    atomic.Uint64      // of the connection made last
	ephemeral [256]atomic.Uint32 // the table of RFC 6056, algorithm 4
	drain     drain
	orphans   atomic.Int64
	count     counters

	closing atomic.Bool
	cause   error          // why it closed; set before stopped is closed
	stopped chan struct{}  // closed when closing begins
	done    chan struct{}  // closed when it is over
	running sync.WaitGroup // the stack's goroutines
}

// New makes a host on a device and starts it. The stack owns the device from then on
// and closes it in Close; when New returns an error the device is left as it was.
func New(dev link.Device, cfg Config) (*Stack, error) {
	if dev == nil {
		return nil, errors.New("stack: there is no device; make one by package tun or pipe")
	}
	cfg, err := cfg.withDefaults(dev)
	if err != nil {
		return nil, err
	}
	s := &Stack{
		cfg:       cfg,
		log:       cfg.Logger,
		addrs:     newAddrs(&cfg),
		epoch:     time.Now(),
		conns:     newFlowTable(),
		errorRate: errorRate{limiter: ip.NewErrorLimiter()},
		flowSeed:  maphash.MakeSeed(),
		stopped:   make(chan struct{}),
		done:      make(chan struct{}),
	}
	rand.Read(s.secret[:]) // never fails
	s.device.init(s, dev)
	s.loop.init(s, pipe.NewLoop(pipe.Config{Names: [2]string{"lo"}, MTU: loopMTU, Caps: link.Caps{Checksum: true, USO: true}}))
	s.loop.local = true
	s.lanes.init(len(s.device.queues))
	s.count.init(len(s.device.queues), len(s.loop.queues))
	s.cfg.TCP.Tally = &s.count
	s.sockets.init()
	s.groups.init(s)
	s.forwarder.init()
	s.fastOpens.init()
	switch {
	case cfg.Resolver != nil:
		s.resolver = cfg.Resolver
	case len(cfg.DNS) > 0:
		s.resolver = newDNSResolver(s, cfg.DNS)
	default:
		s.resolver = ResolverFunc(noResolver)
	}
	s.timers.init()
	s.starved.init(cfg.TCP.Budget)
	s.drain.init()
	s.paths.init()
	s.reassembly.init(s)
	s.idents.init()
	s.gatherLanes()
	s.start()
	return s, nil
}

// start runs the goroutines.
func (s *Stack) start() {
	for _, in := range []*iface{&s.device, &s.loop} {
		for lane := range in.queues {
			in.engines = append(in.engines, newEngine(s, in, lane))
		}
	}
	for _, e := range slices.Concat(s.device.engines, s.loop.engines) {
		s.running.Go(e.run)
	}
	s.running.Add(2)
	go s.runTimers()
	go s.watchDevice()
}

// watchDevice follows what happens to the device until it is closed.
func (s *Stack) watchDevice() {
	defer s.running.Done()
	down := false
	for ev := range s.device.dev.Events() {
		switch ev.Kind {
		case link.EventMTU:
			s.device.mtu.Store(int64(ev.MTU))
			s.log.Info("mtu changed", "device", s.device.dev.Name(), "mtu", ev.MTU)
		case link.EventDown:
			down = true
			s.log.Warn("the device is down, connections wait", "device", s.device.dev.Name())
		case link.EventUp:
			if down { // and not for the first time
				s.log.Info("the device is up again", "device", s.device.dev.Name())
			}
			down = false
		case link.EventGone:
			s.fail(errors.New("the far side has closed the wire"))
		}
	}
}

// fail closes the stack because of err, without waiting: a goroutine of the stack calls
// it.
func (s *Stack) fail(err error) {
	if s.closing.Load() {
		return
	}
	err = fmt.Errorf("stack: %s: %w", s.device.dev.Name(), err)
	go func() {
		if s.stop(err) {
			s.log.Error("stack closed", "device", s.device.dev.Name(), "err", err)
		}
	}()
}

// Now is the time of the stack's clock, which stamps the events of its connections: the
// nanoseconds since Epoch.
func (s *Stack) Now() tcp.Time { return mono.Time(time.Since(s.epoch)) }

// Epoch is when the stack's clock stood at zero.
func (s *Stack) Epoch() time.Time { return s.epoch }

// Addrs returns the stack's own addresses with their prefixes, the link-local one that it
// made for itself included.
func (s *Stack) Addrs() []netip.Prefix { return append([]netip.Prefix(nil), s.addrs.prefixes...) }

// Done is closed when the stack is closed, by Close or because its device failed or is gone.
// While the device is merely down nothing passes, and connections wait as on any host.
func (s *Stack) Done() <-chan struct{} { return s.done }

// Err is nil until Done is closed, and then why: net.ErrClosed after Close, else what
// happened to the device.
func (s *Stack) Err() error {
	select {
	case <-s.done:
		return s.cause
	default:
		return nil
	}
}

// Close closes the stack: open connections are reset, blocked calls return net.ErrClosed,
// the device is closed, and no goroutine is left when it returns. To let connections
// finish, see Shutdown. Closing again returns net.ErrClosed.
func (s *Stack) Close() error {
	if !s.stop(net.ErrClosed) {
		<-s.done
		return net.ErrClosed
	}
	return nil
}

// stop is Close with a reason. It is false when the stack is being closed already.
func (s *Stack) stop(cause error) bool {
	if !s.closing.CompareAndSwap(false, true) {
		return false
	}
	s.cause = cause
	close(s.stopped)
	for _, l := range s.listeners.close() {
		l.shut()
	}
	for _, u := range s.sockets.close() {
		u.shut()
	}
	s.groups.close()
	s.forwarder.close()
	for _, p := range s.pings.close() {
		p.shut()
	}
	s.abortAll() // while the device still carries the resets
	s.reassembly.close()
	s.loop.dev.Close()
	s.device.dev.Close()
	s.running.Wait()
	s.abortAll() // what the engines took in meanwhile
	s.starved.stop()
	close(s.done)
	return true
}

// abortAll resets every connection.
func (s *Stack) abortAll() {
	box := getOutbox()
	defer box.put()
	for _, f := range s.conns.Values() {
		f.abandon(s, box)
	}
}

// Shutdown stops listening and waits until every connection has finished closing: the
// applications have closed them, and the peers have everything. Connections in TIME-WAIT
// are not waited for. Then, or when ctx ends, it closes the stack. The error is that of
// ctx, or of Close.
func (s *Stack) Shutdown(ctx context.Context) error {
	for _, l := range s.listeners.all() {
		l.Close()
	}
	err := s.drain.wait(ctx, s.stopped)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return err
}

// drain counts the connections that Shutdown waits for.
type drain struct {
	open atomic.Int64
	none chan struct{} // holds one: perhaps there are none now
}

func (d *drain) init() { d.none = make(chan struct{}, 1) }

func (d *drain) add() { d.open.Add(1) }

func (d *drain) remove() {
	if d.open.Add(-1) == 0 {
		select {
		case d.none <- struct{}{}:
		default:
		}
	}
}

// wait waits until there are no connections, ctx ends, or stopped is closed.
func (d *drain) wait(ctx context.Context, stopped <-chan struct{}) error {
	for d.open.Load() > 0 {
		select {
		case <-d.none:
		case <-stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Command porticopeer offers the services over portico on a TUN device.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/a644562b/portico/link/tun"
	"github.com/a644562b/portico/stack"
	"github.com/a644562b/portico/tcp"

	"github.com/a644562b/portico/scripts/peers/internal/debughttp"
	"github.com/a644562b/portico/scripts/peers/internal/services"
)

// settings are the flags.
type settings struct {
	dev          tun.Config
	addr         netip.Prefix
	tcp          tcp.Params
	debug, trace string
	spread       bool
}

func parse() (settings, error) {
	var s settings
	var addr, offload, cc string
	flag.StringVar(&s.dev.Name, "tun", "tun0", "`name` of the TUN to make")
	flag.StringVar(&addr, "addr", "10.77.0.2/24", "own address with prefix length")
	flag.IntVar(&s.dev.MTU, "mtu", tun.DefaultMTU, "MTU, must match the kernel's side")
	flag.IntVar(&s.dev.Queues, "queues", tun.AutoQueues(), "TUN queues")
	flag.BoolVar(&s.spread, "spread", false, "use all queues at any time")
	flag.StringVar(&offload, "offload", "auto", "super-segments across the TUN: auto | on | off")
	flag.StringVar(&cc, "cc", "cubic", "congestion control: cubic | newreno")
	flag.BoolVar(&s.tcp.Pacing, "pacing", false, "spread what is sent over the round trip")
	flag.IntVar(&s.tcp.SendBuffer, "sndbuf", 0, "send buffer in `bytes`; 0: it grows by itself")
	flag.IntVar(&s.tcp.ReceiveBuffer, "rcvbuf", 0, "receive buffer in `bytes`; 0: it grows by itself")
	flag.StringVar(&s.debug, "debug", "", "address of an HTTP server on the kernel's side with pprof and /conns (Info of every connection), none if empty")
	flag.StringVar(&s.trace, "trace", "", "write every event of every connection to `file`, none if empty")
	flag.Parse()
	modes := map[string]tun.OffloadMode{"auto": tun.OffloadAuto, "on": tun.OffloadOn, "off": tun.OffloadOff}
	mode, ok := modes[offload]
	if !ok {
		return s, fmt.Errorf("--offload %q is none of auto, on, off", offload)
	}
	s.dev.Offload = mode
	s.dev.Logger = slog.Default()
	var err error
	if s.addr, err = netip.ParsePrefix(addr); err != nil {
		return s, fmt.Errorf("--addr: %w", err)
	}
	if s.tcp.Congestion, err = tcp.CongestionByName(cc); err != nil {
		return s, fmt.Errorf("--cc: %w", err)
	}
	return s, nil
}

func main() {
	s, err := parse()
	if err != nil {
		log.Print(err)
		os.Exit(2)
	}
	if err := run(s); err != nil {
		log.Fatal(err)
	}
}

func run(s settings) (err error) {
	cfg := stack.Config{Addrs: []netip.Prefix{s.addr}, TCP: s.tcp, Logger: slog.Default(), SpreadAlways: s.spread}
	if s.trace != "" {
		t, err := newTrace(s.trace)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, t.close()) }()
		cfg.Observe = t.observe
	}
	dev, err := tun.Open(s.dev)
	if err != nil {
		return err
	}
	host, err := stack.New(dev, cfg)
	if err != nil {
		return errors.Join(err, dev.Close())
	}
	defer host.Close()
	counts := &counts{host: host}
	services.Extra = counts.extra
	serveConns(host)
	debughttp.Serve(s.debug)
	err = services.Start(func(port int) (net.Listener, error) {
		l, err := host.Listen("tcp", net.JoinHostPort(s.addr.Addr().String(), strconv.Itoa(port)))
		if err != nil {
			return nil, err
		}
		return counts.listener(l), nil
	})
	if err != nil {
		return err
	}
	fmt.Println("ready portico")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-signals:
	case <-host.Done():
	}
	return host.Err()
}

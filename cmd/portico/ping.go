package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/stack"
	"github.com/spf13/cobra"
)

// pingFlags are the flags of `portico ping`; times in seconds as in ping(8).
type pingFlags struct {
	net      *netFlags
	dns      *nameServers
	count    int
	interval float64
	size     int
	wait     float64
}

func newPing() *cobra.Command {
	f := &pingFlags{}
	cmd := &cobra.Command{
		Use:   "ping ADDR",
		Short: "send echo requests with portico's own stack, from a TUN of its own",
		Long: `Send ICMP or ICMPv6 echo requests with portico's own stack, from a TUN of its own
that is removed again, in the manner of ping(8). It exits 1 if nothing answered. The
host itself answers at its address on the TUN (10.78.0.1).`,
		Example: `  sudo portico ping 10.78.0.1
  sudo portico ping -c 3 -i 0.2 fd78::1`,
		Args: oneArg("ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error { return ping(cmd, f, args[0]) },
	}
	f.net = addNetFlags(cmd, "", 78)
	f.dns = addDNSFlag(cmd)
	fl := cmd.Flags()
	fl.IntVarP(&f.count, "count", "c", 4, "stop after `n` requests; 0: when interrupted")
	fl.Float64VarP(&f.interval, "interval", "i", 1, "`seconds` between requests")
	fl.IntVarP(&f.size, "size", "s", 56, "`bytes` of payload")
	fl.Float64VarP(&f.wait, "timeout", "W", 1, "`seconds` to wait for an answer")
	return cmd
}

// Bounds of the flags of ping.
const (
	minInterval = 0.001 // seconds
	maxSeconds  = 24 * 3600.0
	maxPing     = 65507 // the largest payload of an IPv4 packet
)

func (f *pingFlags) check(cmd *cobra.Command) error {
	switch {
	case f.count < 0:
		return usagef(cmd, "--count %d is negative: choose 0 for no end, or a number", f.count)
	case !(f.interval >= minInterval && f.interval <= maxSeconds):
		return usagef(cmd, "--interval %v is out of range: choose %v to %v seconds", f.interval, minInterval, maxSeconds)
	case !(f.wait > 0 && f.wait <= maxSeconds):
		return usagef(cmd, "--timeout %v is out of range: choose more than 0 and at most %v seconds", f.wait, maxSeconds)
	case f.size < 0 || f.size > maxPing:
		return usagef(cmd, "--size %d is out of range: choose 0 to %d bytes", f.size, maxPing)
	}
	return nil
}

// ping makes a host, sends, and takes the host down.
func ping(cmd *cobra.Command, f *pingFlags, name string) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	cfg, err := f.net.config(cmd)
	if err != nil {
		return err
	}
	cfg.DNS = f.dns.list
	if f.net.pcap != "" {
		file, err := createPCAP(f.net.pcap)
		if err != nil {
			return err
		}
		defer file.Close()
		cfg.Capture = file
	}
	n, err := node.Open(cfg)
	if err != nil {
		return err
	}
	defer n.Stack.Close()
	addrs, err := resolve(cmd.Context(), n.Stack, f.dns.list, name)
	if err != nil {
		return err
	}
	if most := cfg.MTU - headersOf(addrs[0]); f.size > most {
		return usagef(cmd, "--size %d does not fit the MTU of %d: choose at most %d, or a larger --mtu", f.size, cfg.MTU, most)
	}
	p := &pinger{flags: f, name: name, dst: addrs[0], stack: n.Stack, out: cmd.OutOrStdout()}
	return p.run(cmd.Context())
}

// headersOf is the length of the IP and ICMP headers of an echo request to a.
func headersOf(a netip.Addr) int {
	const ip4, ip6, icmp = 20, 40, 8
	if a.Is4() {
		return ip4 + icmp
	}
	return ip6 + icmp
}

// pinger sends echo requests and counts what comes back.
type pinger struct {
	flags *pingFlags
	name  string
	dst   netip.Addr
	stack *stack.Stack
	out   io.Writer

	sent, received int
	rtts           []time.Duration
}

func secs(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (p *pinger) run(ctx context.Context) error {
	payload := make([]byte, p.flags.size)
	rand.Read(payload) // never fails
	fmt.Fprintf(p.out, "PING %s (%s) %d(%d) bytes of data.\n", p.name, p.dst, len(payload), len(payload)+headersOf(p.dst))
	start := time.Now()
	ticks := time.NewTicker(secs(p.flags.interval))
	defer ticks.Stop()
	for seq := 1; ; seq++ {
		p.one(ctx, seq, payload)
		if ctx.Err() != nil || seq == p.flags.count {
			break
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	p.statistics(time.Since(start))
	if p.received == 0 {
		return &silentError{exitFailed}
	}
	return nil
}

// one sends one request and waits for its answer.
func (p *pinger) one(ctx context.Context, seq int, payload []byte) {
	wait, cancel := context.WithTimeout(ctx, secs(p.flags.wait))
	defer cancel()
	p.sent++
	pong, err := p.stack.Ping(wait, p.dst, seq, payload)
	switch {
	case err == nil:
		p.received++
		p.rtts = append(p.rtts, pong.RTT)
		fmt.Fprintf(p.out, "%d bytes from %s: icmp_seq=%d ttl=%d time=%s ms\n",
			pong.Bytes+icmpHeader, pong.From, seq, pong.TTL, pingTime(pong.RTT))
	case ctx.Err() != nil:
		p.sent-- // interrupted before its answer had its time
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintf(p.out, "no answer for icmp_seq=%d\n", seq)
	default:
		fmt.Fprintf(p.out, "icmp_seq=%d: %v\n", seq, err)
	}
}

const icmpHeader = 8

// pingTime writes a round trip in milliseconds as ping(8) does: with three digits that
// count.
func pingTime(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 10:
		return fmt.Sprintf("%.3f", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}

// statistics writes the closing lines of ping(8).
func (p *pinger) statistics(took time.Duration) {
	loss := 0.0
	if p.sent > 0 {
		loss = 100 * float64(p.sent-p.received) / float64(p.sent)
	}
	fmt.Fprintf(p.out, "\n--- %s ping statistics ---\n", p.name)
	fmt.Fprintf(p.out, "%d packets transmitted, %d received, %.4g%% packet loss, time %dms\n",
		p.sent, p.received, loss, took.Milliseconds())
	if p.received == 0 {
		return
	}
	least, most, sum, squares := math.Inf(1), 0.0, 0.0, 0.0
	for _, d := range p.rtts {
		ms := float64(d) / float64(time.Millisecond)
		least, most = min(least, ms), max(most, ms)
		sum += ms
		squares += ms * ms
	}
	mean := sum / float64(len(p.rtts))
	deviation := math.Sqrt(max(0, squares/float64(len(p.rtts))-mean*mean))
	fmt.Fprintf(p.out, "rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", least, mean, most, deviation)
}

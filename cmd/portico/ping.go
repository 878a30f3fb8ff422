package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"time"

	"github.com/a644562b/portico/ip"
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
	ttl      int
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
  sudo portico ping -c 3 -i 0.2 fd78::1
  sudo portico ping -s 65507 10.78.0.1   in fragments`,
		Args: oneArg("ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error { return ping(cmd, f, args[0]) },
	}
	f.net = addNetFlags(cmd, "", 78)
	f.dns = addDNSFlag(cmd)
	fl := cmd.Flags()
	fl.IntVarP(&f.count, "count", "c", 4, "stop after `n` requests; 0: when interrupted")
	fl.Float64VarP(&f.interval, "interval", "i", 1, "`seconds` between requests")
	fl.IntVarP(&f.size, "size", "s", 56, "`bytes` of payload")
	fl.IntVarP(&f.ttl, "ttl", "t", ip.DefaultTTL, "`hops` that a request lives for")
	fl.Float64VarP(&f.wait, "timeout", "W", 1, "`seconds` to wait for an answer")
	return cmd
}

// Bounds of the flags of ping.
const (
	minInterval = 0.001 // seconds
	maxSeconds  = 24 * 3600.0
	maxTTL      = 255
	maxPing4    = 65507 // the largest payload of an IPv4 packet
	maxPing6    = 65527 // of an IPv6 packet
)

func (f *pingFlags) check(cmd *cobra.Command) error {
	switch {
	case f.count < 0:
		return usagef(cmd, "--count %d is negative: choose 0 for no end, or a number", f.count)
	case !(f.interval >= minInterval && f.interval <= maxSeconds):
		return usagef(cmd, "--interval %v is out of range: choose %v to %v seconds", f.interval, minInterval, maxSeconds)
	case !(f.wait > 0 && f.wait <= maxSeconds):
		return usagef(cmd, "--timeout %v is out of range: choose more than 0 and at most %v seconds", f.wait, maxSeconds)
	case f.size < 0 || f.size > maxPing6:
		return usagef(cmd, "--size %d is out of range: choose 0 to %d bytes, with IPv4 to %d", f.size, maxPing6, maxPing4)
	case f.ttl < 1 || f.ttl > maxTTL:
		return usagef(cmd, "--ttl %d is out of range: choose 1 to %d", f.ttl, maxTTL)
	}
	return nil
}

// ping makes a host, sends, and takes the host down.
func ping(cmd *cobra.Command, f *pingFlags, name string) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	c, err := openEcho(cmd, f.net, f.dns, name)
	if err != nil {
		return err
	}
	defer c.close()
	if c.dst.Is4() && f.size > maxPing4 {
		return usagef(cmd, "--size %d does not fit an IPv4 packet: choose at most %d", f.size, maxPing4)
	}
	p := &pinger{echoClient: c, flags: f, name: name, out: cmd.OutOrStdout()}
	return p.run(cmd.Context())
}

// pinger sends echo requests and counts what comes back.
type pinger struct {
	*echoClient
	flags *pingFlags
	name  string
	out   io.Writer

	sent, received int
	rtts           []time.Duration
}

func (p *pinger) run(ctx context.Context) error {
	payload := make([]byte, p.flags.size)
	rand.Read(payload) // never fails
	fmt.Fprintf(p.out, "PING %s (%s) %d(%d) bytes of data.\n", p.name, p.dst, len(payload), len(payload)+headersOf(p.dst))
	var failure error
	start := time.Now()
	ticks := time.NewTicker(secs(p.flags.interval))
	defer ticks.Stop()
	for seq := 1; ; seq++ {
		failure = p.one(ctx, seq, payload)
		if failure != nil || ctx.Err() != nil || seq == p.flags.count {
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
	if failure != nil {
		return failure
	}
	if p.received == 0 {
		return &silentError{exitFailed}
	}
	return nil
}

// one sends one request and waits for its answer. The error is that of the host itself.
func (p *pinger) one(ctx context.Context, seq int, payload []byte) error {
	p.sent++
	echo := stack.Echo{Seq: uint16(seq), Data: payload, TTL: uint8(p.flags.ttl)}
	reply, got, err := p.ask(ctx, &echo, secs(p.flags.wait))
	var told *stack.ICMPError
	switch {
	case err == nil:
		p.received++
		p.rtts = append(p.rtts, reply.RTT)
		fmt.Fprintf(p.out, "%d bytes from %s: icmp_seq=%d ttl=%d time=%s ms%s\n",
			reply.Size+icmpHeader, reply.From, seq, reply.TTL, pingTime(reply.RTT), difference(got, payload))
	case ctx.Err() != nil:
		p.sent-- // interrupted before its answer had its time
	case errors.Is(err, net.ErrClosed):
		return p.node.Explain(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		fmt.Fprintf(p.out, "no answer for icmp_seq=%d\n", seq)
	case errors.As(err, &told):
		fmt.Fprintf(p.out, "From %s icmp_seq=%d %s\n", told.From, seq, told.Kind)
	default:
		fmt.Fprintf(p.out, "icmp_seq=%d: %v\n", seq, err)
	}
	return nil
}

// difference says where an answer is not what was sent; "" if it is.
func difference(got, sent []byte) string {
	for i := range min(len(got), len(sent)) {
		if got[i] != sent[i] {
			return fmt.Sprintf(" (wrong data byte #%d)", i)
		}
	}
	switch {
	case len(got) < len(sent):
		return " (truncated)"
	case len(got) > len(sent):
		return " (too long)"
	}
	return ""
}

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

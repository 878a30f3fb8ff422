package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/stack"
	"github.com/spf13/cobra"
)

// tracerouteFlags are the flags of `portico traceroute`; times in seconds as in
// traceroute(8).
type tracerouteFlags struct {
	net     *netFlags
	dns     *nameServers
	hops    int
	queries int
	wait    float64
}

func newTraceroute() *cobra.Command {
	f := &tracerouteFlags{}
	cmd := &cobra.Command{
		Use:   "traceroute ADDR",
		Short: "find the routers on the way with portico's own stack, from a TUN of its own",
		Long: `Send ICMP or ICMPv6 echo requests that live for one hop, then for two, and so on, and
print who says that they have died, in the manner of traceroute -I -n. It exits 1 if the
destination was not reached. The host itself is one hop away, at its address on the TUN
(10.78.0.1).`,
		Example: `  sudo portico traceroute 10.78.0.1
  sudo portico traceroute -q 1 -m 8 --dns 9.9.9.9 example.org`,
		Args: oneArg("ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error { return traceroute(cmd, f, args[0]) },
	}
	f.net = addNetFlags(cmd, "", 78)
	f.dns = addDNSFlag(cmd)
	fl := cmd.Flags()
	fl.IntVarP(&f.hops, "max-hops", "m", 30, "give up after so many `hops`")
	fl.IntVarP(&f.queries, "queries", "q", 3, "`number` of requests for each hop")
	fl.Float64VarP(&f.wait, "wait", "w", 1, "`seconds` to wait for an answer")
	return cmd
}

// maxQueries is as in traceroute(8).
const maxQueries = 10

func (f *tracerouteFlags) check(cmd *cobra.Command) error {
	switch {
	case f.hops < 1 || f.hops > maxTTL:
		return usagef(cmd, "--max-hops %d is out of range: choose 1 to %d", f.hops, maxTTL)
	case f.queries < 1 || f.queries > maxQueries:
		return usagef(cmd, "--queries %d is out of range: choose 1 to %d", f.queries, maxQueries)
	case !(f.wait > 0 && f.wait <= maxSeconds):
		return usagef(cmd, "--wait %v is out of range: choose more than 0 and at most %v seconds", f.wait, maxSeconds)
	}
	return nil
}

// traceroute makes a host, goes hop by hop, and takes the host down.
func traceroute(cmd *cobra.Command, f *tracerouteFlags, name string) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	c, err := openEcho(cmd, f.net, f.dns, name)
	if err != nil {
		return err
	}
	defer c.close()
	t := &tracer{echoClient: c, flags: f, out: cmd.OutOrStdout()}
	fmt.Fprintf(t.out, "traceroute to %s (%s), %d hops max, %d byte packets\n", name, c.dst, f.hops, headersOf(c.dst)+probeSize)
	for ttl := 1; ttl <= f.hops; ttl++ {
		arrived, err := t.hop(cmd.Context(), ttl)
		if arrived || err != nil {
			return err
		}
		if cmd.Context().Err() != nil {
			break
		}
	}
	return &silentError{exitFailed}
}

// tracer sends requests and prints who answers.
type tracer struct {
	*echoClient
	flags *tracerouteFlags
	out   io.Writer
	seq   uint16
}

// probeSize is the payload of a request, in bytes, as in traceroute(8).
const probeSize = 32

// hop prints the line of one hop. It reports whether the way ends there. The error is that of the
// host itself.
func (t *tracer) hop(ctx context.Context, ttl int) (end bool, err error) {
	var line strings.Builder
	fmt.Fprintf(&line, "%2d ", ttl)
	var last netip.Addr
	for range t.flags.queries {
		t.seq++
		echo := stack.Echo{Seq: t.seq, Data: make([]byte, probeSize), TTL: uint8(ttl)}
		begun := time.Now()
		reply, _, err := t.ask(ctx, &echo, secs(t.flags.wait))
		took, from, mark := time.Since(begun), reply.From, ""
		var told *stack.ICMPError
		switch {
		case ctx.Err() != nil:
			return false, nil
		case errors.Is(err, net.ErrClosed):
			return false, t.node.Explain(err)
		case errors.As(err, &told):
			from, mark = told.From, marks[told.Kind]
			end = end || told.Kind != ip.ErrorTimeExceeded
		case errors.Is(err, os.ErrDeadlineExceeded):
			line.WriteString(" *")
			continue
		case err != nil:
			fmt.Fprintf(&line, " %v", err)
			continue
		default:
			end = true
		}
		if from != last {
			fmt.Fprintf(&line, " %s", from)
			last = from
		}
		fmt.Fprintf(&line, "  %s ms%s", pingTime(took), mark)
	}
	fmt.Fprintln(t.out, line.String())
	return end, nil
}

// marks are what traceroute(8) writes behind errors that are not what it looks for.
var marks = map[ip.ErrorKind]string{
	ip.ErrorNet: " !N", ip.ErrorHost: " !H", ip.ErrorProtocol: " !P", ip.ErrorAdmin: " !X", ip.ErrorTooBig: " !F",
}

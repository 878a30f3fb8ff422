package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/stack"
	"github.com/spf13/cobra"
)

// echoClient is a host of its own that sends echo requests to one address.
type echoClient struct {
	node  *node.Node
	dst   netip.Addr
	sock  *stack.PingConn
	close func() // takes the host down
}

// openEcho makes the host as the flags say, and finds the address of a name.
func openEcho(cmd *cobra.Command, f *netFlags, dns *nameServers, name string) (*echoClient, error) {
	cfg, err := f.config(cmd)
	if err != nil {
		return nil, err
	}
	cfg.DNS = dns.list
	closeCapture := func() {}
	if f.pcap != "" {
		file, err := createPCAP(f.pcap)
		if err != nil {
			return nil, err
		}
		cfg.Capture, closeCapture = file, func() { file.Close() }
	}
	n, err := node.Open(cfg)
	if err != nil {
		closeCapture()
		return nil, err
	}
	c := &echoClient{node: n, close: func() {
		n.Stack.Close()
		closeCapture()
	}}
	addrs, err := resolve(cmd.Context(), n.Stack, dns.list, name)
	if err == nil {
		c.dst = addrs[0]
		c.sock, err = n.Stack.ListenPing(pingNetwork(c.dst), "")
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// pingNetwork is what the stack calls the network of echo requests to a.
func pingNetwork(a netip.Addr) string {
	if a.Is4() {
		return "ip4:icmp"
	}
	return "ip6:ipv6-icmp"
}

const icmpHeader = 8

// headersOf is the length of the IP and ICMP headers of an echo request to a.
func headersOf(a netip.Addr) int {
	const ip4, ip6 = 20, 40
	if a.Is4() {
		return ip4 + icmpHeader
	}
	return ip6 + icmpHeader
}

func secs(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// ask sends a request to dst and waits for the answer to it, from a group that of the
// quickest, or the error about it, at most for so long. got is the data of the answer.
func (c *echoClient) ask(ctx context.Context, echo *stack.Echo, wait time.Duration) (reply stack.EchoReply, got []byte, err error) {
	echo.To = c.dst
	c.sock.SetReadDeadline(time.Now().Add(wait))
	stop := context.AfterFunc(ctx, func() { c.sock.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.sock.SendEcho(*echo); err != nil {
		return reply, nil, err
	}
	got = make([]byte, len(echo.Data)+1)
	for {
		reply, err = c.sock.ReceiveEcho(got)
		var told *stack.ICMPError
		switch {
		case errors.As(err, &told) && told.Seq != echo.Seq:
			continue // about one that was given up
		case err != nil:
			return reply, nil, err
		case reply.Seq == echo.Seq && (c.dst.IsMulticast() || reply.From.WithZone("") == c.dst.WithZone("")):
			return reply, got[:min(reply.Size, len(got))], nil
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/a644562b/portico/stack"
	"github.com/spf13/cobra"
)

// nameServers is the value of a flag that may be given several times: the addresses of name
// servers, with their port where it is not 53.
type nameServers struct{ list []netip.AddrPort }

const dnsPort = 53

// addDNSFlag gives cmd the flag of name servers that the stack asks itself.
func addDNSFlag(cmd *cobra.Command) *nameServers {
	n := &nameServers{}
	cmd.Flags().Var(n, "dns", "name server that portico asks by its own stack; repeat for more. Default: names are the host's to look up")
	return n
}

func (n *nameServers) String() string {
	words := make([]string, len(n.list))
	for i, v := range n.list {
		words[i] = v.String()
	}
	return strings.Join(words, ",")
}

func (n *nameServers) Type() string { return "addr[:port]" }

func (n *nameServers) Set(s string) error {
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		server, err := netip.ParseAddrPort(item)
		if addr, plain := netip.ParseAddr(item); plain == nil {
			server, err = netip.AddrPortFrom(addr, dnsPort), nil
		}
		if err != nil || server.Port() == 0 {
			return fmt.Errorf("%q is not the address of a name server, as in 10.78.0.1 or [fd78::1]:5353", item)
		}
		n.list = append(n.list, netip.AddrPortFrom(server.Addr().Unmap(), server.Port()))
	}
	return nil
}

// resolve returns the addresses of a name that the stack has the family for: what the name
// servers say, asked by the stack, or where there are none the host.
func resolve(ctx context.Context, s *stack.Stack, servers []netip.AddrPort, name string) ([]netip.Addr, error) {
	if len(servers) > 0 {
		addrs, err := s.LookupNetIP(ctx, "ip", name)
		if err != nil {
			return nil, &unresolvedError{name, err}
		}
		return addrs, nil
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, &unresolvedError{name, err}
	}
	has := make(map[bool]bool) // by Is4
	for _, p := range s.Addrs() {
		has[p.Addr().Is4()] = true
	}
	var addrs []netip.Addr
	for _, a := range all {
		if a = a.Unmap(); has[a.Is4()] {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no address of a family that portico has one of: give it one with --addr", name)
	}
	return addrs, nil
}

// unresolvedError is a name whose addresses nobody could tell.
type unresolvedError struct {
	name string
	err  error
}

func (e *unresolvedError) Error() string {
	var dns *net.DNSError
	switch {
	case !errors.As(e.err, &dns) || dns.Server == "":
		return fmt.Sprintf("cannot resolve %s: %v", e.name, e.err)
	case dns.IsNotFound:
		return fmt.Sprintf("cannot resolve %s: the name server %s knows no address of that name", e.name, dns.Server)
	case dns.IsTimeout:
		return fmt.Sprintf("cannot resolve %s: the name server %s does not answer: choose another with --dns", e.name, dns.Server)
	}
	return fmt.Sprintf("cannot resolve %s: the name server %s: %s: choose another with --dns", e.name, dns.Server, dns.Err)
}

func (e *unresolvedError) Unwrap() error { return e.err }

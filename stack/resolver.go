package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Resolver finds the addresses of names. A *net.Resolver is one. LookupNetIP is asked for
// "ip4" and for "ip6" on its own, so that the answers to one need not wait for the other;
// errors are best a *net.DNSError. It may be called from any number of goroutines at once.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// ResolverFunc is a function as a Resolver.
type ResolverFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

// LookupNetIP calls f.
func (f ResolverFunc) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return f(ctx, network, host)
}

// How name servers are asked: for so long each, and all of them so many times, as by the
// resolver of the C library.
const (
	dnsTimeout = 5 * time.Second
	dnsRounds  = 2
)

// dnsResolver asks name servers, which it reaches through the stack, one after the other
// until one answers.
type dnsResolver struct {
	servers []dnsServer
}

type dnsServer struct {
	address string
	client  *net.Resolver
}

func newDNSResolver(s *Stack, servers []netip.AddrPort) *dnsResolver {
	r := &dnsResolver{}
	for _, server := range servers {
		r.servers = append(r.servers, dnsServer{server.String(), s.DNSClient(server)})
	}
	return r
}

// DNSClient is a net.Resolver that asks one name server through the stack, for records of
// any type. It is Go's own: it reads the hosts file and the options of the machine's
// resolv.conf, whose servers it does not ask. Config.DNS is for dialing names.
func (s *Stack) DNSClient(server netip.AddrPort) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return s.DialContext(ctx, network, server.String())
	}}
}

// LookupNetIP returns the first answer of a server that knows whether the name exists. The
// name is asked for as it is: the machine's search list is not the stack's.
func (r *dnsResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	rooted := strings.TrimSuffix(host, ".") + "."
	var failure error
	for range dnsRounds {
		for _, server := range r.servers {
			addrs, err := server.lookup(ctx, network, rooted)
			switch {
			case err == nil || isNoSuchHost(err):
				return addrs, nameError(err, host, server.address)
			case ctx.Err() != nil:
				return nil, nameError(err, host, server.address)
			}
			failure = nameError(err, host, server.address)
		}
	}
	return nil, failure
}

func (d *dnsServer) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	return d.client.LookupNetIP(ctx, network, host)
}

// isNoSuchHost reports whether an error says that a name has no address of the family.
func isNoSuchHost(err error) bool {
	var none *net.AddrError // it has some of the other (the hosts file knows both)
	var dns *net.DNSError
	return errors.As(err, &none) || errors.As(err, &dns) && dns.IsNotFound
}

// nameError names the server that was really asked, and the name as the user wrote it.
func nameError(err error, host, server string) error {
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		return err
	}
	mine := *dns
	mine.Name, mine.Server = host, server
	return &mine
}

// noResolver is the resolver of a stack that has none.
func noResolver(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{
		Err:        "the stack has no resolver; give Config.DNS or Config.Resolver, or a literal address",
		Name:       host,
		IsNotFound: true,
	}
}

// LookupNetIP finds the addresses of a name as DialContext does, and sorts them by RFC
// 6724, section 6: the first is the one to try first. The network is "ip", "ip4" or "ip6". Of
// families that the stack has no address of there are none. A literal address is its own
// answer.
func (s *Stack) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	families := map[string]family{"ip": familyAny, "ip4": family4, "ip6": family6}
	f, ok := families[network]
	if !ok {
		return nil, net.UnknownNetworkError(network)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a, err = s.unzoned(a.Unmap()); err != nil {
			return nil, err
		}
		if !f.has(a) {
			return nil, &net.AddrError{Err: noSuitableAddress, Addr: host}
		}
		return []netip.Addr{a}, nil
	}
	return s.lookup(ctx, s.resolver, host, f)
}

// lookup waits for all addresses of a name and sorts them.
func (s *Stack) lookup(ctx context.Context, r Resolver, name string, f family) ([]netip.Addr, error) {
	answers, n := s.ask(ctx, r, name, f)
	if n == 0 {
		return nil, &net.AddrError{Err: noSuitableAddress, Addr: name}
	}
	var failure lookupFailure
	all := s.gather(ctx, answers, n, name, &failure)
	if len(all) == 0 {
		return nil, failure.of(name)
	}
	return all, nil
}

// gather waits for n answers and sorts what they hold.
func (s *Stack) gather(ctx context.Context, answers <-chan lookupAnswer, n int, name string, failure *lookupFailure) []netip.Addr {
	var all []netip.Addr
	for range n {
		select {
		case a := <-answers:
			all = append(all, a.addrs...)
			failure.add(a.err)
		case <-ctx.Done():
			failure.add(endedLookup(ctx, name))
			return nil
		}
	}
	return s.addrs.sorted(all)
}

// endedLookup is the error of a lookup whose context has ended.
func endedLookup(ctx context.Context, name string) error {
	err := contextError(ctx.Err())
	return &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: name, IsTimeout: errors.Is(err, context.DeadlineExceeded)}
}

// lookupAnswer is what a resolver said about one family.
type lookupAnswer struct {
	family family
	addrs  []netip.Addr
	err    error
}

// ask resolves a name for each family of f that the stack has an address of, at the same
// time, that of IPv6 first (RFC 8305, section 3). n answers will come, and are not waited
// for by whoever gives them.
func (s *Stack) ask(ctx context.Context, r Resolver, name string, f family) (answers <-chan lookupAnswer, n int) {
	c := make(chan lookupAnswer, 2)
	for _, one := range []family{family6, family4} {
		if f&one == 0 {
			continue
		}
		if local := localhost(name, one); local.IsValid() {
			n++
			c <- lookupAnswer{family: one, addrs: []netip.Addr{local}}
			continue
		}
		if s.addrs.families&one == 0 {
			continue
		}
		n++
		go func() { c <- s.askOne(ctx, r, name, one) }()
	}
	return c, n
}

// askOne resolves a name for one family. Answers that cannot be used here are left out.
func (s *Stack) askOne(ctx context.Context, r Resolver, name string, f family) lookupAnswer {
	network := "ip4"
	if f == family6 {
		network = "ip6"
	}
	found, err := r.LookupNetIP(ctx, network, name)
	if ctx.Err() != nil && err != nil {
		err = endedLookup(ctx, name)
	}
	a := lookupAnswer{family: f, err: err}
	for _, addr := range found {
		addr, err := s.unzoned(addr.Unmap())
		if err == nil && f.has(addr) && !addr.IsUnspecified() {
			a.addrs = append(a.addrs, addr)
		}
	}
	return a
}

// localhost is the loopback address of a family when the name is "localhost" or ends in it:
// no name server is asked for those (RFC 6761, section 6.3).
func localhost(name string, f family) netip.Addr {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case name != "localhost" && !strings.HasSuffix(name, ".localhost"):
		return netip.Addr{}
	case f == family4:
		return loopback4
	}
	return netip.IPv6Loopback()
}

// lookupFailure is what to say of a lookup that found nothing: of several errors the one
// that is not merely that a family has no address.
type lookupFailure struct{ err error }

func (l *lookupFailure) add(err error) {
	if err != nil && (l.err == nil || isNoSuchHost(l.err)) {
		l.err = err
	}
}

// of is the error about name.
func (l *lookupFailure) of(name string) error {
	var none *net.AddrError
	if l.err == nil || errors.As(l.err, &none) {
		return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return l.err
}

package stack

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Happy Eyeballs (RFC 8305): the addresses of a name are tried one after the other without
// waiting for the one before to fail, and the first connection wins.
//
// What a stack remembers of earlier round trips does not change the order (section 4, a
// MAY), and there is no NAT64 (section 7).
const (
	// resolutionDelay is how long addresses of IPv4 wait for those of IPv6 (section 3).
	resolutionDelay = 50 * time.Millisecond
	// attemptDelay is the Connection Attempt Delay (section 5), and minAttemptDelay what it
	// must not be set below (section 8).
	attemptDelay    = 250 * time.Millisecond
	minAttemptDelay = 10 * time.Millisecond
)

// eyeballs are a dial of a name.
type eyeballs struct {
	d       *Dialer
	network string
	port    uint16
	name    string

	lookups int          // answers of the resolver that have not come
	pending []netip.Addr // in the order in which they are to be tried
	last    family       // of the attempt begun last
	ready   bool         // attempts may begin
	begun   int          // attempts
	running int          // of these, those that have not ended
	results chan attempt
	over    chan struct{} // closed when nobody waits for results any more

	lookupFailed lookupFailure
	failed       attempt // of the attempts that failed, the one begun first
}

// attempt is how an attempt to connect has ended.
type attempt struct {
	number int // counting from 1
	conn   net.Conn
	err    error
}

// dialName connects to one of the addresses of a name.
func (d *Dialer) dialName(ctx context.Context, network, transport string, f family, t target) (net.Conn, error) {
	f = d.dialFamilies(f)
	resolver := d.Resolver
	if resolver == nil {
		resolver = d.Stack.resolver
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the losers, and answers that nobody needs any more
	answers, n := d.Stack.ask(ctx, resolver, t.name, f)
	if n == 0 {
		return nil, opError("dial", network, nil, nil, &net.AddrError{Err: noSuitableAddress, Addr: t.name})
	}
	r := &eyeballs{
		d: d, network: network, port: t.port, name: t.name, lookups: n,
		results: make(chan attempt), over: make(chan struct{}),
	}
	defer close(r.over)
	if transport == networkUDP || d.FallbackDelay < 0 {
		return r.oneByOne(ctx, transport, answers)
	}
	return r.run(ctx, answers)
}

// dialFamilies are the families that the addresses of a name may be of.
func (d *Dialer) dialFamilies(f family) family {
	if d.LocalAddr == nil {
		return f
	}
	if given, ok := addrPortOf(d.LocalAddr); ok && given.Addr().IsValid() && !given.Addr().IsUnspecified() {
		f &= familyOf(given.Addr())
	}
	return f
}

// run is the race.
func (r *eyeballs) run(ctx context.Context, answers <-chan lookupAnswer) (net.Conn, error) {
	delay := r.d.FallbackDelay
	if delay == 0 {
		delay = attemptDelay
	}
	delay = max(delay, minAttemptDelay)
	var resolution, next <-chan time.Time // nil: not waited for
	for {
		if r.ready && next == nil && len(r.pending) > 0 {
			r.begin(ctx)
			next = time.After(delay)
		}
		if r.running == 0 && len(r.pending) == 0 && r.lookups == 0 {
			return nil, r.failure()
		}
		select {
		case a := <-answers:
			if r.answered(a) && resolution == nil {
				resolution = time.After(resolutionDelay)
			}
		case <-ctx.Done():
			// Attempts notice by themselves; a resolver may not.
			if r.lookups > 0 {
				r.lookupFailed.add(endedLookup(ctx, r.name))
			}
			r.lookups, r.pending, answers = 0, nil, nil // no further attempts
			if r.running == 0 {
				return nil, r.failure()
			}
			if c := r.ended(<-r.results); c != nil {
				return c, nil
			}
		case <-resolution:
			r.ready = true
		case <-next:
			next = nil
		case a := <-r.results:
			if c := r.ended(a); c != nil {
				return c, nil
			}
			next = nil // at once (section 5)
		}
	}
}

// answered takes what the resolver has found. It reports whether attempts wait for the
// other family, for a while.
func (r *eyeballs) answered(a lookupAnswer) (wait bool) {
	r.lookups--
	r.lookupFailed.add(a.err)
	if len(a.addrs) > 0 {
		r.pending = r.d.Stack.addrs.interleaved(append(r.pending, a.addrs...), r.last)
	}
	if a.family == family6 && len(a.addrs) > 0 || r.lookups == 0 {
		r.ready = true
	}
	return !r.ready && len(r.pending) > 0
}

// begin tries the next address in a goroutine of its own.
func (r *eyeballs) begin(ctx context.Context) {
	addr := r.pending[0]
	r.pending = r.pending[1:]
	r.last = familyOf(addr)
	r.begun++
	r.running++
	number := r.begun
	go func() {
		c, err := r.d.dialAddr(ctx, r.network, networkTCP, netip.AddrPortFrom(addr, r.port))
		select {
		case r.results <- attempt{number, c, err}:
		case <-r.over:
			if c != nil {
				c.Close() // the second to arrive
			}
		}
	}()
}

// ended takes the result of an attempt; the connection if it is one.
func (r *eyeballs) ended(a attempt) net.Conn {
	r.running--
	if a.err != nil && (r.failed.err == nil || a.number < r.failed.number) {
		r.failed = a
	}
	return a.conn
}

// failure is the error of a dial that has come to nothing: that of the attempt begun first, or of
// the lookup where there was none.
func (r *eyeballs) failure() error {
	if r.failed.err != nil {
		return r.failed.err
	}
	return opError("dial", r.network, nil, nil, r.lookupFailed.of(r.name))
}

// interleaved puts addresses into the order of RFC 8305, section 4: sorted by RFC 6724,
// then by turns of both families, beginning with that of the first or, where attempts have
// begun, with the other than the last was of. Those that no route leads to come at the end.
func (a *addrs) interleaved(list []netip.Addr, last family) []netip.Addr {
	var lanes [2][]netip.Addr // the family of the first, and the other
	var lost []netip.Addr
	var first family
	for _, dst := range a.sorted(list) {
		if _, err := a.source(dst); err != nil {
			lost = append(lost, dst)
			continue
		}
		if first == 0 {
			if first = familyOf(dst); last != 0 {
				first = familyAny &^ last
			}
		}
		lane := 0
		if familyOf(dst) != first {
			lane = 1
		}
		lanes[lane] = append(lanes[lane], dst)
	}
	out := make([]netip.Addr, 0, len(list))
	for i := range max(len(lanes[0]), len(lanes[1])) {
		for _, lane := range lanes {
			if i < len(lane) {
				out = append(out, lane[i])
			}
		}
	}
	return append(out, lost...)
}

// oneByOne tries the addresses in the order of RFC 6724, each when the one before has
// failed: for UDP, where nobody answers a dial, and where the race was turned off. Each
// gets its share of the time that is left, at least two seconds, as in net.
func (r *eyeballs) oneByOne(ctx context.Context, transport string, answers <-chan lookupAnswer) (net.Conn, error) {
	all := r.d.Stack.gather(ctx, answers, r.lookups, r.name, &r.lookupFailed)
	for i, addr := range all {
		share, cancel := shareOf(ctx, len(all)-i)
		c, err := r.d.dialAddr(share, r.network, transport, netip.AddrPortFrom(addr, r.port))
		cancel()
		if r.ended(attempt{i, c, err}) != nil {
			return c, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, r.failure()
}

// minShare is what an attempt gets of the time at least, while there is as much.
const minShare = 2 * time.Second

// shareOf is ctx with the part of its time that the next of n attempts may take.
func shareOf(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	left := time.Until(deadline)
	return context.WithTimeout(ctx, min(left, max(left/time.Duration(n), minShare)))
}

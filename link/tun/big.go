package tun

import (
	"net/netip"
	"sync"
	"time"

	"github.com/a644562b/portico/link"
)

var _ link.BigSender = (*Device)(nil)

// maxBig is the longest TCP super-segment over IPv4 in bytes where the kernel does BIG TCP. (Eight
// connections with Writes of 128 KiB were 1.09 times as fast as with 64 KiB by 128 KiB, by 192
// KiB 1.22, as a Write with its headers fits then, and by 256 KiB 1.24.)
const maxBig = 192 << 10

// BigTo is maxBig where dst is the kernel's own address on the interface, if it does BIG TCP
// (Linux 6.6 and later, while Caps have TSO4). What it forwards is sent out by interfaces that
// take 64 KiB: longer ones it would have to cut into packets itself. While a packet socket gets what
// passes by the interface BigTo is 0, for tcpdump shows "bad-len 0" in place of such a
// super-segment. (A stack asks when a connection opens: those that are open go on.)
func (d *Device) BigTo(dst netip.Addr) int {
	const need = offloadTSO4 | offloadBig
	if d.big == nil || !dst.Is4() || offload(d.caps.Load())&need != need || d.big.get() != dst {
		return 0
	}
	return maxBig
}

// bigPeer is the address to which long super-segments may go, as it was at most bigPeerAge ago.
type bigPeer struct {
	look func() netip.Addr

	mu   sync.Mutex
	at   time.Time
	addr netip.Addr
}

// bigPeerAge is long beside what it takes to look, some microseconds, and short beside what
// lies between the start of tcpdump and that of what it is to show.
const bigPeerAge = 100 * time.Millisecond

func (p *bigPeer) get() netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Where there is none it may come any moment, before connections that live for long.
	if now := time.Now(); !p.addr.IsValid() || now.Sub(p.at) >= bigPeerAge {
		p.at, p.addr = now, p.look()
	}
	return p.addr
}

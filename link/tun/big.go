package tun

import (
	"net/netip"
	"sync"
	"time"

	"github.com/a644562b/portico/link"
)

var _ link.BigSender = (*Device)(nil)

// maxBig is the longest TCP super-segment over IPv4 in bytes where the kernel does BIG TCP. From
// 128 KiB on nothing was seen to get faster with Writes of that size.
const maxBig = 192 << 10

// BigTo is maxBig where dst is the kernel's own address on the interface, if it does BIG TCP
// (Linux 6.3 and later, while Caps have TSO4). What it forwards is sent out by interfaces that
// take 64 KiB: longer ones it would have to cut into packets itself.
func (d *Device) BigTo(dst netip.Addr) int {
	if d.host == nil || !dst.Is4() || offload(d.caps.Load())&offloadTSO4 == 0 || d.host.get() != dst {
		return 0
	}
	return maxBig
}

// hostAddr is the kernel's address on the interface, the first one of IPv4, as it was at most
// hostAddrAge ago.
type hostAddr struct {
	look func() netip.Addr

	mu   sync.Mutex
	at   time.Time
	addr netip.Addr
}

// hostAddrAge is short beside how long addresses stay, and long beside what it takes to ask.
const hostAddrAge = time.Second

func (h *hostAddr) get() netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	// Where there is none yet it may come any moment, before connections that live for long.
	if now := time.Now(); !h.addr.IsValid() || now.Sub(h.at) >= hostAddrAge {
		h.at, h.addr = now, h.look()
	}
	return h.addr
}

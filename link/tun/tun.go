// Package tun is the wire to a real kernel: a TUN interface as a link.Device.
//
// golang.zx2c4.com/wireguard/tun creates the interface and watches it. On Linux
// the frames themselves are read and written raw, each with the 10-byte
// virtio_net_hdr that carries its offload state (Virtual I/O Device 1.2, section
// 5.1.6), so that 64 KiB of TCP cross the border in one system call; each queue
// of the device is a queue of the TUN. TCP segments that the kernel did not join are
// joined as they are read (package gro). On the other systems frames go through
// wireguard's Device, one plain packet at a time, without offloads: a Read of its
// yields one packet and then waits, so there is never a second one to join.
//
// The package does not configure addresses or routes and does not bring the
// interface up: whoever owns the host does that. It looks into a frame only as
// far as the offload state and joining need it.
package tun

import (
	"fmt"
	"log/slog"
	"runtime"
)

// Bounds of Config.MTU in bytes. IPv4 wants 576 (RFC 791, section 3.1: what every
// host must accept); IPv6 does not run on a link of less than 1280 (RFC 8200,
// section 5), and a kernel turns it off on such an interface.
const (
	MinMTU     = 576
	MaxMTU     = 65535
	DefaultMTU = 1500
)

// MaxQueues is the largest Config.Queues; Linux knows no more on one TUN.
const MaxQueues = 256

// AutoQueues is a Config.Queues for a stack that uses several queues when it has use for them
// (stack.Config.SpreadAlways tells): one for each processor that Go may use, 4 at most. It is
// 1 where a TUN has no more.
func AutoQueues() int {
	if runtime.GOOS != "linux" {
		return 1
	}
	return min(runtime.GOMAXPROCS(0), 4)
}

// OffloadMode says whether super-segments and unfinished checksums may cross the
// border between the kernel and this process.
type OffloadMode uint8

const (
	// OffloadAuto uses what the kernel takes. What it refuses, at Open or later, is
	// done in software from then on; and on Linux TCP segments that come in the size of
	// the MTU are joined in software to super-segments. What is for the kernel's own sockets
	// may leave in super-segments of up to 192 KiB (BIG TCP), see Device.BigTo.
	OffloadAuto OffloadMode = iota
	// OffloadOn is OffloadAuto, but Open fails where the kernel refuses TCP
	// super-segments or there are no offloads at all.
	OffloadOn
	// OffloadOff moves packets of at most the MTU with complete checksums only, both
	// ways. Nothing is joined.
	OffloadOff
)

func (m OffloadMode) String() string {
	switch m {
	case OffloadAuto:
		return "auto"
	case OffloadOn:
		return "on"
	case OffloadOff:
		return "off"
	}
	return fmt.Sprintf("OffloadMode(%d)", uint8(m))
}

// Config describes the TUN to be made. The zero value is usable.
type Config struct {
	// Name of the interface. On Linux 1 to 15 bytes without white space, '/', ':' and
	// '%', and no interface may have it yet; on macOS utunN. Empty: the system, or
	// this package, picks one.
	Name string
	// MTU in bytes, MinMTU to MaxMTU; 0 means DefaultMTU. IPv6 needs at least 1280.
	MTU int
	// Queues is the number of lanes, 1 to MaxQueues; 0 means 1. More than one exists
	// on Linux only. They spread flows over readers and do nothing for one flow.
	Queues int
	// Offload is OffloadAuto unless said otherwise.
	Offload OffloadMode
	// NoBigTCP keeps TCP super-segments within what an IPv4 packet can be, also to the kernel's
	// own sockets: for a host with a filter that does not know a total length of 0. See
	// Device.BigTo.
	NoBigTCP bool
	// Logger hears, once for each, of offloads that fall away; nil for silence.
	Logger *slog.Logger
}

// Open creates the interface. It is down and has no address; an event tells when
// it is brought up. Close removes it.
//
// The errors name what to change: a name that is taken or invalid, an MTU out of
// range, a missing /dev/net/tun, a missing privilege.
func Open(cfg Config) (*Device, error) {
	if cfg.MTU == 0 {
		cfg.MTU = DefaultMTU
	}
	if cfg.Queues == 0 {
		cfg.Queues = 1
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return open(cfg)
}

func (cfg *Config) check() error {
	if cfg.MTU < MinMTU || cfg.MTU > MaxMTU {
		return fmt.Errorf("tun: MTU %d is out of range: choose %d to %d bytes (IPv6 needs 1280)", cfg.MTU, MinMTU, MaxMTU)
	}
	if cfg.Queues < 1 || cfg.Queues > MaxQueues {
		return fmt.Errorf("tun: %d queues are out of range: choose 1 to %d", cfg.Queues, MaxQueues)
	}
	if cfg.Offload > OffloadOff {
		return fmt.Errorf("tun: unknown offload mode %d: choose OffloadAuto, OffloadOn or OffloadOff", cfg.Offload)
	}
	return checkName(cfg.Name)
}

package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/a644562b/portico/cmd/portico/internal/host"
	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/link/tun"
	"github.com/spf13/cobra"
)

// prefixes is the value of a flag that may be given several times: addresses with their
// prefix lengths. What is given first replaces the default.
type prefixes struct {
	list    []netip.Prefix
	changed bool
}

func defaultPrefixes(list ...string) *prefixes {
	p := &prefixes{}
	for _, s := range list {
		p.list = append(p.list, netip.MustParsePrefix(s))
	}
	return p
}

func (p *prefixes) String() string {
	words := make([]string, len(p.list))
	for i, v := range p.list {
		words[i] = v.String()
	}
	return strings.Join(words, ",")
}

func (p *prefixes) Type() string { return "addr/bits" }

// none is what a flag of addresses takes for no address at all.
const none = "none"

func (p *prefixes) Set(s string) error {
	if !p.changed {
		p.list, p.changed = nil, true
	}
	if s == none {
		return nil
	}
	for item := range strings.SplitSeq(s, ",") {
		v, err := netip.ParsePrefix(strings.TrimSpace(item))
		if err != nil || v.Addr().Is4In6() {
			return fmt.Errorf("%q is not an address with its prefix length, as in 10.77.0.2/24", item)
		}
		p.list = append(p.list, v)
	}
	return nil
}

// keep4 drops the default IPv6 addresses on a machine without IPv6.
func (p *prefixes) keep4() {
	if p.changed {
		return
	}
	var v4 []netip.Prefix
	for _, v := range p.list {
		if v.Addr().Is4() {
			v4 = append(v4, v)
		}
	}
	p.list = v4
}

// netFlags are the flags of every command that makes a TUN.
type netFlags struct {
	tun      string
	addrs    *prefixes
	hosts    *prefixes
	mtu      int
	queues   string
	offloads string
	noBig    bool
	pcap     string
}

// addNetFlags gives cmd the flags of a TUN on the networks 10.N.0.0/24 and fdN::/64.
func addNetFlags(cmd *cobra.Command, name string, n int) *netFlags {
	f := &netFlags{
		addrs: defaultPrefixes(fmt.Sprintf("10.%d.0.2/24", n), fmt.Sprintf("fd%d::2/64", n)),
		hosts: defaultPrefixes(fmt.Sprintf("10.%d.0.1/24", n), fmt.Sprintf("fd%d::1/64", n)),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.tun, "tun", name, "`name` of the TUN interface to make; empty: the system picks one")
	fl.Var(f.addrs, "addr", "portico's own address with its prefix length; repeat for more")
	fl.Var(f.hosts, "host-addr", "the host's address on its side of the TUN; repeat for more; none: leave the host's side alone;\nwith --addr and without this: the first free one of each network of --addr")
	fl.IntVar(&f.mtu, "mtu", tun.DefaultMTU, "largest packet in `bytes`")
	fl.StringVar(&f.queues, "queues", "auto", "`number` of queues of the TUN that connections are spread over, each read on a core of its own;\nauto: one, and up to four while much data moves")
	fl.StringVar(&f.offloads, "offload", "auto", "super-segments across the TUN: auto, on or off")
	fl.BoolVar(&f.noBig, "no-big-tcp", false, "send no super-segments longer than an IPv4 packet can be to this host's own sockets:\nfor a packet filter that drops those whose total length is 0")
	fl.StringVar(&f.pcap, "pcap", "", "write every packet to `file` (pcapng)")
	return f
}

// config turns the flags into what node.Open takes.
func (f *netFlags) config(cmd *cobra.Command) (node.Config, error) {
	if !host.HasIPv6() {
		f.addrs.keep4()
		f.hosts.keep4()
	}
	if f.addrs.changed && !f.hosts.changed {
		var err error
		if f.hosts.list, err = hostsBeside(f.addrs.list); err != nil {
			return node.Config{}, usagef(cmd, "--addr %w", err)
		}
	}
	cfg := node.Config{
		TUN: f.tun, Addrs: f.addrs.list, HostAddrs: f.hosts.list, MTU: f.mtu,
	}
	modes := map[string]tun.OffloadMode{"auto": tun.OffloadAuto, "on": tun.OffloadOn, "off": tun.OffloadOff}
	mode, ok := modes[f.offloads]
	if !ok {
		return cfg, usagef(cmd, "--offload %q is none of auto, on, off", f.offloads)
	}
	cfg.Offload, cfg.NoBigTCP = mode, f.noBig
	if len(cfg.Addrs) == 0 {
		return cfg, usagef(cmd, "--addr is empty: give portico at least one address, as in --addr 10.77.0.2/24")
	}
	if f.mtu < tun.MinMTU || f.mtu > tun.MaxMTU {
		return cfg, usagef(cmd, "--mtu %d is out of range: choose %d to %d", f.mtu, tun.MinMTU, tun.MaxMTU)
	}
	if cfg.Queues, cfg.SpreadAlways, ok = parseQueues(f.queues); !ok {
		return cfg, usagef(cmd, "--queues %s is out of range: choose auto, or 1 to %d", f.queues, tun.MaxQueues)
	}
	return cfg, f.check(cmd)
}

// parseQueues returns how many queues the TUN is to have, and whether all are in use at any
// time.
func parseQueues(text string) (n int, always, ok bool) {
	if text == "auto" {
		return tun.AutoQueues(), false, true
	}
	n, err := strconv.Atoi(text)
	return n, true, err == nil && n >= 1 && n <= tun.MaxQueues
}

// minMTU6 is the least MTU of a link that carries IPv6 (RFC 8200, section 5).
const minMTU6 = 1280

// check refuses addresses that cannot work together.
func (f *netFlags) check(cmd *cobra.Command) error {
	seen := make(map[netip.Addr]string)
	for _, list := range []struct {
		flag string
		p    *prefixes
	}{{"--addr", f.addrs}, {"--host-addr", f.hosts}} {
		for _, p := range list.p.list {
			a := p.Addr()
			if a.Is6() && f.mtu < minMTU6 {
				return usagef(cmd, "--mtu %d is too small for the IPv6 address %s: choose %d or more, or only IPv4 addresses", f.mtu, a, minMTU6)
			}
			if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || isBroadcast(a, p.Masked()) {
				return usagef(cmd, "%s %s is not the address of a host: choose another", list.flag, p)
			}
			switch other := seen[a]; other {
			case "":
			case list.flag:
				return usagef(cmd, "%s %s is given twice", list.flag, a)
			default:
				return usagef(cmd, "%s %s is %s, too: portico and the host need an address each", list.flag, a, other)
			}
			seen[a] = list.flag
		}
	}
	return nil
}

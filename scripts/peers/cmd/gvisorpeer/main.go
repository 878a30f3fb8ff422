// Command gvisorpeer offers the services over gVisor's netstack on a TUN device.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"reflect"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/a644562b/portico/scripts/peers/internal/debughttp"
	"github.com/a644562b/portico/scripts/peers/internal/services"
)

var (
	flagTun    = flag.String("tun", "tun0", "TUN device name (created if missing)")
	flagAddr   = flag.String("addr", "10.77.0.2/24", "own address with prefix length")
	flagMTU    = flag.Int("mtu", 1500, "MTU, must match the kernel's side")
	flagMode   = flag.String("mode", "vnet", "link: fdbased | channel | wg | vnet")
	flagQueues = flag.Int("queues", 1, "TUN queues (fdbased, vnet)")
	flagProcs  = flag.Int("procs", 0, "fdbased: processor goroutines per queue (0: gVisor's choice)")
	flagGRO    = flag.Bool("gro", false, "gVisor GRO on inbound packets (fdbased, channel, wg)")
	flagGSO    = flag.Bool("gso", true, "gVisor software GSO on channel and wg; host GSO on vnet")
	flagRxsum  = flag.Bool("rxsum", true, "trust the kernel for inbound checksums (channel, wg, vnet)")
	flagQlen   = flag.Int("qlen", 4096, "channel, wg: outbound queue length in packets")
	flagCC     = flag.String("cc", "cubic", "congestion control: cubic | reno")
	flagSACK   = flag.Bool("sack", true, "SACK")
	flagRACK   = flag.Bool("rack", true, "RACK loss detection (gVisor's default)")
	flagModRcv = flag.Bool("moderate", true, "receive buffer autotuning")
	flagMaxBuf = flag.Int("maxbuf", 8<<20, "largest send and receive buffer")
	flagDefBuf = flag.Int("defbuf", 1<<20, "initial send and receive buffer")
	flagDebug  = flag.String("debug", "", "address of the pprof HTTP server (kernel side), none if empty")
)

func must(what string, err any) {
	if err != nil && !reflect.ValueOf(err).IsZero() {
		log.Fatalf("%s: %v", what, err)
	}
}

func main() {
	flag.Parse()
	prefix, err := netip.ParsePrefix(*flagAddr)
	must("addr", err)
	debughttp.Serve(*flagDebug)

	tcpFactory := tcp.NewProtocol
	if *flagCC == "cubic" {
		tcpFactory = tcp.NewProtocolCUBIC
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcpFactory, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		HandleLocal:        true,
	})
	sack := tcpip.TCPSACKEnabled(*flagSACK)
	must("sack", s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack))
	rec := tcpip.TCPRecovery(0)
	if *flagRACK {
		rec = tcpip.TCPRACKLossDetection
	}
	must("rack", s.SetTransportProtocolOption(tcp.ProtocolNumber, &rec))
	cc := tcpip.CongestionControlOption(*flagCC)
	must("cc", s.SetTransportProtocolOption(tcp.ProtocolNumber, &cc))
	mod := tcpip.TCPModerateReceiveBufferOption(*flagModRcv)
	must("moderate", s.SetTransportProtocolOption(tcp.ProtocolNumber, &mod))
	snd := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: *flagDefBuf, Max: *flagMaxBuf}
	must("sndbuf", s.SetTransportProtocolOption(tcp.ProtocolNumber, &snd))
	rcv := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: *flagDefBuf, Max: *flagMaxBuf}
	must("rcvbuf", s.SetTransportProtocolOption(tcp.ProtocolNumber, &rcv))

	var link stack.LinkEndpoint
	switch *flagMode {
	case "fdbased":
		link, err = newFDBased()
	case "channel":
		link, err = newChannel()
	case "wg":
		link, err = newWG()
	case "vnet":
		link, err = newVnet()
	default:
		log.Fatalf("unknown mode %q", *flagMode)
	}
	must("link", err)

	const nic = 1
	must("CreateNIC", s.CreateNIC(nic, link))
	pn := ipv4.ProtocolNumber
	if prefix.Addr().Is6() {
		pn = ipv6.ProtocolNumber
	}
	must("AddProtocolAddress", s.AddProtocolAddress(nic, tcpip.ProtocolAddress{
		Protocol: pn,
		AddressWithPrefix: tcpip.AddressWithPrefix{
			Address:   tcpip.AddrFromSlice(prefix.Addr().AsSlice()),
			PrefixLen: prefix.Bits(),
		},
	}, stack.AddressProperties{}))
	s.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nic},
		{Destination: header.IPv6EmptySubnet, NIC: nic},
	})

	services.Extra = func() map[string]any {
		t := s.Stats().TCP
		return map[string]any{
			"retransmits": t.Retransmits.Value(), "fast_retransmit": t.FastRetransmit.Value(),
			"timeouts": t.Timeouts.Value(), "sack_recovery": t.SACKRecovery.Value(),
			"segs_sent": t.SegmentsSent.Value(), "segs_rcvd": t.ValidSegmentsReceived.Value(),
			"send_errors": t.SegmentSendErrors.Value(), "checksum_errors": t.ChecksumErrors.Value(),
			"ip_rcvd": s.Stats().IP.PacketsReceived.Value(), "ip_malformed": s.Stats().IP.MalformedPacketsReceived.Value(),
			"nic_tx_drop": s.Stats().DroppedPackets.Value(), "out_dropped": outDropped.Load(),
			"listen_overflow_syn": t.ListenOverflowSynDrop.Value(), "listen_overflow_ack": t.ListenOverflowAckDrop.Value(),
		}
	}
	err = services.Start(func(port int) (net.Listener, error) {
		return gonet.ListenTCP(s, tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(prefix.Addr().AsSlice()), Port: uint16(port)}, pn)
	})
	must("services", err)
	fmt.Println("ready gvisor", *flagMode)
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT)
	<-ch
}

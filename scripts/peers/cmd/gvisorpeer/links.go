package main

import (
	"context"
	"log"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
	wgtun "golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/stack/gro"

	"github.com/a644562b/portico/scripts/peers/internal/rawtun"
)

// outDropped counts packets a link could not hand to the kernel.
var outDropped atomic.Int64

func openQueues(extra uint16) ([]int, error) {
	if *flagQueues > 1 {
		extra |= unix.IFF_MULTI_QUEUE
	}
	var fds []int
	for i := 0; i < *flagQueues; i++ {
		fd, err := rawtun.Open(*flagTun, extra)
		if err != nil {
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// newFDBased is gVisor's own link/fdbased on a plain TUN. The TUN's descriptor
// is not a socket, so fdbased falls back to readv and refuses GSO whatever the
// options say.
func newFDBased() (stack.LinkEndpoint, error) {
	fds, err := openQueues(0)
	if err != nil {
		return nil, err
	}
	return fdbased.New(&fdbased.Options{
		FDs:                  fds,
		MTU:                  uint32(*flagMTU),
		PacketDispatchMode:   fdbased.RecvMMsg,
		RXChecksumOffload:    *flagRxsum,
		GSOMaxSize:           65536,
		GVisorGSOEnabled:     *flagGSO,
		GRO:                  *flagGRO,
		ProcessorsPerChannel: *flagProcs,
	})
}

// inject hands inbound packets to a channel endpoint, through gVisor's GRO if
// asked for.
type inject struct {
	ep  *channel.Endpoint
	gro gro.GRO
}

func newInject(ep *channel.Endpoint) *inject {
	in := &inject{ep: ep}
	if *flagGRO {
		in.gro.Init(true)
		in.gro.Dispatcher = deliver{ep}
	}
	return in
}

// deliver makes an endpoint look like the stack.NetworkDispatcher that GRO needs.
type deliver struct{ ep *channel.Endpoint }

func (d deliver) DeliverNetworkPacket(p tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	d.ep.InjectInbound(p, pkt)
}
func (d deliver) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}

func (in *inject) packet(b []byte) {
	if len(b) == 0 {
		return
	}
	var proto tcpip.NetworkProtocolNumber
	switch b[0] >> 4 {
	case 4:
		proto = header.IPv4ProtocolNumber
	case 6:
		proto = header.IPv6ProtocolNumber
	default:
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	if *flagGRO {
		pkt.NetworkProtocolNumber = proto
		pkt.RXChecksumValidated = *flagRxsum
		in.gro.Enqueue(pkt)
	} else {
		in.ep.InjectInbound(proto, pkt)
	}
	pkt.DecRef()
}

func (in *inject) flush() {
	if *flagGRO {
		in.gro.Flush()
	}
}

func channelEndpoint() *channel.Endpoint {
	ep := channel.New(*flagQlen, uint32(*flagMTU), "")
	if *flagGSO {
		ep.SupportedGSOKind = stack.GVisorGSOSupported
	}
	if *flagRxsum {
		ep.LinkEPCapabilities |= stack.CapabilityRXChecksumOffload
	}
	return ep
}

// newChannel is the usual channel endpoint between netstack and a plain TUN:
// one read(2) and one write(2) for each packet.
func newChannel() (stack.LinkEndpoint, error) {
	fd, err := rawtun.Open(*flagTun, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "tun")
	ep := channelEndpoint()
	go func() {
		in := newInject(ep)
		buf := make([]byte, 1<<16)
		for {
			n, err := f.Read(buf)
			if err != nil {
				log.Fatalf("tun read: %v", err)
			}
			in.packet(buf[:n])
			in.flush()
		}
	}()
	go func() {
		var iov [][]byte
		for {
			pkt := ep.ReadContext(context.Background())
			if pkt == nil {
				return
			}
			iov = append(iov[:0], pkt.AsSlices()...)
			if _, err := unix.Writev(fd, iov); err != nil {
				outDropped.Add(1)
			}
			pkt.DecRef()
		}
	}()
	return ep, nil
}

// newWG uses wireguard-go's tun device (vnet header, kernel TSO split into MTU
// packets on read, GRO on write) with a channel endpoint, as wireguard-go's
// netstack does, but with batches in both directions.
func newWG() (stack.LinkEndpoint, error) {
	dev, err := wgtun.CreateTUN(*flagTun, *flagMTU)
	if err != nil {
		return nil, err
	}
	ep := channelEndpoint()
	batch := dev.BatchSize()
	go func() {
		in := newInject(ep)
		bufs := make([][]byte, batch)
		for i := range bufs {
			bufs[i] = make([]byte, 1<<16)
		}
		sizes := make([]int, batch)
		for {
			n, err := dev.Read(bufs, sizes, 0)
			for i := 0; i < n; i++ {
				in.packet(bufs[i][:sizes[i]])
			}
			in.flush()
			if err != nil && err != wgtun.ErrTooManySegments {
				log.Fatalf("tun read: %v", err)
			}
		}
	}()
	go func() {
		const off = 10 // virtio_net_hdr
		store := make([][]byte, batch)
		for i := range store {
			store[i] = make([]byte, off+1<<16)
		}
		bufs := make([][]byte, 0, batch)
		put := func(pkt *stack.PacketBuffer) {
			b := store[len(bufs)]
			n := off
			for _, s := range pkt.AsSlices() {
				n += copy(b[n:], s)
			}
			bufs = append(bufs, b[:n])
			pkt.DecRef()
		}
		for {
			pkt := ep.ReadContext(context.Background())
			if pkt == nil {
				return
			}
			put(pkt)
			for len(bufs) < batch {
				if pkt = ep.Read(); pkt == nil {
					break
				}
				put(pkt)
			}
			if _, err := dev.Write(bufs, off); err != nil {
				outDropped.Add(1)
			}
			bufs = bufs[:0]
		}
	}()
	return ep, nil
}

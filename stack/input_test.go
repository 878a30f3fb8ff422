package stack

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/tcp"
)

func ap(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// bothFamilies runs a test over IPv4 and IPv6.
func bothFamilies(t *testing.T, f func(t *testing.T, w *wire, client, server netip.Addr)) {
	t.Helper()
	for _, six := range []bool{false, true} {
		client, server := pairOf(six)
		t.Run(server.String(), func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) { f(t, w, client, server) })
		})
	}
}

func TestClosedTCPPortAnswersReset(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		from, to := ap(client, 1000), ap(server, 81)
		way := fmt.Sprintf("%v>%v TCP 81>1000 ", server, client)
		w.raw(tcpPacket(from, to, "S", 100, 0, ""))
		w.want(way + "RST,ACK seq 0 ack 101")
		w.raw(tcpPacket(from, to, "SF", 100, 0, "data"))
		w.want(way + "RST,ACK seq 0 ack 106")
		w.raw(tcpPacket(from, to, "A", 100, 7777, "data"))
		w.want(way + "RST seq 7777 ack 0")
		w.raw(tcpPacket(from, to, "R", 100, 0, ""))
		w.want()
		w.raw(tcpPacket(from, to, "RA", 100, 5, ""))
		w.want()
		if n := w.s.Stats().TCP.OutRsts; n != 3 {
			t.Errorf("%d resets counted", n)
		}
	})
}

func TestListenerAnswersByTheTableOfLISTEN(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		from, to := ap(client, 1000), ap(server, 80)
		w.raw(tcpPacket(from, to, "R", 100, 0, ""))
		w.want()
		w.raw(tcpPacket(from, to, "A", 100, 500, ""))
		w.want(fmt.Sprintf("%v>%v TCP 80>1000 RST seq 500 ack 0", server, client))
		w.raw(tcpPacket(from, to, "SA", 100, 500, ""))
		w.want(fmt.Sprintf("%v>%v TCP 80>1000 RST seq 500 ack 0", server, client))
		w.raw(tcpPacket(from, to, "F", 100, 0, "data"))
		w.want()
		w.raw(tcpPacket(from, to, "", 100, 0, "data"))
		w.want()
		noConns(t, w.s)
	})
}

func TestResetOfHandshakeLeavesNothing(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		from, to := ap(client4, 1000), ap(server4, 80)
		w.raw(tcpPacket(from, to, "S", 100, 0, ""))
		<-w.sent // the SYN,ACK
		if n := w.s.Listeners()[0].Handshakes; n != 1 {
			t.Fatalf("%d handshakes wait", n)
		}
		w.raw(tcpPacket(from, to, "R", 101, 0, ""))
		w.want()
		noConns(t, w.s)
		if n := w.s.Listeners()[0].Handshakes; n != 0 {
			t.Fatalf("%d handshakes wait after the reset", n)
		}
		l.Close()
	})
}

func TestHandshakeNobodyFinishesIsGivenUp(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		w.raw(tcpPacket(ap(client4, 1000), ap(server4, 80), "S", 100, 0, ""))
		<-time.After(10 * time.Minute)
		noConns(t, w.s)
		if n := len(w.sent); n != 1+5 { // R2SYNACK
			t.Errorf("%d SYN,ACKs were sent", n)
		}
	})
}

// TestSYNEndsTimeWaitAndReachesTheListener is MAY-2 of RFC 9293, section 3.6.1.
func TestSYNEndsTimeWaitAndReachesTheListener(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		from, to := ap(client4, 1000), ap(server4, 80)
		iss := w.handshake(from, to, 100)
		c := accept(t, l.(*Listener))
		c.Close()
		way := "10.77.0.2>10.77.0.1 TCP 80>1000 "
		w.want(way + fmt.Sprintf("FIN,ACK seq %d ack 101", iss+1))
		w.raw(tcpPacket(from, to, "FA", 101, iss+2, ""))
		w.want(way + fmt.Sprintf("ACK seq %d ack 102", iss+2))
		if st := w.s.Conns()[0].State; st != tcp.StateTimeWait {
			t.Fatalf("state %v", st)
		}
		old := c.ID().Serial
		w.raw(tcpPacket(from, to, "S", 5000, 0, ""))
		conns := w.s.Conns()
		if len(conns) != 1 || conns[0].State != tcp.StateSynReceived || conns[0].Serial == old {
			t.Fatalf("connections: %+v", conns)
		}
		if got := describe(t, <-w.sent); got[:len(way)+8] != way+"SYN,ACK " {
			t.Errorf("sent %s", got)
		}
		w.want()
	})
}

// handshake opens a connection from the wire and returns the stack's ISS.
func (w *wire) handshake(from, to netip.AddrPort, seq uint32) uint32 {
	w.t.Helper()
	w.raw(tcpPacket(from, to, "S", seq, 0, ""))
	p := gopacket.NewPacket(<-w.sent, layers.LayerTypeIPv4, gopacket.Default)
	h := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	w.raw(tcpPacket(from, to, "A", seq+1, h.Seq+1, ""))
	w.want()
	return h.Seq
}

func TestBadPacketsAreDroppedAndCounted(t *testing.T) {
	from, to := ap(client4, 1000), ap(server4, 80)
	syn := func() []byte { return tcpPacket(from, to, "S", 100, 0, "") }
	from6, to6 := ap(client6, 1000), ap(server6, 80)
	flip := func(b []byte, i int) []byte { b[i] ^= 1; return b }
	for _, test := range []struct {
		name, reason string
		counters     string // of what is wrong, in the names of SNMP
		packet       []byte
	}{
		{"nothing of a header", "ip_short", "IpInHdrErrors", []byte{0x45}},
		{"version 5", "ip_version", "", []byte{0x50, 0, 0, 0}},
		{"cut IPv4 header", "ip_short", "IpInHdrErrors", syn()[:19]},
		{"total length beyond the packet", "ip_length", "IpExtInTruncatedPkts", syn()[:30]},
		{"IPv4 header checksum", "ip_checksum", "IpInHdrErrors IpExtInCsumErrors", flip(syn(), 8)},
		{"TCP checksum", "tcp_checksum", "TcpInErrs TcpInCsumErrors", flip(syn(), 24)},
		{"TCP checksum over IPv6", "tcp_checksum", "TcpInErrs TcpInCsumErrors", flip(tcpPacket(from6, to6, "S", 1, 0, ""), 50)},
		{"IPv6 payload length", "ip_length", "Ip6InTruncatedPkts", tcpPacket(from6, to6, "S", 1, 0, "")[:50]},
		{"TCP header cut", "tcp_header", "TcpInErrs", packet(client4, server4, shortTCP{})},
		{"TCP source port 0", "tcp_port_zero", "TcpInErrs", tcpPacket(ap(client4, 0), to, "S", 1, 0, "")},
		{"TCP destination port 0", "tcp_port_zero", "TcpInErrs", tcpPacket(from, ap(server4, 0), "S", 1, 0, "")},
		{"another host", "not_for_us", "IpInAddrErrors", tcpPacket(from, ap(netip.MustParseAddr("10.77.0.3"), 80), "S", 1, 0, "")},
		{"another IPv6 host", "not_for_us", "Ip6InAddrErrors", tcpPacket(from6, ap(netip.MustParseAddr("fd77::3"), 80), "S", 1, 0, "")},
		{"multicast", "not_for_us", "UdpIgnoredMulti", udpPacket(from, ap(netip.MustParseAddr("224.0.0.1"), 80), "x")},
		{"TCP to broadcast", "not_for_us", "IpInAddrErrors", tcpPacket(from, ap(netip.MustParseAddr("10.77.0.255"), 80), "S", 1, 0, "")},
		{"our own source", "own_source", "IpInHdrErrors", tcpPacket(ap(server4, 1000), to, "S", 1, 0, "")},
		{"loopback source", "ip_bad_source", "IpInHdrErrors", tcpPacket(ap(netip.MustParseAddr("127.0.0.1"), 1000), to, "S", 1, 0, "")},
		{"loopback destination", "ip_bad_destination", "IpInAddrErrors", tcpPacket(from, ap(netip.MustParseAddr("127.0.0.1"), 80), "S", 1, 0, "")},
		{"IPv6 loopback destination", "ip_bad_destination", "Ip6InAddrErrors", tcpPacket(from6, ap(netip.IPv6Loopback(), 80), "S", 1, 0, "")},
		{"broadcast source", "ip_bad_source", "IpInHdrErrors", tcpPacket(ap(netip.MustParseAddr("10.77.0.255"), 1000), to, "S", 1, 0, "")},
		{"multicast source", "ip_bad_source", "IpInHdrErrors", tcpPacket(ap(netip.MustParseAddr("224.0.0.1"), 1000), to, "S", 1, 0, "")},
		{"UDP checksum", "udp_checksum", "UdpInErrors UdpInCsumErrors", flip(udpPacket(from, to, "x"), 28)},
		{"UDP length", "udp_length", "UdpInErrors", flip(udpPacket(from, to, ""), 25)},
		{"UDP to closed port by broadcast", "udp_closed_port", "UdpIgnoredMulti", udpPacket(from, ap(netip.MustParseAddr("10.77.0.255"), 9), "x")},
		{"ICMP checksum", "icmp_checksum", "IcmpInErrors IcmpInCsumErrors", flip(echoPacket(client4, server4, 1, 1, "x"), 28)},
		{"ICMP too short", "icmp_short", "IcmpInErrors", packet(client4, server4, shortICMP{})},
		{"echo reply nobody waits for", "icmp_ignored", "", packet(client4, server4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(0, 0)})},
		{"echo to broadcast", "not_for_us", "IpInAddrErrors", echoPacket(client4, netip.MustParseAddr("10.77.0.255"), 1, 1, "x")},
	} {
		t.Run(test.name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				l, err := w.s.Listen("tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				w.raw(test.packet)
				w.wantDrop(test.reason)
				if n := len(w.s.Stats().Drops); n != 1 {
					t.Errorf("reasons: %v", w.s.Stats().Drops)
				}
				st := w.s.Stats()
				if n := st.IP.InReceives + st.IP6.InReceives; st.Device.InFrames != 1 || n != 1 && test.reason != "ip_version" && test.reason != "ip_short" {
					t.Errorf("counted %d frames, %d packets", st.Device.InFrames, n)
				}
				if got := errorsOf(st); got != test.counters {
					t.Errorf("counted %s, want %s", got, test.counters)
				}
				if n := st.IP.InOctets + st.IP6.InOctets; n != uint64(len(test.packet)) && test.reason != "ip_version" {
					t.Errorf("counted %d bytes of %d", n, len(test.packet))
				}
			})
		})
	}
}

// errorsOf are the counters of what was wrong with packets, in their order.
func errorsOf(st Stats) string {
	var names []string
	for name, value := range st.All() {
		if value != 0 && badCounter.MatchString(name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

var badCounter = regexp.MustCompile(`^(Ip|Tcp|Udp|Icmp).*(Err|Truncated|Ignored|NoPorts|Discards|UnknownProtos|Fails|Timeout)`)

// shortTCP and shortICMP are payloads too short for their protocols.
type shortTCP struct{}

func (shortTCP) LayerType() gopacket.LayerType { return layers.LayerTypeTCP }
func (shortTCP) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	_, err := b.AppendBytes(19)
	return err
}

type shortICMP struct{}

func (shortICMP) LayerType() gopacket.LayerType { return layers.LayerTypeICMPv4 }
func (shortICMP) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	_, err := b.AppendBytes(3)
	return err
}

func TestUnknownProtocolIsUnreachable(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		w.raw(packet(client, server, unknown{}))
		what := "DestinationUnreachable(Protocol) 0/0 \"44 bytes\""
		if server.Is6() {
			what = "ParameterProblem(UnrecognizedNextHeader) \"68 bytes\""
		}
		w.want(fmt.Sprintf("%v>%v ICMP %s", server, client, what))
	})
}

// unknown is a protocol that nobody speaks.
type unknown struct{}

func (unknown) LayerType() gopacket.LayerType { return gopacket.LayerTypePayload }
func (unknown) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	_, err := b.AppendBytes(24)
	return err
}

func TestChecksumStateOfTheDeviceIsBelieved(t *testing.T) {
	for _, test := range []struct {
		state link.Checksum
		want  int
	}{{link.ChecksumNone, 0}, {link.ChecksumPartial, 1}, {link.ChecksumValid, 1}} {
		t.Run(fmt.Sprint(test.state), func(t *testing.T) {
			withWireOf(t, serverConfig(), pipe.Config{Caps: link.Caps{Checksum: true}}, func(t *testing.T, w *wire) {
				u, err := w.s.ListenPacket("udp", ":53")
				if err != nil {
					t.Fatal(err)
				}
				b := udpPacket(ap(client4, 1000), ap(server4, 53), "x")
				b[27] ^= 0xff // the checksum
				w.dev.Queues()[0].Write([]link.Frame{{Data: b, Offload: link.Offload{Checksum: test.state, ChecksumStart: 20, ChecksumOffset: 6}}})
				w.want()
				if got := u.(*UDPConn).queue.len(); got != test.want {
					t.Errorf("%d datagrams arrived, want %d", got, test.want)
				}
			})
		})
	}
}

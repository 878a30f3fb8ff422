package stack

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// counted are the counters of a stack whose names match a pattern and that are not 0.
func counted(s *Stack, patterns ...string) string {
	var lines []string
	for name, value := range s.Stats().All() {
		for _, p := range patterns {
			if ok, _ := path.Match(p, name); ok && value != 0 {
				lines = append(lines, fmt.Sprintf("%s %d", name, value))
			}
		}
	}
	return strings.Join(lines, ", ")
}

func wantCounted(t *testing.T, s *Stack, want string, patterns ...string) {
	t.Helper()
	if got := counted(s, patterns...); got != want {
		t.Errorf("counted\n%s\nwant\n%s", got, want)
	}
}

// What comes in pieces: put together, given up, refused.
func TestFragmentsAreCounted(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		group := "Ip"
		if server.Is6() {
			group = "Ip6"
		}
		datagram := udpPacket(ap(client, 1000), ap(server, 53), string(noise(4000)))
		for _, p := range fragmentsOf(datagram, 1, 1400) { // to a closed port
			w.raw(p)
		}
		late := fragmentsOf(datagram, 2, 1400)
		w.raw(late[0])
		bad := fragmentsOf(datagram, 3, 1400)
		w.raw(bad[0])
		w.raw(bad[0]) // a duplicate is none of the failures
		w.raw(fragmentsOf(datagram, 3, 800)[1])
		<-time.After(2 * time.Minute)
		want := "#ReasmTimeout 1, #ReasmReqds 7, #ReasmOKs 1, #ReasmFails 2"
		if server.Is4() {
			want += ", IpExtReasmOverlaps 1"
		}
		wantCounted(t, w.s, strings.ReplaceAll(want, "#", group), group+"Reasm*", "IpExtReasm*")
		deliver := strings.ReplaceAll("#InReceives 7, #InDelivers 1", "#", group)
		wantCounted(t, w.s, deliver, group+"InReceives", group+"InDelivers", group+"In*Errors", group+"InDiscards")
	})
}

// What is sent in pieces.
func TestCutDatagramsAreCounted(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		u, err := h.client.Dial("udp", "10.77.0.2:9")
		if err != nil {
			t.Fatal(err)
		}
		u.Write(noise(3000))
		u.Write(noise(10))
		synctest.Wait()
		wantCounted(t, h.client, "IpOutRequests 2, IpFragOKs 1, IpFragCreates 3, IpOutTransmits 4", "IpOut*", "IpFrag*")
		wantCounted(t, h.server, "IpInReceives 4, IpInDelivers 2, IpReasmReqds 3, IpReasmOKs 1", "IpInReceives", "IpReasm*", "IpInDelivers")
	})
}

func TestSuperSegmentsCountAsThePacketsOfTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHosts(t, clientConfig(), serverConfig(), pipe.Config{Caps: link.Caps{Checksum: true, TSO4: true, TSO6: true, USO: true}})
		defer h.close()
		p, err := h.server.ListenPacket("udp", ":7")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		u, err := h.client.Dial("udp", "10.77.0.2:7")
		if err != nil {
			t.Fatal(err)
		}
		m := UDPMessage{Buffers: [][]byte{noise(2500)}, Segment: 1000}
		if err := u.(*UDPConn).WriteMsg(&m); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		const octets = 2500 + 3*28
		wantCounted(t, h.client, fmt.Sprintf("IpOutRequests 3, IpOutTransmits 3, UdpOutDatagrams 3, IpExtOutOctets %d, PorticoOutFrames 1", octets),
			"IpOut*", "UdpOut*", "IpExtOut*", "PorticoOut*")
		wantCounted(t, h.server, fmt.Sprintf("IpInReceives 3, IpInDelivers 3, UdpInDatagrams 3, IpExtInOctets %d, PorticoInFrames 1", octets),
			"IpIn*", "UdpIn*", "IpExtIn*Octets", "PorticoIn*")
	})
}

// ICMP errors that are not sent, by whose limit it was.
func TestHeldBackErrorsAreCounted(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		for range 10 {
			w.raw(udpPacket(ap(client4, 1000), ap(server4, 9), "x"))
		}
		wantCounted(t, w.s, "IcmpOutMsgs 6, IcmpOutRateLimitHost 4, IcmpOutDestUnreachs 6", "IcmpOut*")
		wantCounted(t, w.s, "UdpNoPorts 10", "Udp[IN]*")
		for i := range 200 {
			from := netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + i)})
			w.raw(udpPacket(ap(from, 1000), ap(server4, 9), "x"))
		}
		st := w.s.Stats()
		if n := st.ICMP.OutRateLimitGlobal; n == 0 || n+st.ICMP.OutDestUnreachs+st.ICMP.OutRateLimitHost != 210 {
			t.Errorf("of 210 errors %d were sent, %d and %d held back", st.ICMP.OutDestUnreachs, st.ICMP.OutRateLimitHost, n)
		}
	})
}

func TestWhatNobodyTakesIsCounted(t *testing.T) {
	cfg := serverConfig()
	cfg.Backlog = 1
	cfg.Routes = []ip.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, {Prefix: netip.MustParsePrefix("192.0.2.0/24"), Kind: ip.RouteBlackhole}}
	withWire(t, cfg, func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		w.raw(packet(client4, server4, &layers.GRE{}))
		<-w.sent                                           // protocol unreachable
		w.handshake(ap(client4, 1000), ap(server4, 80), 1) // and nobody accepts it
		w.raw(tcpPacket(ap(client4, 1001), ap(server4, 80), "S", 1, 0, ""))
		if _, err := w.s.Dial("udp", "192.0.2.1:9"); err == nil {
			t.Error("a way into a blackhole")
		}
		w.raw(udpPacket(ap(netip.MustParseAddr("192.0.2.1"), 9), ap(server4, 9), "x"))
		wantCounted(t, w.s, "IpInUnknownProtos 1, IpOutNoRoutes 2, TcpPassiveOpens 1, TcpExtListenOverflows 1, TcpExtListenDrops 1",
			"IpInUnk*", "IpOutNo*", "Tcp*Opens", "TcpExtListen*")
	})
}

// refuser is a device that takes nothing.
type refuser struct{ link.Device }

func (r refuser) Queues() []link.Queue { return []link.Queue{refuserQueue{r.Device.Queues()[0]}} }

type refuserQueue struct{ link.Queue }

func (refuserQueue) Write([]link.Frame) (int, error) { return 0, syscall.ENOBUFS }

func TestWhatTheDeviceRefusesIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, near := pipe.New(pipe.Config{})
		s := newStack(t, refuser{near}, serverConfig())
		u, err := s.Dial("udp", "10.77.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		u.Write(noise(10))
		u.Write(noise(3000)) // three fragments
		wantCounted(t, s, "IpOutRequests 2, IpOutDiscards 4, IpFragOKs 1, IpFragCreates 3, PorticoDropTransmitRefused 4",
			"IpOut*", "IpFrag*", "PorticoDrop*", "PorticoOut*")
		balanced(t, s.Stats())
		s.Close()
		far.Close()
	})
}

// TCP's counters of what is sent again, and of the ends of connections, seen on the wire.
func TestConnectionsAreCounted(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		l, err := w.s.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		from, to := ap(client4, 1000), ap(server4, 80)
		iss := w.handshake(from, to, 100)
		c := accept(t, l.(*Listener))
		defer c.Close()
		wantCounted(t, w.s, "TcpPassiveOpens 1, TcpCurrEstab 1, TcpInSegs 2, TcpOutSegs 1, PorticoTcpConnections 1", "Tcp*", "PorticoTcp*")
		c.Write([]byte("hello"))
		<-time.After(time.Second) // the timeout of the first segment, more than once
		sent := len(w.sent)
		wantCounted(t, w.s, fmt.Sprintf("TcpOutSegs 2, TcpRetransSegs %d", sent-1), "TcpOutSegs", "TcpRetransSegs")
		w.raw(tcpPacket(from, to, "A", 101, iss+6, ""))
		w.raw(tcpPacket(from, to, "R", 101, 0, ""))
		wantCounted(t, w.s, "TcpPassiveOpens 1, TcpEstabResets 1, PorticoTcpInRsts 1",
			"Tcp*Opens", "TcpEstabResets", "TcpAttemptFails", "TcpCurrEstab", "TcpOutRsts", "PorticoTcp*")
		w.raw(tcpPacket(from, to, "A", 101, iss+6, "")) // nobody is there any more
		wantCounted(t, w.s, "TcpOutRsts 1, PorticoDropTcpClosedPort 1", "TcpOutRsts", "PorticoDropTcp*")
	})
}

// An error about what is not in flight is somebody's guess (RFC 5927, section 4.1).
func TestGuessedErrorsAreCounted(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		syn, result := w.dialing("10.77.0.1:80")
		w.raw(icmpError(3, 3, 0, altered(syn, 24)))
		wantCounted(t, w.s, "IcmpInMsgs 1, IcmpInDestUnreachs 1, IcmpMsgInType3 1, TcpExtOutOfWindowIcmps 1", "Icmp*", "TcpExtOutOf*")
		w.s.Close()
		<-result
	})
}

// Broadcasts and groups, both ways.
func TestWhatIsForManyIsCounted(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		p, err := h.client.ListenPacket("udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		u := p.(*UDPConn)
		u.SetBroadcast(true)
		if _, err := u.WriteToUDPAddrPort(noise(3000), netip.MustParseAddrPort("10.77.0.255:9")); err != nil { // three fragments
			t.Fatal(err)
		}
		for _, to := range []string{"10.77.0.255:9", "224.0.0.1:9", "[ff02::1]:9"} {
			if _, err := u.WriteToUDPAddrPort(noise(100), netip.MustParseAddrPort(to)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		wantCounted(t, h.server, "UdpIgnoredMulti 3, Ip6InMcastPkts 1, Ip6InMcastOctets 148, Udp6IgnoredMulti 1, "+
			"IpExtInMcastPkts 1, IpExtInMcastOctets 128, IpExtInBcastPkts 4, IpExtInBcastOctets 3196",
			"Ip*InMcast*", "Ip*InBcast*", "Udp*Ign*", "Udp*NoPorts", "Udp*InErrors", "Ip*In*Err*")
		if st := h.client.Stats(); st.IP.OutMcastPkts == 0 || st.IPExt.OutBcastPkts == 0 || st.IP6.OutMcastPkts == 0 {
			t.Errorf("sent: %s", counted(h.client, "*Out*"))
		}
	})
}

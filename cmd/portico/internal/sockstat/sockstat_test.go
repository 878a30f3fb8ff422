package sockstat

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/view"
	"github.com/a644562b/portico/tcp"
)

var any6 = netip.IPv6Unspecified()

func conn(state tcp.State, local, remote string) view.Connection {
	return view.Connection{Serial: 1, Info: view.NewInfo(tcp.Info{
		State: state, Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote),
		SndMSS: 1448, RcvMSS: 536, AdvMSS: 1460, PathMTU: 1500, SndWndShift: 7, RcvWndShift: 8, WindowScale: true, Timestamps: true, SACK: true,
		SRTT: 100 * time.Microsecond, RTTVar: 50 * time.Microsecond, MinRTT: 80 * time.Microsecond, RTO: 204 * time.Millisecond,
		ATO: 40 * time.Millisecond, RcvRTT: 1500 * time.Microsecond, RcvSpace: 29200, RecvBuffer: 1 << 20,
		Congestion: "newreno", Cwnd: 14480, Ssthresh: 2 * 1448, Flight: 1449, Outstanding: 2897, Sacked: 1448, Lost: 1, Resent: 1,
		SendQueue: 1500, UnsentQueue: 7, ReceiveQueue: 3, RcvWnd: 65535, SndWnd: 64256, Backoff: 1,
		BytesSent: 3000, BytesAcked: 1500, BytesReceived: 82, BytesRetrans: 10, SegmentsIn: 4, SegmentsOut: 5, DataSegsIn: 1, DataSegsOut: 3,
		RetransSegs: 2, Retransmits: 1, DSACKsIn: 1, Reorders: 4, OutOfOrderIn: 6, Timeouts: 3, TimeoutRuns: 2, TimedOut: 700 * time.Millisecond,
		LastDataSnd: 12 * time.Millisecond, LastDataRcv: -1, LastRcv: 3 * time.Millisecond,
		PacingRate: 1e6, DeliveryRate: 125000, AppLimited: true, Delivered: 1501, ECN: true, ECNSeen: true, FastOpen: true, DeliveredCE: 1000,
		Busy: 200 * time.Millisecond, WindowLimited: 50 * time.Millisecond, BufferLimited: 3 * time.Millisecond,
		Timer: "retransmit", Expires: 150 * time.Millisecond,
	})}
}

func sockets() view.Sockets {
	return view.Sockets{
		Connections: []view.Connection{
			conn(tcp.StateEstablished, "10.77.0.2:80", "10.77.0.1:40112"),
			conn(tcp.StateSynReceived, "[fd77::2]:80", "[fd77::1]:40113"),
			conn(tcp.StateTimeWait, "10.77.0.2:8080", "10.77.0.1:40114"),
		},
		Listeners: []view.Listener{{Local: netip.AddrPortFrom(any6, 80), Queued: 2, Backlog: 4096}},
		Packets: []view.PacketSocket{
			{Local: netip.AddrPortFrom(any6, 7), Queued: 12},
			{Local: netip.MustParseAddrPort("10.77.0.2:5000"), Remote: netip.MustParseAddrPort("10.77.0.1:53")},
		},
	}
}

func TestTableIsThatOfSS(t *testing.T) {
	const info = "\t ts sack ecn ecnseen fastopen newreno wscale:7,8 rto:204 backoff:1 rtt:0.1/0.05 ato:40 mss:1448 pmtu:1500 rcvmss:536 advmss:1448" +
		" cwnd:10 ssthresh:2 bytes_sent:3000 bytes_retrans:10 bytes_acked:1500 bytes_received:82 segs_out:5 segs_in:4" +
		" data_segs_out:3 data_segs_in:1 send 1158400000bps lastsnd:12 lastack:3 pacing_rate 8000000bps delivery_rate 1000000bps" +
		" delivered:2 delivered_ce:1 app_limited busy:200ms rwnd_limited:50ms(25.0%) sndbuf_limited:3ms(1.5%) unacked:3 retrans:1/2" +
		" lost:1 sacked:1 dsack_dups:1 reord_seen:4 rcv_rtt:1.5 rcv_space:29200 rcv_ssthresh:1048576 notsent:7 minrtt:0.08" +
		" rcv_ooopack:6 snd_wnd:64256 rcv_wnd:65535 total_rto:3/2 total_rto_time:700 timer:(retransmit,150ms)\n"
	for name, c := range map[string]struct {
		filter Filter
		want   string
	}{
		"connected by default": {Filter{}, "" +
			"Netid State      Recv-Q Send-Q Local Address:Port Peer Address:Port\n" +
			"udp   ESTAB      0      0          10.77.0.2:5000    10.77.0.1:53\n" +
			"tcp   ESTAB      3      1500       10.77.0.2:http    10.77.0.1:40112\n"},
		"-lnt": {Filter{Listening: true, Numeric: true, TCP: true}, "" +
			"Netid State      Recv-Q Send-Q Local Address:Port Peer Address:Port\n" +
			"tcp   LISTEN     2      4096               *:80              *:*\n"},
		"-lu": {Filter{Listening: true, UDP: true}, "" +
			"Netid State      Recv-Q Send-Q Local Address:Port Peer Address:Port\n" +
			"udp   UNCONN     12     0                  *:echo            *:*\n"},
		"-atn": {Filter{All: true, TCP: true, Numeric: true}, "" +
			"Netid State      Recv-Q Send-Q Local Address:Port Peer Address:Port\n" +
			"tcp   LISTEN     2      4096               *:80              *:*\n" +
			"tcp   ESTAB      3      1500       10.77.0.2:80      10.77.0.1:40112\n" +
			"tcp   SYN-RECV   3      1500       [fd77::2]:80      [fd77::1]:40113\n" +
			"tcp   TIME-WAIT  3      1500       10.77.0.2:8080    10.77.0.1:40114\n"},
		"-tni": {Filter{TCP: true, Numeric: true, Internals: true}, "" +
			"Netid State      Recv-Q Send-Q Local Address:Port Peer Address:Port\n" +
			"tcp   ESTAB      3      1500       10.77.0.2:80      10.77.0.1:40112\n" + info},
	} {
		var got bytes.Buffer
		if err := Write(&got, sockets(), c.filter); err != nil {
			t.Fatal(err)
		}
		if got.String() != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got.String(), c.want)
		}
	}
}

func TestColumnsWidenForLongAddresses(t *testing.T) {
	all := view.Sockets{Connections: []view.Connection{
		conn(tcp.StateEstablished, "[2001:db8:1111:2222:3333:4444:5555:6666]:65535", "[2001:db8:1111:2222:3333:4444:5555:7777]:65535"),
		conn(tcp.StateEstablished, "10.77.0.2:80", "10.77.0.1:1"),
	}}
	var got bytes.Buffer
	if err := Write(&got, all, Filter{Numeric: true}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(got.String()), "\n")
	column := strings.LastIndex(lines[0], ":")
	for _, line := range lines[1:] {
		if strings.LastIndex(line, ":") != column {
			t.Errorf("the peer's port is not in the column of its heading:\n%s", got.String())
		}
	}
}

// TestZonesAreWhereSSHasThem: behind the local address, and nowhere else. ss of iproute2 6.1 wrote
// the same of sockets of the kernel, but for the wildcard of UDP.
func TestZonesAreWhereSSHasThem(t *testing.T) {
	all := view.Sockets{
		Connections: []view.Connection{conn(tcp.StateEstablished, "[fe80::77%du0]:8080", "[fe80::77%du0]:36982")},
		Listeners:   []view.Listener{{Local: netip.MustParseAddrPort("[fe80::77%du0]:8080")}},
		Packets: []view.PacketSocket{{Local: netip.MustParseAddrPort("[fe80::77%du0]:49172"),
			Remote: netip.MustParseAddrPort("[fe80::78%du0]:5353")}},
	}
	const want = "" +
		"Netid State      Recv-Q Send-Q  Local Address:Port  Peer Address:Port\n" +
		"udp   ESTAB      0      0      [fe80::77]%du0:49172   [fe80::78]:5353\n" +
		"tcp   LISTEN     0      0      [fe80::77]%du0:8080             *:*\n" +
		"tcp   ESTAB      3      1500   [fe80::77]%du0:8080    [fe80::77]:36982\n"
	var got bytes.Buffer
	if err := Write(&got, all, Filter{All: true, Numeric: true}); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestStateOfNoConnectionIsWithoutName(t *testing.T) {
	for s := tcp.StateSynSent; s <= tcp.StateTimeWait; s++ {
		if names[s.String()] == "" {
			t.Errorf("%s has no name in ss", s)
		}
	}
}

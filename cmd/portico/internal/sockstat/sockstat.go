// Package sockstat writes lists of sockets in the manner of ss(8): the same columns,
// the same names of states, the same second line of internals, so that what people
// know of the kernel's sockets they know of portico's.
//
// It does not ask anybody for them; it only formats.
package sockstat

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/view"
	"github.com/a644562b/portico/tcp"
)

// Filter says which sockets and how much of each.
type Filter struct {
	TCP, UDP bool // neither means both
	// Listening: only those that wait for a peer. All: these and every other. Neither:
	// those that have a peer, without TIME-WAIT and half-open ones.
	Listening, All bool
	Numeric        bool // ports as numbers
	Internals      bool // a second line with what TCP knows
}

// names are those of ss(8).
var names = map[string]string{
	tcp.StateClosed.String():      "CLOSED",
	tcp.StateSynSent.String():     "SYN-SENT",
	tcp.StateSynReceived.String(): "SYN-RECV",
	tcp.StateEstablished.String(): "ESTAB",
	tcp.StateFinWait1.String():    "FIN-WAIT-1",
	tcp.StateFinWait2.String():    "FIN-WAIT-2",
	tcp.StateCloseWait.String():   "CLOSE-WAIT",
	tcp.StateClosing.String():     "CLOSING",
	tcp.StateLastAck.String():     "LAST-ACK",
	tcp.StateTimeWait.String():    "TIME-WAIT",
}

// connected reports whether a connection in this state is among those that ss shows
// without being asked for all.
func connected(state string) bool {
	switch state {
	case tcp.StateClosed.String(), tcp.StateSynReceived.String(), tcp.StateTimeWait.String():
		return false
	}
	return true
}

// Select returns the sockets that the filter lets through.
func (f Filter) Select(all view.Sockets) view.Sockets {
	wantTCP, wantUDP := f.TCP || !f.UDP, f.UDP || !f.TCP
	sel := view.Sockets{Connections: []view.Connection{}, Listeners: []view.Listener{}, Packets: []view.PacketSocket{}}
	if wantTCP && (f.All || f.Listening) {
		sel.Listeners = append(sel.Listeners, all.Listeners...)
	}
	for _, c := range all.Connections {
		if wantTCP && (f.All || !f.Listening && connected(c.State)) {
			sel.Connections = append(sel.Connections, c)
		}
	}
	for _, p := range all.Packets {
		if wantUDP && (f.All || f.Listening != p.Remote.IsValid()) {
			sel.Packets = append(sel.Packets, p)
		}
	}
	return sel
}

// line is one row of the table.
type line struct {
	netid, state string
	recvQ, sendQ int
	local, peer  string
	internals    string
}

// Write prints the sockets that the filter lets through, with a heading.
func Write(w io.Writer, all view.Sockets, f Filter) error {
	sel := f.Select(all)
	var lines []line
	for _, p := range sel.Packets {
		state := "UNCONN"
		if p.Remote.IsValid() {
			state = "ESTAB"
		}
		lines = append(lines, line{"udp", state, p.Queued, 0, f.address(p.Local, "udp"), f.peer(p.Remote, "udp"), ""})
	}
	for _, l := range sel.Listeners {
		lines = append(lines, line{"tcp", "LISTEN", l.Queued, l.Backlog, f.address(l.Local, "tcp"), f.peer(netip.AddrPort{}, "tcp"), ""})
	}
	for i := range sel.Connections {
		c := &sel.Connections[i]
		lines = append(lines, line{"tcp", names[c.State], c.ReceiveQueue, c.SendQueue,
			f.address(c.Local, "tcp"), f.peer(c.Remote, "tcp"), Internals(&c.Info)})
	}
	return f.table(w, lines)
}

// table aligns the lines. Addresses are set against their right end, so that the
// ports stand in one column.
func (f Filter) table(w io.Writer, lines []line) error {
	const localHead, peerHead = "Local Address:Port", "Peer Address:Port"
	localHost, localPort := split(localHead)
	peerHost, peerPort := split(peerHead)
	lh, lp, ph := len(localHost), len(localPort), len(peerHost)
	for _, l := range lines {
		h, p := split(l.local)
		lh, lp = max(lh, len(h)), max(lp, len(p))
		h, _ = split(l.peer)
		ph = max(ph, len(h))
	}
	out := bufio.NewWriter(w)
	row := func(netid, state, recvQ, sendQ, localHost, localPort, peerHost, peerPort string) {
		s := fmt.Sprintf("%-5s %-10s %-6s %-6s %*s:%-*s %*s:%s", netid, state, recvQ, sendQ,
			lh, localHost, lp, localPort, ph, peerHost, peerPort)
		fmt.Fprintln(out, strings.TrimRight(s, " "))
	}
	row("Netid", "State", "Recv-Q", "Send-Q", localHost, localPort, peerHost, peerPort)
	for _, l := range lines {
		h, p := split(l.local)
		rh, rp := split(l.peer)
		row(l.netid, l.state, strconv.Itoa(l.recvQ), strconv.Itoa(l.sendQ), h, p, rh, rp)
		if f.Internals && l.internals != "" {
			fmt.Fprintf(out, "\t %s\n", l.internals)
		}
	}
	return out.Flush()
}

// split cuts an address:port at the last colon.
func split(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	return s[:i], s[i+1:]
}

// ports are the names of the services that the daemon knows how to serve, and of
// https, by the lists of IANA.
var ports = map[uint16]string{7: "echo", 9: "discard", 13: "daytime", 19: "chargen", 80: "http", 443: "https"}

func (f Filter) port(n uint16) string {
	if name, ok := ports[n]; ok && !f.Numeric {
		return name
	}
	return strconv.Itoa(int(n))
}

// address writes a local address. A wildcard of both families is "*", as in ss.
func (f Filter) address(a netip.AddrPort, _ string) string {
	switch {
	case !a.Addr().IsValid() || a.Addr() == netip.IPv6Unspecified():
		return "*:" + f.port(a.Port())
	case a.Addr().Is6():
		return "[" + a.Addr().String() + "]:" + f.port(a.Port())
	}
	return a.Addr().String() + ":" + f.port(a.Port())
}

func (f Filter) peer(a netip.AddrPort, network string) string {
	if !a.IsValid() {
		return "*:*"
	}
	return f.address(a, network)
}

// Internals is what TCP knows of a connection, in the words of ss -i: times in
// milliseconds, windows in segments as there, sizes in bytes.
func Internals(i *view.Info) string {
	var w []string
	add := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	if i.Timestamps {
		add("ts")
	}
	if i.SACK {
		add("sack")
	}
	add("%s", i.Congestion)
	if i.WindowScale {
		add("wscale:%d,%d", i.SndWndShift, i.RcvWndShift)
	}
	add("rto:%s", ms(i.RTO))
	if i.SRTT > 0 {
		add("rtt:%s/%s", ms(i.SRTT), ms(i.RTTVar))
	}
	add("mss:%d", i.SndMSS)
	add("rcvmss:%d", i.RcvMSS)
	mss := max(1, i.SndMSS)
	add("cwnd:%d", i.Cwnd/mss)
	if i.Ssthresh < tcp.MaxWindow {
		add("ssthresh:%d", i.Ssthresh/mss)
	}
	count := func(name string, n uint64) {
		if n > 0 {
			add("%s:%d", name, n)
		}
	}
	count("bytes_sent", i.BytesSent)
	count("bytes_retrans", i.BytesRetrans)
	count("bytes_acked", i.BytesAcked)
	count("bytes_received", i.BytesReceived)
	count("segs_out", i.SegmentsOut)
	count("segs_in", i.SegmentsIn)
	add("lastsnd:%d", i.LastSnd.Milliseconds())
	add("lastrcv:%d", i.LastRcv.Milliseconds())
	count("unacked", uint64(max(0, i.Flight+mss-1)/mss))
	if i.RetransSegs > 0 {
		add("retrans:%d/%d", i.Retransmits, i.RetransSegs)
	}
	count("reord_in", i.OutOfOrderIn)
	add("rcv_wnd:%d", i.RcvWnd)
	add("snd_wnd:%d", i.SndWnd)
	if i.MinRTT > 0 {
		add("minrtt:%s", ms(i.MinRTT))
	}
	if i.Timer != "" {
		add("timer:(%s,%sms)", i.Timer, ms(i.Expires))
	}
	return strings.Join(w, " ")
}

// ms writes a time in milliseconds as ss does: to three places, without zeros at the
// end.
func ms(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Round(time.Microsecond))/1e6, 'f', -1, 64)
}

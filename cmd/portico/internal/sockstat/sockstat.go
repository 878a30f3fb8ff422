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
		lines = append(lines, line{"udp", state, p.Queued, 0, f.local(p.Local), f.peer(p.Remote), ""})
	}
	for _, l := range sel.Listeners {
		lines = append(lines, line{"tcp", "LISTEN", l.Queued, l.Backlog, f.local(l.Local), f.peer(netip.AddrPort{}), ""})
	}
	for i := range sel.Connections {
		c := &sel.Connections[i]
		lines = append(lines, line{"tcp", names[c.State], c.ReceiveQueue, c.SendQueue,
			f.local(c.Local), f.peer(c.Remote), Internals(&c.Info)})
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

// local writes a local address. A wildcard of both families is "*", and the zone stands behind
// the brackets, as in ss.
func (f Filter) local(a netip.AddrPort) string {
	if !a.Addr().IsValid() || a.Addr() == netip.IPv6Unspecified() {
		return "*:" + f.port(a.Port())
	}
	zone := a.Addr().Zone()
	if zone != "" {
		zone = "%" + zone
	}
	return host(a.Addr()) + zone + ":" + f.port(a.Port())
}

// peer writes the address of a peer, without its zone, as ss does: it is that of the local one.
func (f Filter) peer(a netip.AddrPort) string {
	if !a.IsValid() {
		return "*:*"
	}
	return host(a.Addr()) + ":" + f.port(a.Port())
}

// host writes an address without its zone.
func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.WithZone("").String() + "]"
	}
	return a.String()
}

// Internals is what TCP knows of a connection, in the words and the order of ss -i: times
// in milliseconds, what is under way in segments as there, other sizes in bytes. What has
// not happened is left out. The last word, timer, is what ss -o tells.
func Internals(i *view.Info) string {
	var w words
	w.agreed(i)
	w.windows(i)
	w.counters(i)
	w.rates(i)
	w.flight(i)
	w.receiver(i)
	if i.Timer != "" {
		w.add("timer:(%s,%sms)", i.Timer, ms(i.Expires))
	}
	return strings.Join(w, " ")
}

// words are those of one line.
type words []string

func (w *words) add(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

// flag adds a name if it holds, count one with a number that is not 0, span one with a time.
func (w *words) flag(name string, on bool) {
	if on {
		w.add("%s", name)
	}
}

func (w *words) count(name string, n uint64) {
	if n > 0 {
		w.add("%s:%d", name, n)
	}
}

func (w *words) span(name string, d time.Duration) {
	if d > 0 {
		w.add("%s:%s", name, ms(d))
	}
}

// agreed is what the handshake has agreed upon.
func (w *words) agreed(i *view.Info) {
	w.flag("ts", i.Timestamps)
	w.flag("sack", i.SACK)
	w.flag("ecn", i.ECN)
	w.flag("ecnseen", i.ECNSeen)
	w.flag("fastopen", i.FastOpen)
	if i.Congestion != "" {
		w.add("%s", i.Congestion)
	}
	if i.WindowScale {
		w.add("wscale:%d,%d", i.SndWndShift, i.RcvWndShift)
	}
}

// windows are the timers, the sizes of segments and the congestion window.
func (w *words) windows(i *view.Info) {
	w.span("rto", i.RTO)
	w.count("backoff", uint64(i.Backoff))
	if i.SRTT > 0 {
		w.add("rtt:%s/%s", ms(i.SRTT), ms(i.RTTVar))
	}
	w.span("ato", i.ATO)
	w.add("mss:%d", i.SndMSS)
	w.add("pmtu:%d", i.PathMTU)
	w.add("rcvmss:%d", i.RcvMSS)
	advMSS := i.AdvMSS
	if i.Timestamps {
		advMSS -= 12 // as Linux has it: without the option of every segment
	}
	w.add("advmss:%d", advMSS)
	w.count("cwnd", segments(i, i.Cwnd))
	if i.Ssthresh < tcp.MaxWindow {
		w.count("ssthresh", segments(i, i.Ssthresh))
	}
}

func (w *words) counters(i *view.Info) {
	w.count("bytes_sent", i.BytesSent)
	w.count("bytes_retrans", i.BytesRetrans)
	w.count("bytes_acked", i.BytesAcked)
	w.count("bytes_received", i.BytesReceived)
	w.count("segs_out", i.SegmentsOut)
	w.count("segs_in", i.SegmentsIn)
	w.count("data_segs_out", i.DataSegsOut)
	w.count("data_segs_in", i.DataSegsIn)
}

// rates are how fast, since when, and what the sender has spent its time on.
func (w *words) rates(i *view.Info) {
	if i.SRTT > 0 && i.Cwnd > 0 {
		w.add("send %s", bps(float64(i.Cwnd)/i.SRTT.Seconds()))
	}
	for _, age := range []struct {
		name string
		d    time.Duration
	}{{"lastsnd", i.LastDataSnd}, {"lastrcv", i.LastDataRcv}, {"lastack", i.LastRcv}} {
		if age.d >= time.Millisecond {
			w.add("%s:%d", age.name, age.d.Milliseconds())
		}
	}
	if i.PacingRate > 0 {
		w.add("pacing_rate %s", bps(i.PacingRate))
	}
	if i.DeliveryRate > 0 {
		w.add("delivery_rate %s", bps(i.DeliveryRate))
	}
	w.count("delivered", segments(i, int(i.Delivered)))
	w.count("delivered_ce", segments(i, int(i.DeliveredCE)))
	w.flag("app_limited", i.AppLimited)
	if busy := i.Busy.Milliseconds(); busy > 0 {
		w.add("busy:%dms", busy)
		w.share("rwnd_limited", i.WindowLimited, i.Busy)
		w.share("sndbuf_limited", i.BufferLimited, i.Busy)
	}
}

// share adds a part of a time and how much of the whole it is.
func (w *words) share(name string, part, whole time.Duration) {
	if part >= time.Millisecond {
		w.add("%s:%dms(%.1f%%)", name, part.Milliseconds(), 100*float64(part)/float64(whole))
	}
}

// flight is what has been sent and is not acknowledged, and what was repaired.
func (w *words) flight(i *view.Info) {
	w.count("unacked", segments(i, i.Outstanding))
	if i.RetransSegs > 0 {
		w.add("retrans:%d/%d", segments(i, i.Resent), i.RetransSegs)
	}
	w.count("lost", segments(i, i.Lost))
	w.count("sacked", segments(i, i.Sacked))
	w.count("dsack_dups", i.DSACKsIn)
	w.count("reord_seen", i.Reorders)
}

// receiver is what we know as the receiver, and both windows.
func (w *words) receiver(i *view.Info) {
	w.span("rcv_rtt", i.RcvRTT)
	w.count("rcv_space", uint64(i.RcvSpace))
	w.count("rcv_ssthresh", uint64(i.RecvBuffer))
	w.count("notsent", uint64(i.UnsentQueue))
	w.span("minrtt", i.MinRTT)
	w.count("rcv_ooopack", i.OutOfOrderIn)
	w.count("snd_wnd", uint64(i.SndWnd))
	w.count("rcv_wnd", uint64(i.RcvWnd))
	if i.Timeouts > 0 {
		// ss does not print tcpi_total_rto and what belongs to it.
		w.add("total_rto:%d/%d", i.Timeouts, i.TimeoutRuns)
		w.span("total_rto_time", i.TimedOut)
	}
}

// segments is how many of our segments n bytes are.
func segments(i *view.Info, n int) uint64 {
	mss := max(1, i.SndMSS)
	return uint64((n + mss - 1) / mss)
}

// bps writes a rate of bytes per second as ss does, in bits.
func bps(rate float64) string { return strconv.FormatFloat(8*rate, 'f', 0, 64) + "bps" }

// ms writes a time in milliseconds as ss does: to three places, without zeros at the
// end.
func ms(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Round(time.Microsecond))/1e6, 'f', -1, 64)
}

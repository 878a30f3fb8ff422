package main

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"

	"github.com/a644562b/portico/stack"
	"github.com/a644562b/portico/tcp"

	"github.com/a644562b/portico/scripts/peers/internal/sample"
)

// counts are the counters of all connections of a host: those of connections that the
// services have closed are kept here.
type counts struct {
	host *stack.Stack

	mu     sync.Mutex
	closed tally
}

// tally is a sum over connections.
type tally struct {
	segsIn, segsOut, retransmits, timeouts, recoveries uint64
	probes, undos, dsacks, outOfOrder, duplicates      uint64
}

func (t *tally) add(i *tcp.Info) {
	t.segsIn += i.SegmentsIn
	t.segsOut += i.SegmentsOut
	t.retransmits += i.RetransSegs
	t.timeouts += i.Timeouts
	t.recoveries += i.FastRecovery
	t.probes += i.TailProbes
	t.undos += i.Undos
	t.dsacks += i.DSACKsIn
	t.outOfOrder += i.OutOfOrderIn
	t.duplicates += i.DuplicateIn
}

// extra is what /stats shows besides the services' counters.
func (c *counts) extra() map[string]any {
	c.mu.Lock()
	sum := c.closed
	c.mu.Unlock()
	for _, info := range c.host.Conns() {
		if !info.Orphan { // those are in closed
			sum.add(&info.Info)
		}
	}
	st := c.host.Stats()
	out := map[string]any{
		"segs_in": sum.segsIn, "segs_out": sum.segsOut,
		"retransmits": sum.retransmits, "timeouts": sum.timeouts, "recoveries": sum.recoveries,
		"tail_probes": sum.probes, "undos": sum.undos, "dsacks_in": sum.dsacks,
		"out_of_order_in": sum.outOfOrder, "duplicates_in": sum.duplicates,
		"frames_in": st.Device.InFrames, "frames_out": st.Device.OutFrames,
		"checksum_errors": st.IPExt.InCsumErrors + st.ICMP.InCsumErrors + st.ICMP6.InCsumErrors +
			st.TCP.InCsumErrors + st.UDP.InCsumErrors + st.UDP6.InCsumErrors,
	}
	for reason, n := range st.Drops {
		out["drop_"+reason] = n
	}
	return out
}

// listener counts what the connections of l did when they are closed.
func (c *counts) listener(l net.Listener) net.Listener { return &listener{l, c} }

type listener struct {
	net.Listener
	counts *counts
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c.(*stack.Conn), counts: l.counts}, nil
}

type conn struct {
	*stack.Conn
	counts *counts
	once   sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() {
		info := c.Info()
		c.counts.mu.Lock()
		c.counts.closed.add(&info)
		c.counts.mu.Unlock()
	})
	return c.Conn.Close()
}

// Look is for sample: the window in segments as the kernel counts it.
func (c *conn) Look() sample.Look {
	info := c.Info()
	mss := float64(max(1, info.SndMSS))
	return sample.Look{Window: float64(info.Cwnd) / mss, Flight: float64(info.SndNxt.Sub(info.SndUna)) / mss, RTT: info.SRTT}
}

// serveConns offers the Info of every connection at /conns of the debug server, in the
// manner of ss.
func serveConns(host *stack.Stack) {
	http.HandleFunc("/conns", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(host.Conns())
	})
}

// Command load is the client of a measurement: a plain program on kernel sockets that
// uses a peer's services in one way (--mode), checks bytes and counts on both ends, and
// prints one line of JSON (internal/result).
//
//	upload    to the sink until the time is over; ends when the sink has read the last byte
//	download  from the source until the time is over
//	small     likewise, and the source writes 64 bytes at a time: its Writes are counted
//	rr        requests and answers of --size bytes on open connections, by the echo
//	crr       connect, one request and answer, close
//	http      GET of 13 bytes with keep-alive
//	idle      open connections, hold them, and see what memory they take
//	verify    --size MiB each way at the same time through the echo, every byte compared
//	ready     wait until the peer answers; prints nothing
//	quiet     wait until nothing else uses the machine; prints nothing
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/a644562b/portico/scripts/peers/internal/hist"
	"github.com/a644562b/portico/scripts/peers/internal/result"
	"github.com/a644562b/portico/scripts/peers/internal/services"
)

var (
	mode    = flag.String("mode", "upload", "what to do: see the package comment")
	addr    = flag.String("addr", "10.77.0.2", "peer's address (ports are fixed)")
	conns   = flag.Int("conns", 1, "connections")
	dur     = flag.Duration("dur", 4*time.Second, "length of the measurement")
	size    = flag.Int("size", 64, "request size of rr and crr in bytes; verify: MiB")
	peerPID = flag.Int("peerpid", 0, "peer's process id, for its CPU time and memory")
	harness = flag.Int("harness", 0, "process id of the harness, which with all its descendants is no noise")
	label   = flag.String("label", "", "copied to the output")
	drain   = flag.Duration("drain", 60*time.Second, "longest wait after the measurement")
	cc      = flag.String("cc", "cubic", "this side's congestion control (TCP_CONGESTION), empty for the system's")
)

var (
	errCount  atomic.Int64
	errSample atomic.Value
)

// fail counts an error; the first one is reported.
func fail(where string, err error) {
	errCount.Add(1)
	errSample.CompareAndSwap(nil, where+": "+err.Error())
}

func main() {
	flag.Parse()
	var h hist.Hist
	var before, after usage
	r := result.Line{Label: *label, Mode: *mode, Conns: *conns}
	switch *mode {
	case "ready":
		os.Exit(ready())
	case "quiet":
		os.Exit(quiet())
	case "verify":
		before, after = verify(&r)
	case "upload":
		before, after = upload(&r)
	case "download":
		before, after = download(&r, services.PortSource)
	case "small":
		r.Size = services.SmallSize
		before, after = download(&r, services.PortSmall)
	case "rr", "http":
		r.Size = *size
		before, after = pingpong(&r, &h)
	case "crr":
		r.Size = *size
		before, after = crr(&r, &h)
	case "idle":
		before, after = idle(&r)
	default:
		fmt.Fprintf(os.Stderr, "load: unknown mode %q\n", *mode)
		os.Exit(2)
	}
	rates(&r, &h, before, after)
	r.Errors = errCount.Load()
	if s, ok := errSample.Load().(string); ok {
		r.ErrSample = s
	}
	json.NewEncoder(os.Stdout).Encode(r)
	if !r.OK() {
		os.Exit(1)
	}
}

// rates works out what follows from the counts and the snapshots.
func rates(r *result.Line, h *hist.Hist, before, after usage) {
	r.PeerCPU, r.MachCPU = after.peer-before.peer, after.mach-before.mach
	r.Steal, r.ClientCPU = after.steal-before.steal, after.client-before.client
	r.Foreign = foreign(before, after)
	if r.Seconds <= 0 {
		return
	}
	switch r.Mode {
	case "upload", "download":
		r.Gbps = float64(r.Bytes) * 8 / 1e9 / r.Seconds
		if r.Bytes > 0 {
			r.PeerPerGB = r.PeerCPU / (float64(r.Bytes) / 1e9)
			r.MachPerGB = r.MachCPU / (float64(r.Bytes) / 1e9)
		}
	case "small":
		r.Ops = r.Bytes / int64(r.Size)
		r.Rate = float64(r.Ops) / r.Seconds
		if r.Ops > 0 {
			r.PeerUsOp = r.PeerCPU * 1e6 / float64(r.Ops)
			r.MachUsOp = r.MachCPU * 1e6 / float64(r.Ops)
		}
	case "rr", "crr", "http":
		us := func(q float64) float64 { return float64(h.Quantile(q)) / 1e3 }
		r.Rate = float64(r.Ops) / r.Seconds
		r.P50, r.P90, r.P99, r.P999, r.Max = us(.5), us(.9), us(.99), us(.999), float64(h.Max())/1e3
		if r.Ops > 0 {
			r.PeerUsOp = r.PeerCPU * 1e6 / float64(r.Ops)
			r.MachUsOp = r.MachCPU * 1e6 / float64(r.Ops)
		}
	}
}

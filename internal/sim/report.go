package sim

import (
	"time"

	"github.com/a644562b/portico/internal/mono"
	"github.com/a644562b/portico/internal/sim/dist"
	"github.com/a644562b/portico/internal/sim/path"
	"github.com/a644562b/portico/tcp"
)

// Report is what a run came to. Rates are bits a second, times nanoseconds, sizes bytes.
type Report struct {
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
	// Duration is how long the run lasted, MeasureFrom when rates began to be measured.
	Duration    time.Duration `json:"duration_ns"`
	MeasureFrom time.Duration `json:"measured_from_ns"`
	RTT         time.Duration `json:"rtt_ns"` // of the empty path at the start

	Flows []FlowReport  `json:"flows"`
	Total TotalReport   `json:"total"`
	Path  []PathReport  `json:"path"` // down, up
	Cross []CrossReport `json:"cross,omitempty"`
	Web   []WebReport   `json:"web,omitempty"`
}

// FlowReport is one flow.
type FlowReport struct {
	Flow       int           `json:"flow"`
	Congestion string        `json:"congestion"`
	Way        string        `json:"direction"`
	Start      time.Duration `json:"start_ns"`
	Delivered  int64         `json:"delivered"` // to the reader, in all
	// Measured is how long the flow was measured: Goodput is what the reader got in that
	// time, Throughput what arrived of packets with data, headers and copies counted.
	Measured   time.Duration `json:"measured_ns"`
	Goodput    float64       `json:"goodput_bps"`
	Throughput float64       `json:"throughput_bps"`
	// Completion is from the start until the reader has seen the end, if Complete.
	Complete   bool          `json:"complete"`
	Completion time.Duration `json:"completion_ns"`
	Error      string        `json:"error,omitempty"` // what ended the connection before its time

	Packets uint64 `json:"packets"` // sent, with data
	Lost    uint64 `json:"lost"`    // on the path, of all that the sender sent
	Marked  uint64 `json:"marked"`  // by ECN

	// Retransmissions by whether an earlier copy of the bytes arrived.
	Needed   Repairs `json:"retrans_needed"`
	Spurious Repairs `json:"retrans_spurious"`

	Timeouts     uint64 `json:"timeouts"`
	TLPProbes    uint64 `json:"tlp_probes"`
	FastRecovery uint64 `json:"fast_recoveries"`
	Undos        uint64 `json:"undos"`

	PathRTT Quantiles     `json:"rtt_path"`               // of data and the acknowledgment that it caused
	TCPRTT  *Quantiles    `json:"rtt_measured,omitempty"` // as the sender measured it
	Delay   Quantiles     `json:"one_way_delay"`          // of data
	SRTT    time.Duration `json:"srtt_ns"`                // at the end
	MinRTT  time.Duration `json:"min_rtt_ns"`
	// Cwnd and Ssthresh are the sender's windows at the end.
	Cwnd     int `json:"cwnd"`
	Ssthresh int `json:"ssthresh"`
}

// Repairs count retransmissions. A segment is needed if any byte of it is.
type Repairs struct {
	Segments uint64 `json:"segments"`
	Bytes    uint64 `json:"bytes"`
}

// Quantiles are those of a distribution of times.
type Quantiles struct {
	Min  time.Duration `json:"min_ns"`
	Mean time.Duration `json:"mean_ns"`
	P50  time.Duration `json:"p50_ns"`
	P95  time.Duration `json:"p95_ns"`
	P99  time.Duration `json:"p99_ns"`
	Max  time.Duration `json:"max_ns"`
}

// TotalReport is all flows of the scenario together.
type TotalReport struct {
	Delivered  int64   `json:"delivered"`
	Goodput    float64 `json:"goodput_bps"` // sum of the flows'
	Throughput float64 `json:"throughput_bps"`
	Packets    uint64  `json:"packets"`
	Lost       uint64  `json:"lost"`
	Needed     Repairs `json:"retrans_needed"`
	Spurious   Repairs `json:"retrans_spurious"`
	Timeouts   uint64  `json:"timeouts"`
	TLPProbes  uint64  `json:"tlp_probes"`
	// FastRecovery and Undos are sums too.
	FastRecovery uint64 `json:"fast_recoveries"`
	Undos        uint64 `json:"undos"`
	// Jain is the index of fairness over the time in which all flows ran, 0 for fewer
	// than two.
	Jain float64 `json:"jain"`
	// Completion is when the last flow was complete, if all are Complete.
	Complete   bool          `json:"complete"`
	Completion time.Duration `json:"completion_ns"`
}

// PathReport is one direction of the path.
type PathReport struct {
	Way  string `json:"direction"`
	Rate int64  `json:"rate_bps"` // at the start; 0: no bottleneck
	// Utilisation is the share of the rate that left the bottleneck, 0 without one.
	Utilisation float64 `json:"utilisation"`

	Sent       uint64 `json:"packets"`
	QueueDrops uint64 `json:"dropped_queue"`
	Lost       uint64 `json:"lost_random"`
	LostBurst  uint64 `json:"lost_burst"`
	BlackHole  uint64 `json:"lost_blackhole"`
	Policed    uint64 `json:"dropped_policer"`
	Dropped    uint64 `json:"dropped_number"`
	Late       uint64 `json:"held_back"`
	Duplicated uint64 `json:"duplicated"`
	Marked     uint64 `json:"marked"`

	// The queue at the bottleneck in bytes, over time.
	QueueLimitBytes   int     `json:"queue_limit_bytes"`
	QueueLimitPackets int     `json:"queue_limit_packets"`
	QueueMean         float64 `json:"queue_mean"`
	QueueP50          int64   `json:"queue_p50"`
	QueueP95          int64   `json:"queue_p95"`
	QueueMax          int64   `json:"queue_max"`
	QueueMaxPackets   int     `json:"queue_max_packets"`
}

// CrossReport is traffic that does not react.
type CrossReport struct {
	Way     string `json:"direction"`
	Packets uint64 `json:"packets"`
	Lost    uint64 `json:"lost"`
}

// WebReport is short flows.
type WebReport struct {
	Way        string    `json:"direction"`
	Begun      uint64    `json:"begun"`
	Completed  uint64    `json:"completed"`
	Delivered  int64     `json:"delivered"`
	Needed     Repairs   `json:"retrans_needed"`
	Spurious   Repairs   `json:"retrans_spurious"`
	Completion Quantiles `json:"completion"`
}

func quantiles(d *dist.Dist) Quantiles {
	return Quantiles{
		Min: time.Duration(d.Min()), Mean: time.Duration(d.Mean()), P50: time.Duration(d.Quantile(0.5)),
		P95: time.Duration(d.Quantile(0.95)), P99: time.Duration(d.Quantile(0.99)), Max: time.Duration(d.Max()),
	}
}

// report sums up a run that has come to its end.
func (r *run) report() *Report {
	rep := &Report{
		Scenario: r.sc.Name, Seed: r.sc.Seed, Duration: time.Duration(r.now), MeasureFrom: r.sc.MeasureFrom, RTT: r.sc.RTT(),
		Flows: make([]FlowReport, 0, len(r.flows)),
	}
	rep.Total.Jain = r.common.jain()
	complete := true
	for _, f := range r.flows {
		fr := f.report()
		rep.Flows = append(rep.Flows, fr)
		rep.Total.add(&fr)
		complete = complete && fr.Complete
		rep.Total.Completion = max(rep.Total.Completion, fr.Start+fr.Completion)
	}
	if rep.Total.Complete = complete; !complete {
		rep.Total.Completion = 0
	}
	for _, l := range r.lanes {
		rep.Path = append(rep.Path, l.report())
	}
	for _, c := range r.cross {
		rep.Cross = append(rep.Cross, CrossReport{Way: c.spec.Way.String(), Packets: c.packets, Lost: c.packets - c.arrived})
	}
	for _, w := range r.web {
		rep.Web = append(rep.Web, WebReport{
			Way: w.spec.Way.String(), Begun: w.begun, Completed: w.done, Delivered: w.bytes,
			Needed: w.stats.needed.report(), Spurious: w.stats.spurious.report(), Completion: quantiles(&w.took),
		})
	}
	return rep
}

func (n repairs) report() Repairs { return Repairs{Segments: n.segments, Bytes: n.bytes} }

func (t *TotalReport) add(f *FlowReport) {
	t.Delivered += f.Delivered
	t.Goodput += f.Goodput
	t.Throughput += f.Throughput
	t.Packets += f.Packets
	t.Lost += f.Lost
	t.Needed.Segments += f.Needed.Segments
	t.Needed.Bytes += f.Needed.Bytes
	t.Spurious.Segments += f.Spurious.Segments
	t.Spurious.Bytes += f.Spurious.Bytes
	t.Timeouts += f.Timeouts
	t.TLPProbes += f.TLPProbes
	t.FastRecovery += f.FastRecovery
	t.Undos += f.Undos
}

// report sums up a flow.
func (f *flow) report() FlowReport {
	now := f.run.now
	rep := FlowReport{Flow: f.id, Way: f.spec.Way.String(), Start: f.spec.Start, Congestion: congestionName(f.spec.Congestion)}
	if !f.opened {
		return rep
	}
	info := f.sender.tcb.Info(now)
	if err := f.err(); err != nil {
		rep.Error = err.Error()
	}
	finish, delivered := f.finish, f.atFinish
	if finish == mono.Never {
		finish, delivered = now, f.delivered
	}
	s := f.stats
	rep.Delivered = delivered
	if rep.Measured = finish.Sub(f.started); rep.Measured > 0 {
		rep.Goodput = float64(delivered-f.base.delivered) * 8 / rep.Measured.Seconds()
		rep.Throughput = float64(s.landed) * 8 / rep.Measured.Seconds()
	} else {
		rep.Measured = 0
	}
	if f.completed != mono.Never {
		rep.Complete, rep.Completion = true, time.Duration(f.completed)-f.spec.Start
	}
	rep.Packets, rep.Lost, rep.Marked = s.packets, s.lost, s.marked
	rep.Needed, rep.Spurious = s.needed.report(), s.spurious.report()
	rep.take(&info, &f.base.info)
	rep.PathRTT, rep.Delay = quantiles(&s.rtt), quantiles(&s.delay)
	if f.run.opt.Observe {
		q := quantiles(&s.sampled)
		rep.TCPRTT = &q
	}
	return rep
}

// err is what ended the flow before its time.
func (f *flow) err() error {
	if err := f.sender.tcb.Err(); err != nil {
		return err
	}
	return f.receiver.tcb.Err()
}

// take takes what the sender has counted itself since the base.
func (rep *FlowReport) take(now, base *tcp.Info) {
	rep.Timeouts = now.Timeouts - base.Timeouts
	rep.FastRecovery = now.FastRecovery - base.FastRecovery
	rep.SRTT, rep.MinRTT, rep.Cwnd, rep.Ssthresh = now.SRTT, now.MinRTT, now.Cwnd, now.Ssthresh
	rep.TLPProbes = now.TailProbes - base.TailProbes
	rep.Undos = now.Undos - base.Undos
}

// report sums up a direction of the path.
func (l *lane) report() PathReport {
	r := l.run
	s := l.model.Stats(r.now)
	rep := PathReport{
		Way: l.way.String(), Rate: r.sc.Path[l.way].Rate, Sent: s.Sent(),
		QueueDrops: s.Packets[path.QueueFull], Lost: s.Packets[path.Lost], LostBurst: s.Packets[path.LostBurst],
		BlackHole: s.Packets[path.BlackHole], Policed: s.Packets[path.Policed], Dropped: s.Packets[path.Dropped],
		Late: s.Late, Duplicated: s.Duplicated, Marked: s.Marked,
		QueueMean: s.Depth.Mean(), QueueP50: s.Depth.Quantile(0.5), QueueP95: s.Depth.Quantile(0.95),
		QueueMax: s.Depth.Max(), QueueMaxPackets: s.MaxPackets,
	}
	rep.QueueLimitPackets, rep.QueueLimitBytes = l.model.Limit()
	if could := l.model.Capacity(at(r.sc.MeasureFrom), r.now); could > 0 {
		sent := s.Bytes[path.Arrives] + s.Bytes[path.Lost] + s.Bytes[path.LostBurst]
		rep.Utilisation = min(1, float64(sent)*8/could)
	}
	return rep
}

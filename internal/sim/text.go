package sim

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// table is rows of cells that are aligned when written.
type table struct {
	rows  [][]string
	right []bool // by column: align to the right
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(b *strings.Builder) {
	var widths []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range t.rows {
		var line strings.Builder
		for i, c := range r {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i > 0 {
				line.WriteString("  ")
			}
			if i < len(t.right) && t.right[i] {
				line.WriteString(pad + c)
			} else {
				line.WriteString(c + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// rightFrom is the alignment of a table whose columns from i on are numbers.
func rightFrom(i int) []bool {
	r := make([]bool, 32)
	for ; i < len(r); i++ {
		r[i] = true
	}
	return r
}

// maxRows is how many flows are listed one by one.
const maxRows = 40

// Text writes the report for people.
func (rep *Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", rep.title())
	for _, line := range rep.describe() {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	if len(rep.Flows) > 0 {
		b.WriteByte('\n')
		rep.flowTable(&b)
		b.WriteByte('\n')
		rep.repairTable(&b)
	}
	b.WriteByte('\n')
	rep.pathTable(&b)
	rep.others(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// describe says in short what the path was.
func (rep *Report) describe() []string {
	var lines []string
	for _, p := range rep.Path {
		if p.Rate == 0 {
			lines = append(lines, p.Way+" without a bottleneck")
			continue
		}
		queue := FormatSize(float64(p.QueueLimitBytes))
		if p.QueueLimitPackets > 0 {
			queue = fmt.Sprintf("%d packets", p.QueueLimitPackets)
		}
		lines = append(lines, fmt.Sprintf("%s %s, queue %s", p.Way, FormatRate(float64(p.Rate)), queue))
	}
	end := fmt.Sprintf("rtt %s, %s in virtual time, seed %d", FormatTime(rep.RTT), FormatTime(rep.Duration), rep.Seed)
	if rep.MeasureFrom > 0 {
		end += ", measured from " + FormatTime(rep.MeasureFrom)
	}
	return append(lines, end)
}

func (rep *Report) flowTable(b *strings.Builder) {
	t := table{right: rightFrom(3)}
	t.row("flow", "control", "way", "start", "goodput", "on the wire", "delivered", "complete", "rtt min", "p50", "p95", "p99", "measured p50", "p95")
	for i, f := range rep.Flows {
		if i == maxRows {
			t.row("...", fmt.Sprintf("%d more", len(rep.Flows)-maxRows))
			break
		}
		mid, high := "-", "-"
		if f.TCPRTT != nil {
			mid, high = FormatTime(f.TCPRTT.P50), FormatTime(f.TCPRTT.P95)
		}
		t.row(fmt.Sprint(f.Flow), f.Congestion, f.Way, FormatTime(f.Start), FormatRate(f.Goodput), FormatRate(f.Throughput),
			FormatSize(float64(f.Delivered)), sinceStart(f.Complete, f.Completion), FormatTime(f.PathRTT.Min), FormatTime(f.PathRTT.P50),
			FormatTime(f.PathRTT.P95), FormatTime(f.PathRTT.P99), mid, high)
	}
	if len(rep.Flows) > 1 {
		t.row("all", "", "", "", FormatRate(rep.Total.Goodput), FormatRate(rep.Total.Throughput), FormatSize(float64(rep.Total.Delivered)), sinceStart(rep.Total.Complete, rep.Total.Completion))
	}
	t.write(b)
	for _, f := range rep.Flows {
		if f.Error != "" {
			fmt.Fprintf(b, "flow %d broke: %s\n", f.Flow, f.Error)
		}
	}
	if rep.Total.Jain > 0 {
		fmt.Fprintf(b, "fairness while all ran (Jain's index): %.3f\n", rep.Total.Jain)
	}
}

// sinceStart is a time to completion, a dash for none.
func sinceStart(complete bool, d time.Duration) string {
	if !complete {
		return "-"
	}
	return FormatTime(d)
}

func (rep *Report) repairTable(b *strings.Builder) {
	t := table{right: rightFrom(2)}
	t.row("flow", "control", "packets", "lost", "retransmitted: needed", "bytes", "spurious", "bytes", "timeouts", "tail probes", "fast recoveries", "undone", "ECN marks")
	line := func(id, cc string, packets, lost uint64, n, s Repairs, rto, tlp, fr, undo uint64, marked string) {
		t.row(id, cc, fmt.Sprint(packets), fmt.Sprint(lost), fmt.Sprint(n.Segments), FormatSize(float64(n.Bytes)),
			fmt.Sprint(s.Segments), FormatSize(float64(s.Bytes)), fmt.Sprint(rto), fmt.Sprint(tlp), fmt.Sprint(fr), fmt.Sprint(undo), marked)
	}
	for i, f := range rep.Flows {
		if i == maxRows {
			break
		}
		line(fmt.Sprint(f.Flow), f.Congestion, f.Packets, f.Lost, f.Needed, f.Spurious, f.Timeouts, f.TLPProbes, f.FastRecovery, f.Undos, fmt.Sprint(f.Marked))
	}
	if s := &rep.Total; len(rep.Flows) > 1 {
		line("all", "", s.Packets, s.Lost, s.Needed, s.Spurious, s.Timeouts, s.TLPProbes, s.FastRecovery, s.Undos, "")
	}
	t.write(b)
}

func (rep *Report) pathTable(b *strings.Builder) {
	t := table{right: rightFrom(1)}
	t.row("path", "rate", "used", "packets", "queue drops", "lost", "in bursts", "black hole", "policed", "by number", "held back", "twice", "queue mean", "p50", "p95", "max", "of")
	for _, p := range rep.Path {
		rate, used, limit := "-", "-", "-"
		if p.Rate > 0 {
			rate, used = FormatRate(float64(p.Rate)), FormatShare(p.Utilisation)
			limit = FormatSize(float64(p.QueueLimitBytes))
		}
		if p.QueueLimitPackets > 0 {
			limit = fmt.Sprintf("%d/%d pkt", p.QueueMaxPackets, p.QueueLimitPackets)
		}
		t.row(p.Way, rate, used, fmt.Sprint(p.Sent), fmt.Sprint(p.QueueDrops), fmt.Sprint(p.Lost), fmt.Sprint(p.LostBurst),
			fmt.Sprint(p.BlackHole), fmt.Sprint(p.Policed), fmt.Sprint(p.Dropped), fmt.Sprint(p.Late), fmt.Sprint(p.Duplicated),
			FormatSize(p.QueueMean), FormatSize(float64(p.QueueP50)), FormatSize(float64(p.QueueP95)), FormatSize(float64(p.QueueMax)), limit)
	}
	t.write(b)
}

// others writes what else went over the path.
func (rep *Report) others(b *strings.Builder) {
	if len(rep.Cross)+len(rep.Web) > 0 {
		b.WriteByte('\n')
	}
	for _, c := range rep.Cross {
		fmt.Fprintf(b, "cross traffic %s: %d packets, %d lost\n", c.Way, c.Packets, c.Lost)
	}
	for _, w := range rep.Web {
		fmt.Fprintf(b, "short flows %s: %d begun, %d complete, %s; to completion mean %s, p50 %s, p95 %s, p99 %s; retransmitted %d needed, %d spurious\n",
			w.Way, w.Begun, w.Completed, FormatSize(float64(w.Delivered)), FormatTime(w.Completion.Mean), FormatTime(w.Completion.P50),
			FormatTime(w.Completion.P95), FormatTime(w.Completion.P99), w.Needed.Segments, w.Spurious.Segments)
	}
}

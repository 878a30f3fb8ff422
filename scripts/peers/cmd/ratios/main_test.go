package main

import (
	"testing"

	"github.com/a644562b/portico/scripts/peers/internal/result"
)

func line(label, path, loss, mode string, conns, round int, gbps float64) result.Line {
	return result.Line{Label: label, Path: path, Loss: loss, Mode: mode, Conns: conns, Round: round, Gbps: gbps, Verified: true}
}

func TestTableHoldsRoundsAgainstEachOther(t *testing.T) {
	lines := []result.Line{
		// The ratios are 0.5, 2 and 1: the median is 1 although that of the rates is 2/1.
		line("kernel", "20ms", "down:1", "download", 1, 1, 0.004),
		line("portico", "20ms", "down:1", "download", 1, 1, 0.002),
		line("portico", "20ms", "down:1", "download", 1, 2, 0.002),
		line("kernel", "20ms", "down:1", "download", 1, 2, 0.001),
		line("kernel", "20ms", "down:1", "download", 1, 3, 0.001),
		line("portico", "20ms", "down:1", "download", 1, 3, 0.001),
		line("kernel", "20ms", "down:1", "download", 8, 1, 0.0256),
		line("portico", "20ms", "down:1", "download", 8, 1, 0.0125),
		line("kernel", "routed", "up:0.1", "upload", 8, 1, 5),
		line("portico", "routed", "up:0.1", "upload", 8, 1, 4.5),
		line("gvisor", "routed", "up:0.1", "upload", 8, 1, 1),
		line("kernel", "routed", "down:3", "download", 8, 1, 1),
		line("portico", "routed", "down:3", "download", 8, 1, 1),
	}
	want := `| path | portico is | loss | 1 connection: kernel | portico | ratio | 8 connections: kernel | portico | ratio |
|---|---|---|---|---|---|---|---|---|
| routed | sending | 3 % | - | - | - | 1000 | 1000 | 1.00 |
| routed | receiving | 0.1 % | - | - | - | 5000 | 4500 | 0.90 |
| 20ms | sending | 1 % | 1.00 | 2.00 | 1.00 (0.50–2.00) | 25.6 | 12.5 | **0.49** |

12 measurements; in 0 of them others used 8 % of the cores or more, in 0 an interface on the way dropped packets that nobody asked it to drop, 0 failed.
`
	if got := newTable("kernel", "portico", lines).markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFailureOfTheStackCountsAsZeroAndIsTold(t *testing.T) {
	stalled := line("portico", "100ms", "up:3", "upload", 1, 1, 0.2)
	stalled.Errors, stalled.ErrSample = 1, "sink reply: i/o timeout"
	broken := line("kernel", "100ms", "up:3", "upload", 1, 2, 0.1)
	broken.Verified = false
	lines := []result.Line{
		line("kernel", "100ms", "up:3", "upload", 1, 1, 0.1), stalled,
		broken, line("portico", "100ms", "up:3", "upload", 1, 2, 0.1),
	}
	lines[0].Foreign, lines[0].Drops = 0.08, map[string]int64{"router ptun0": 3}
	want := `| path | portico is | loss | 1 connection: kernel | portico | ratio |
|---|---|---|---|---|---|
| 100ms | receiving | 3 % | 100 | 0.00 | **0.00** |

4 measurements; in 1 of them others used 8 % of the cores or more, in 1 an interface on the way dropped packets that nobody asked it to drop, 2 failed (those of portico count as 0):

- portico, 100ms, loss up:3, upload:1, round 1: sink reply: i/o timeout
- kernel, 100ms, loss up:3, upload:1, round 2: 
`
	if got := newTable("kernel", "portico", lines).markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Only a poor point shows its senders, and only where both were looked at.
func TestSendersAreShownWhereTheRatioIsPoor(t *testing.T) {
	seen := func(l result.Line, window, flight, us float64) result.Line {
		l.Extra = map[string]any{"sender_looks": 2.0, "sender_window_sum": 2 * window, "sender_flight_sum": 2 * flight, "sender_rtt_us_sum": 2 * us}
		l.Seconds, l.MachCPU = 4, 7
		return l
	}
	lines := []result.Line{
		seen(line("kernel", "routed", "down:1", "download", 1, 1, 4), 20, 18, 150),
		seen(line("portico", "routed", "down:1", "download", 1, 1, 2), 12, 11, 180),
		seen(line("kernel", "routed", "down:1", "download", 1, 2, 4), 22, 16, 170),
		seen(line("portico", "routed", "down:1", "download", 1, 2, 2), 14, 13, 200),
		seen(line("kernel", "routed", "down:1", "download", 8, 1, 4), 20, 18, 150),
		seen(line("portico", "routed", "down:1", "download", 8, 1, 4), 20, 18, 150),
		line("kernel", "routed", "up:1", "upload", 1, 1, 4),
		seen(line("portico", "routed", "up:1", "upload", 1, 1, 2), 12, 11, 180),
	}
	want := `
| path | portico is | loss | connections | kernel: window | in flight | round trip | cores | portico: window | in flight | round trip | cores |
|---|---|---|---|---|---|---|---|---|---|---|---|
| routed | sending | 1 % | 1 | 21 | 17 | 0.16 ms | 1.75 | 13 | 12 | 0.19 ms | 1.75 |
`
	if got := newTable("kernel", "portico", lines).senders(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

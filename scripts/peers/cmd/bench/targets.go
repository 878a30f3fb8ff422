package main

import (
	"github.com/a644562b/portico/scripts/peers/internal/result"
)

// figure is a row of the table: a number that a test yields, and what it is to be beside each
// of the other stacks.
type figure struct {
	name   string
	test   string // point
	format string
	value  func(*result.Line) float64
	// less: the smaller the better.
	less bool
	// target is the ratio to reach, by the label of the other stack.
	target map[string]float64
	// none: ours has to be zero, and there is no ratio.
	none bool
}

func beside(vnet, wg, kernel float64) map[string]float64 {
	t := map[string]float64{"gvisor-vnet": vnet, "gvisor-wg": wg, "kernel": kernel}
	for label, v := range t {
		if v == 0 {
			delete(t, label)
		}
	}
	return t
}

func gbps(l *result.Line) float64        { return l.Gbps }
func cpu(l *result.Line) float64         { return l.MachPerGB }
func rate(l *result.Line) float64        { return l.Rate }
func p99(l *result.Line) float64         { return l.P99 }
func memory(l *result.Line) float64      { return l.RSSGCConn }
func retransmits(l *result.Line) float64 { v, _ := l.Extra["retransmits"].(float64); return v }

// figures are those of the project's targets, and others that are worth a look.
func figures() []figure {
	f := []figure{
		{name: "1 connection in, Gbit/s", test: "upload:1", format: "%.1f", value: gbps, target: beside(1.3, 3, 0.9)},
		{name: "1 connection out, Gbit/s", test: "download:1", format: "%.1f", value: gbps, target: beside(2, 7, 0.9)},
		{name: "8 connections in, Gbit/s", test: "upload:8", format: "%.1f", value: gbps, target: beside(1.4, 4, 0.8)},
		{name: "8 connections out, Gbit/s", test: "download:8", format: "%.1f", value: gbps, target: beside(2.7, 10, 0.8)},
		{name: "machine, CPU s a GB in, 1 connection", test: "upload:1", format: "%.2f", value: cpu, less: true, target: beside(0.75, 0.3, 1.15)},
		{name: "machine, CPU s a GB out, 1 connection", test: "download:1", format: "%.2f", value: cpu, less: true, target: beside(0.6, 0.12, 1.25)},
		{name: "machine, CPU s a GB in, 8 connections", test: "upload:8", format: "%.2f", value: cpu, less: true, target: beside(0.75, 0.3, 1.15)},
		{name: "machine, CPU s a GB out, 8 connections", test: "download:8", format: "%.2f", value: cpu, less: true, target: beside(0.6, 0.12, 1.25)},
		{name: "64-byte echo, 32 connections, 1/s", test: "rr:32", format: "%.0f", value: rate, target: beside(1.9, 1.9, 1)},
		{name: "64-byte echo, 256 connections, 1/s", test: "rr:256", format: "%.0f", value: rate, target: beside(1.9, 1.9, 1)},
		{name: "99 % of the 32's answers within, µs", test: "rr:32", format: "%.0f", value: p99, less: true, target: beside(0.7, 0.9, 1)},
		{name: "99 % of the 256's answers within, µs", test: "rr:256", format: "%.0f", value: p99, less: true, target: beside(0.7, 0.9, 1)},
		{name: "connect, echo, close, 32 at once, 1/s", test: "crr:32", format: "%.0f", value: rate, target: beside(1.8, 1.5, 1.1)},
		{name: "HTTP keep-alive, 32 connections, 1/s", test: "http:32", format: "%.0f", value: rate, target: beside(1.8, 1.6, 1)},
		{name: "64-byte Writes, 1 connection, 1/s", test: "small:1", format: "%.0f", value: rate},
		{name: "64-byte Writes, 8 connections, 1/s", test: "small:8", format: "%.0f", value: rate},
		{name: "10,000 idle connections, bytes each in the process", test: "idle:10000", format: "%.0f", value: memory, less: true, target: beside(0.42, 0.42, 0)},
		{name: "retransmissions without loss, 8 connections out", test: "download:8", format: "%.0f", value: retransmits, none: true},
	}
	for _, percent := range []string{"0.1", "1", "3"} {
		f = append(f,
			figure{name: "1 connection out at " + percent + " % loss, Gbit/s", test: "loss" + percent + "/download:1", format: "%.2f", value: gbps, target: beside(5, 0, 1)},
			figure{name: "8 connections out at " + percent + " % loss, Gbit/s", test: "loss" + percent + "/download:8", format: "%.2f", value: gbps, target: beside(5, 0, 1)})
	}
	return f
}

package sim

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/a644562b/portico/internal/sim/path"
)

// The words of scenarios: rates, sizes, times, shares. What is accepted is said in the
// error, so that a reader of it needs no manual.

// cutNumber splits "20mbit" into 20 and "mbit" in lower case.
func cutNumber(s string) (n float64, unit string, ok bool) {
	i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i < 0 {
		i = len(s)
	}
	n, err := strconv.ParseFloat(s[:i], 64)
	return n, strings.ToLower(s[i:]), err == nil && !math.IsInf(n, 0)
}

var rateUnits = map[string]float64{"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9, "tbit": 1e12}

// ParseRate reads a rate such as 20mbit, 20Mbit/s, 20mbps or 1.5gbit, in bits a second.
// "unlimited" is 0.
func ParseRate(s string) (int64, error) {
	if s == "unlimited" {
		return 0, nil
	}
	n, unit, ok := cutNumber(s)
	unit = strings.TrimSuffix(unit, "/s")
	if short, is := strings.CutSuffix(unit, "bps"); is {
		unit = short + "bit"
	}
	scale, known := rateUnits[unit]
	if r := math.Round(n * scale); ok && known && r >= path.MinRate && r <= path.MaxRate {
		return int64(r), nil
	}
	return 0, fmt.Errorf("%q is no rate: want one from 1kbit to 10tbit, such as 20mbit, 1.5gbit or 500kbit", s)
}

var sizeUnits = map[string]float64{
	"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// ParseSize reads a number of bytes such as 10MB (10,000,000) or 64KiB (65,536).
func ParseSize(s string) (int64, error) {
	n, unit, ok := cutNumber(s)
	scale, known := sizeUnits[unit]
	if v := math.Round(n * scale); ok && known && v >= 1 && v <= 1<<50 {
		return int64(v), nil
	}
	return 0, fmt.Errorf("%q is no size: want one such as 500B, 64KB, 64KiB or 10MB", s)
}

// ParseTime reads a time such as 40ms, 1.5s or 2m.
func ParseTime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > path.MaxTime {
		return 0, fmt.Errorf("%q is no time: want one up to %s, such as 500us, 40ms, 1.5s or 2m", s, "24h")
	}
	return d, nil
}

// ParseShare reads a share such as 0.5%, or a probability from 0 to 1.
func ParseShare(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	p, err := strconv.ParseFloat(number, 64)
	if percent {
		p /= 100
	}
	if err != nil || math.IsNaN(p) || p < 0 || p > 1 {
		return 0, fmt.Errorf("%q is no share: want one from 0%% to 100%%, such as 0.5%%", s)
	}
	return p, nil
}

// Unit is what an Amount is counted in.
type Unit uint8

const (
	UnitNone    Unit = iota // no amount: the default
	UnitPackets             // packets of any size
	UnitBytes
	UnitTime // nanoseconds at the rate of the start
	UnitBDP  // bandwidth-delay products: the rate at the start times the round trip
)

// Amount is the length of a queue in the words of a person.
type Amount struct {
	N    float64
	Unit Unit
}

// ParseAmount reads the length of a queue: 1bdp, 100pkt, 64KB or 20ms.
func ParseAmount(s string) (Amount, error) {
	n, unit, ok := cutNumber(s)
	switch {
	case ok && n > 0 && n <= 1000 && unit == "bdp":
		return Amount{n, UnitBDP}, nil
	case ok && n >= 1 && n <= 1e9 && n == math.Trunc(n) && (unit == "pkt" || unit == "pkts" || unit == "packets" || unit == "p"):
		return Amount{n, UnitPackets}, nil
	}
	if b, err := ParseSize(s); err == nil {
		return Amount{float64(b), UnitBytes}, nil
	}
	if d, err := ParseTime(s); err == nil && d > 0 {
		return Amount{float64(d), UnitTime}, nil
	}
	return Amount{}, fmt.Errorf("%q is no length of a queue: want one such as 1bdp, 100pkt, 64KB or 20ms", s)
}

// minQueue is the least that an amount in bandwidth-delay products or time comes to, in
// packets: the initial window of RFC 6928 leaves in one go.
const minQueue = 10

// resolve is the amount in packets or in bytes for a link of that rate, round trip and
// MTU; the other one is 0.
func (a Amount) resolve(rate int64, rtt time.Duration, mtu int) (packets, bytes int) {
	span := a.N
	switch a.Unit {
	case UnitPackets:
		return int(a.N), 0
	case UnitBytes:
		return 0, int(a.N)
	case UnitBDP:
		span *= float64(rtt)
	case UnitNone:
		return 0, 0
	}
	b := math.Ceil(span * float64(rate) / 8 / float64(time.Second))
	return 0, int(min(max(b, float64(minQueue*mtu)), path.MaxBytes))
}

// number is n with three digits that count, without needless zeros.
func number(n float64) string {
	digits := 2
	switch a := math.Abs(n); {
	case a >= 99.95:
		digits = 0
	case a >= 9.995:
		digits = 1
	}
	s := strconv.FormatFloat(n, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// scaled is n in the largest of the units that leaves at least 1.
func scaled(n float64, step float64, units ...string) string {
	for i, u := range units {
		if math.Abs(n) < step*0.9995 || i == len(units)-1 {
			return number(n) + " " + u
		}
		n /= step
	}
	return ""
}

// FormatRate is a rate for people, "20 Mbit/s".
func FormatRate(bps float64) string {
	return scaled(bps, 1000, "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s")
}

// FormatSize is a number of bytes for people, "10 MB".
func FormatSize(b float64) string { return scaled(b, 1000, "B", "KB", "MB", "GB", "TB") }

// FormatTime is a time for people, "41.2 ms".
func FormatTime(d time.Duration) string {
	if d >= time.Second {
		return number(d.Seconds()) + " s"
	}
	return scaled(float64(d), 1000, "ns", "µs", "ms", "s")
}

// FormatShare is a share for people, "0.5 %".
func FormatShare(p float64) string { return number(p*100) + " %" }

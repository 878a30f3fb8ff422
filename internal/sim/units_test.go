package sim

import (
	"testing"
	"time"
)

func TestUnitsAreReadAsPeopleWriteThem(t *testing.T) {
	for word, want := range map[string]int64{
		"20mbit": 20e6, "1.5gbit": 15e8, "500kbit": 500e3, "20Mbit/s": 20e6, "20mbps": 20e6, "10tbit": 1e13, "unlimited": 0,
	} {
		if got, err := ParseRate(word); err != nil || got != want {
			t.Errorf("rate %q is %d, %v", word, got, err)
		}
	}
	for word, want := range map[string]int64{"500B": 500, "64KB": 64000, "64KiB": 65536, "10MB": 10e6, "1.5GB": 15e8} {
		if got, err := ParseSize(word); err != nil || got != want {
			t.Errorf("size %q is %d, %v", word, got, err)
		}
	}
	for word, want := range map[string]float64{"1%": 0.01, "0.5%": 0.005, "0.02": 0.02, "100%": 1, "0": 0} {
		if got, err := ParseShare(word); err != nil || got != want {
			t.Errorf("share %q is %v, %v", word, got, err)
		}
	}
	for word, want := range map[string]Amount{
		"1bdp": {1, UnitBDP}, "0.5BDP": {0.5, UnitBDP}, "100pkt": {100, UnitPackets}, "64KB": {64000, UnitBytes}, "20ms": {float64(20 * time.Millisecond), UnitTime},
	} {
		if got, err := ParseAmount(word); err != nil || got != want {
			t.Errorf("amount %q is %v, %v", word, got, err)
		}
	}
}

func TestWhatIsNoUnitIsRefused(t *testing.T) {
	for _, word := range []string{"", "20", "mbit", "-1mbit", "20m", "1bit", "11tbit", "1e3mbit", "NaNmbit", "20mbit/h"} {
		if got, err := ParseRate(word); err == nil {
			t.Errorf("rate %q is %d", word, got)
		}
	}
	for _, word := range []string{"", "10", "MB", "-1MB", "0B", "0.4B", "10mbit", "5000TB"} {
		if got, err := ParseSize(word); err == nil {
			t.Errorf("size %q is %d", word, got)
		}
	}
	for _, word := range []string{"", "1%%", "-1%", "101%", "1.1", "NaN", "one"} {
		if got, err := ParseShare(word); err == nil {
			t.Errorf("share %q is %v", word, got)
		}
	}
	for _, word := range []string{"", "10", "-5ms", "25h", "5 ms"} {
		if got, err := ParseTime(word); err == nil {
			t.Errorf("time %q is %v", word, got)
		}
	}
	for _, word := range []string{"", "0bdp", "0pkt", "1.5pkt", "0ms", "10", "1001bdp"} {
		if got, err := ParseAmount(word); err == nil {
			t.Errorf("amount %q is %v", word, got)
		}
	}
}

func TestAmountsInBytesAndPackets(t *testing.T) {
	for _, c := range []struct {
		a              Amount
		packets, bytes int
	}{
		{Amount{100, UnitPackets}, 100, 0},
		{Amount{64000, UnitBytes}, 0, 64000},
		{Amount{1, UnitBDP}, 0, 100_000}, // 20 Mbit/s and 40 ms
		{Amount{float64(20 * time.Millisecond), UnitTime}, 0, 50_000},
		{Amount{0.01, UnitBDP}, 0, 15_000}, // ten packets at least
		{Amount{}, 0, 0},
	} {
		packets, bytes := c.a.resolve(20_000_000, 40*time.Millisecond, 1500)
		if packets != c.packets || bytes != c.bytes {
			t.Errorf("%v is %d packets, %d bytes", c.a, packets, bytes)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{FormatRate(20e6), "20 Mbit/s"}, {FormatRate(18.94e6), "18.9 Mbit/s"}, {FormatRate(999.9e6), "1 Gbit/s"}, {FormatRate(0), "0 bit/s"},
		{FormatSize(100e6), "100 MB"}, {FormatSize(1448), "1.45 KB"}, {FormatSize(10), "10 B"},
		{FormatTime(41234567), "41.2 ms"}, {FormatTime(2500 * time.Millisecond), "2.5 s"}, {FormatTime(0), "0 ns"}, {FormatTime(75 * time.Second), "75 s"},
		{FormatShare(0.005), "0.5 %"}, {FormatShare(0), "0 %"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

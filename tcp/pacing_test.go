package tcp_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// TestPacingSpreadsAWindow: in slow start at two windows a round trip: ten segments of
// 1,000 bytes and 10 ms are 2 MB/s, a segment each half a millisecond, and the deadline
// says when.
func TestPacingSpreadsAWindow(t *testing.T) {
	d := established(t, withParams(tcp.Params{Pacing: true}))
	if got := d.info().PacingRate; got != 2e6 {
		d.fail("the rate is %v", got)
	}
	d.write(10000)
	d.expect(". 1(1000) ack 1")
	if dl := d.tcb.Deadline(); dl != d.now.Add(500*time.Microsecond) {
		d.fail("the deadline is %v from now", dl.Sub(d.now))
	}
	d.wait(rtt - 1)
	var want []string
	for n := 1; n < 10; n++ {
		want = append(want, fmt.Sprintf("@%v . %d(1000) ack 1", time.Duration(n)*500*time.Microsecond, n*1000+1))
	}
	want[8] = "@4.5ms P. 9001(1000) ack 1"
	d.expect(want...)
}

// TestPacedBurstIsAMillisecondOrTwoSegments: a super-segment is no larger.
func TestPacedBurstIsAMillisecondOrTwoSegments(t *testing.T) {
	d := established(t, withGSO(64<<10), withParams(tcp.Params{Pacing: true}))
	d.write(10000)
	d.wait(rtt - 1)
	d.expect(". 1(2000) ack 1", "@1ms . 2001(2000) ack 1", "@2ms . 4001(2000) ack 1",
		"@3ms . 6001(2000) ack 1", "@4ms P. 8001(2000) ack 1")
	d = established(t, withGSO(64<<10), withParams(tcp.Params{Pacing: true, InitialWindow: 40}))
	d.write(40000) // 8 MB/s: 8,000 bytes a millisecond
	d.wait(rtt - 1)
	d.expect(". 1(8000) ack 1", "@1ms . 8001(8000) ack 1", "@2ms . 16001(8000) ack 1",
		"@3ms . 24001(8000) ack 1", "@4ms P. 32001(8000) ack 1")
}

// TestNoPacingByDefault: a window leaves at once.
func TestNoPacingByDefault(t *testing.T) {
	d := established(t)
	d.write(10000)
	if n := len(d.overheard()); n != 10 || d.info().PacingRate != 0 {
		d.fail("%d segments at once, rate %v", n, d.info().PacingRate)
	}
}

// fixedRate is a controller that wants a rate.
type fixedRate struct{ tcp.Congestion }

func (fixedRate) PacingRate() float64 { return 1e6 }

// TestControllersRateIsKept: a controller that names a rate paces without the setting.
func TestControllersRateIsKept(t *testing.T) {
	d := established(t, withParams(tcp.Params{Congestion: func(s tcp.CongestionSetup) tcp.Congestion {
		return fixedRate{tcp.NewReno(s)}
	}}))
	d.write(4000)
	d.wait(rtt)
	d.expect(". 1(1000) ack 1", "@1ms . 1001(1000) ack 1", "@2ms . 2001(1000) ack 1", "@3ms P. 3001(1000) ack 1")
}

// rates is a controller that writes down the samples.
type rates struct {
	tcp.Congestion
	got *[]tcp.RateSample
}

func (r rates) Acked(a tcp.Acked) { *r.got = append(*r.got, a.Rate); r.Congestion.Acked(a) }

// TestDeliveryRateSamples: draft-cheng-iccrg-delivery-rate-estimation, on a path that
// delivers a segment of 1,000 bytes a millisecond: a sample is what was delivered from
// the sending of a packet to its ACK, by the longer of the two intervals, of sending and
// of ACKs.
func TestDeliveryRateSamples(t *testing.T) {
	var got []tcp.RateSample
	d := established(t, withParams(tcp.Params{Congestion: func(s tcp.CongestionSetup) tcp.Congestion {
		return rates{tcp.NewReno(s), &got}
	}}))
	d.write(100000) // ten leave at once, each ACK lets two go
	d.overheard()
	d.wait(rtt)
	for n := 1; n <= 40; n++ {
		d.send(". 1 ack " + itoa(n*1000+1))
		d.overheard()
		d.wait(time.Millisecond)
	}
	for n, s := range got {
		k := n + 1
		if k <= 10 {
			// Sent at 0 with nothing delivered: k segments in 9+k ms.
			want := float64(k*1000) / (float64(9+k) / 1000)
			if math.Abs(s.Rate-want) > 1 || s.Delivered != k*1000 {
				t.Errorf("sample %d: %+v, want a rate of %.0f", k, s, want)
			}
			continue
		}
		// Sent when j = ceil((k-10)/2) segments had been delivered, at 9+j ms; acknowledged
		// at 9+k ms.
		j := (k - 10 + 1) / 2
		if s.Delivered != (k-j)*1000 || s.Interval != time.Duration(k-j)*time.Millisecond || math.Abs(s.Rate-1e6) > 1 {
			t.Errorf("sample %d: %+v, want %d bytes in %d ms", k, s, (k-j)*1000, k-j)
		}
		if s.AppLimited {
			t.Errorf("sample %d is said to be limited by the application", k)
		}
	}
	if math.Abs(d.info().DeliveryRate-1e6) > 1 {
		t.Errorf("Info says %v", d.info().DeliveryRate)
	}
}

// TestDeliveryRateOfAnIdleApplication: section 3.4: what was sent while there was nothing
// more to send says so, and does not lower the estimate.
func TestDeliveryRateOfAnIdleApplication(t *testing.T) {
	var got []tcp.RateSample
	d := established(t, withParams(tcp.Params{Congestion: func(s tcp.CongestionSetup) tcp.Congestion {
		return rates{tcp.NewReno(s), &got}
	}}))
	for n := range 4 {
		d.write(1000)
		d.overheard()
		d.wait(rtt)
		d.send(". 1 ack " + itoa(n*1000+1001))
		d.expectNothing()
	}
	for n, s := range got {
		if n > 0 && !s.AppLimited {
			t.Errorf("sample %d is not said to be limited by the application: %+v", n, s)
		}
	}
}

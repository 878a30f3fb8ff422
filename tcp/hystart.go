package tcp

import "time"

// hystart is HyStart++ (RFC 9406): slow start ends when round trips grow, before the
// queue overflows. A first sign leads to conservative slow start, which grows by a quarter;
// if round trips shrink again it was a false alarm.
type hystart struct {
	lastMin, currentMin time.Duration // lastRoundMinRTT, currentRoundMinRTT
	baseline            time.Duration // cssBaselineMinRtt
	samples             uint8         // rttSampleCount, as far as it matters
	rounds              uint8         // of conservative slow start
	conservative        bool
	done                bool // only the first slow start is watched (section 4.3)
}

// The constants of RFC 9406, section 4.3. L, the most segments of growth an ACK, is
// infinite as on Linux: an ACK of a super-segment covers many.
const (
	hystartMinThresh  = 4 * time.Millisecond
	hystartMaxThresh  = 16 * time.Millisecond
	hystartDivisor    = 8
	hystartSamples    = 8
	cssGrowthDivisor  = 4
	cssRounds         = 5
	hystartUnmeasured = time.Duration(1<<63 - 1)
)

func (h *hystart) init() {
	h.lastMin, h.currentMin = hystartUnmeasured, hystartUnmeasured
}

// stop: slow start has met a loss or another end.
func (h *hystart) stop() { h.done = true }

// growth is by how many segments the window grows for acknowledged ones.
func (h *hystart) growth(segs float64) float64 {
	if h.conservative {
		return segs / cssGrowthDivisor
	}
	return segs
}

// acked takes an acknowledgment in slow start and reports whether slow start is over.
func (h *hystart) acked(a Acked) (exit bool) {
	if h.done {
		return false
	}
	if a.Round {
		h.lastMin, h.currentMin, h.samples = h.currentMin, hystartUnmeasured, 0
		if h.conservative {
			if h.rounds++; h.rounds >= cssRounds {
				h.done, h.conservative = true, false
				return true
			}
		}
	}
	if a.RTT > 0 {
		h.currentMin = min(h.currentMin, a.RTT)
		h.samples = min(h.samples+1, hystartSamples)
	}
	if h.samples < hystartSamples {
		return false
	}
	if h.conservative {
		if h.currentMin < h.baseline {
			h.conservative, h.baseline = false, hystartUnmeasured
		}
		return false
	}
	if h.lastMin == hystartUnmeasured || h.currentMin == hystartUnmeasured {
		return false
	}
	thresh := min(max(h.lastMin/hystartDivisor, hystartMinThresh), hystartMaxThresh)
	if h.currentMin >= h.lastMin+thresh {
		h.baseline, h.conservative, h.rounds = h.currentMin, true, 0
	}
	return false
}

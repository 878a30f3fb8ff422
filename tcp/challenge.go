package tcp

import "time"

// ChallengeLimit is what a connection has used up of its ration of challenge ACKs (RFC 5961,
// section 7). A limit for all connections together would let an attacker count what another
// connection sends (CVE-2016-5696).
type ChallengeLimit struct {
	since Time
	sent  uint16
}

const challengePeriod = 5 * time.Second

// mayChallenge counts one and reports whether it may be sent.
func (t *TCB) mayChallenge(now Time) bool {
	if t.challenges == nil {
		t.challenges = new(ChallengeLimit)
	}
	return t.challenges.allow(now, t.params.ChallengeAcks)
}

// allow counts one and reports whether it may be sent.
func (c *ChallengeLimit) allow(now Time, limit int) bool {
	if c.sent == 0 || now.Sub(c.since) >= challengePeriod {
		c.since, c.sent = now, 0
	}
	if int(c.sent) >= limit {
		return false
	}
	c.sent++
	return true
}

// challenge sends a challenge ACK: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>. An honest peer
// that has lost its state answers it with a reset that fits.
func (t *TCB) challenge(now Time) {
	if t.mayChallenge(now) {
		t.tally(CountChallengeACK)
		t.set(ackNow | challengeDue)
	} else {
		t.tally(CountACKSkippedChallenge)
	}
}

package tcp

import "time"

// Delivery-rate estimation (draft-cheng-iccrg-delivery-rate-estimation): how fast data
// reaches the peer, measured over about a round trip, free of what the application or
// ACK compression do to it. A controller that works by rate needs it; Info shows it.

// rateMark is what is noted when a run is sent: where the counters stood.
type rateMark struct {
	delivered   uint64 // bytes delivered so far (P.delivered)
	deliveredAt Time   // when the last of them was (P.delivered_time)
	firstSent   Time   // when the window of data that was sent last began (P.first_sent_time)
}

// rateCounter is the connection's side of it.
type rateCounter struct {
	rateMark
	appLimited uint64  // samples of data sent before that many bytes are delivered do not count
	rate       float64 // bytes per second, the newest sample
}

// mark is taken for a run that is about to be sent; flight is what is in the network.
func (c *rateCounter) mark(now Time, flight int) rateMark {
	if flight == 0 {
		c.firstSent, c.deliveredAt = now, now
	}
	return c.rateMark
}

// limited notes that the application has nothing more to send.
func (c *rateCounter) limited(flight int) {
	c.appLimited = max(c.delivered+uint64(flight), 1)
}

// RateSample is how much was delivered in what time.
type RateSample struct {
	// Rate is in bytes per second; 0: there is no sample.
	Rate float64
	// Delivered is how many bytes it was measured over, Interval the time.
	Delivered int
	Interval  time.Duration
	// AppLimited: the application, not the path, may have set the rate.
	AppLimited bool
}

// sample is the sample of an acknowledgment. minRTT is the least round trip seen: what
// is faster cannot have been measured.
func (c *rateCounter) sample(now Time, news *ackNews, minRTT time.Duration) RateSample {
	var s RateSample
	if news.deliveredBytes == 0 {
		return s
	}
	c.delivered += uint64(news.deliveredBytes)
	c.deliveredAt = now
	if c.appLimited != 0 && c.delivered > c.appLimited {
		c.appLimited = 0
	}
	if !news.marked {
		return s
	}
	c.firstSent = news.markAt
	s.Interval = max(news.markAt.Sub(news.mark.firstSent), now.Sub(news.mark.deliveredAt))
	s.Delivered = int(c.delivered - news.mark.delivered)
	s.AppLimited = news.markLimited
	if s.Interval < minRTT || s.Interval <= 0 {
		return s
	}
	s.Rate = float64(s.Delivered) / s.Interval.Seconds()
	if !s.AppLimited || s.Rate > c.rate {
		c.rate = s.Rate
	}
	return s
}

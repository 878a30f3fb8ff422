package tcp

// Seq is a sequence number. Sequence space is a ring of 2^32 numbers (RFC 9293,
// section 3.4); all comparison is modulo 2^32 and has a meaning only for numbers
// less than 2^31 apart:
//
//	Send sequence space (figure 3)
//
//	         1         2          3          4
//	    ----------|----------|----------|----------
//	           SND.UNA    SND.NXT    SND.UNA
//	                                +SND.WND
//
//	  1  acknowledged            3  may be sent now
//	  2  sent, unacknowledged    4  not yet allowed
//
//	Receive sequence space (figure 4)
//
//	             1          2          3
//	         ----------|----------|----------
//	                RCV.NXT    RCV.NXT
//	                          +RCV.WND
//
//	  1  received and acknowledged   2  acceptable now   3  not yet allowed
//
// A SYN takes one number, before the first byte; a FIN takes one, after the last.
// A bare ACK takes none.
type Seq uint32

// Add returns s moved n numbers on.
func (s Seq) Add(n int) Seq { return s + Seq(n) }

// Sub returns how many numbers s lies after u; negative if before.
func (s Seq) Sub(u Seq) int { return int(int32(s - u)) }

// Before reports whether s comes before u.
func (s Seq) Before(u Seq) bool { return int32(s-u) < 0 }

// After reports whether s comes after u.
func (s Seq) After(u Seq) bool { return int32(s-u) > 0 }

// AtOrBefore reports whether s is u or comes before it.
func (s Seq) AtOrBefore(u Seq) bool { return int32(s-u) <= 0 }

// AtOrAfter reports whether s is u or comes after it.
func (s Seq) AtOrAfter(u Seq) bool { return int32(s-u) >= 0 }

// In reports whether s lies in [start, start+n).
func (s Seq) In(start Seq, n int) bool { return s-start < Seq(n) }

func laterSeq(a, b Seq) Seq {
	if a.After(b) {
		return a
	}
	return b
}

func earlierSeq(a, b Seq) Seq {
	if a.Before(b) {
		return a
	}
	return b
}

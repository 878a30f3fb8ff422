package tcp_test

import "testing"

// What a receiver reports: the examples of RFC 2883, section 4, with 1 for its number
// 500 and segments of 500 bytes. "In" is what arrives, "out" the ACK that answers.

type reported struct{ in, out string }

func runReports(t *testing.T, steps []reported) {
	t.Helper()
	d := established(t, withSACK)
	for _, s := range steps {
		d.send(s.in + " ack 1")
		d.expectLate(s.out)
	}
}

// TestDSACKOfADuplicateSegment: 4.1.1 (example 1), and only once.
func TestDSACKOfADuplicateSegment(t *testing.T) {
	runReports(t, []reported{
		{". 1(500)", ". 1 ack 501 <>"},
		{". 501(500)", ". 1 ack 1001 <>"},
		{". 1(500)", ". 1 ack 1001 <nop,nop,sack 1:501>"},
		{". 1001(500)", ". 1 ack 1501 <>"},
	})
}

// TestDSACKOfADuplicateWithAGapBeyond: 4.1.2 (example 2).
func TestDSACKOfADuplicateWithAGapBeyond(t *testing.T) {
	runReports(t, []reported{
		{". 1(500)", ". 1 ack 501 <>"},
		{". 501(500)", ". 1 ack 1001 <>"},
		{". 1501(500)", ". 1 ack 1001 <nop,nop,sack 1501:2001>"},
		{". 1(500)", ". 1 ack 1001 <nop,nop,sack 1:501 1501:2001>"},
		{". 1001(500)", ". 1 ack 2001 <>"},
	})
}

// TestDSACKOfADuplicateBeyondTheGap: 4.1.3 (example 3): the block that holds the
// duplicate comes second.
func TestDSACKOfADuplicateBeyondTheGap(t *testing.T) {
	runReports(t, []reported{
		{". 1(500)", ". 1 ack 501 <>"},
		{". 1001(500)", ". 1 ack 501 <nop,nop,sack 1001:1501>"},
		{". 1501(500)", ". 1 ack 501 <nop,nop,sack 1001:2001>"},
		{". 1001(500)", ". 1 ack 501 <nop,nop,sack 1001:1501 1001:2001>"},
		{". 501(500)", ". 1 ack 2001 <>"},
	})
}

// TestDSACKOfAPartBelow: 4.2.1 (example 4): a larger segment fills the gap and repeats
// what was held beyond it.
func TestDSACKOfAPartBelow(t *testing.T) {
	runReports(t, []reported{
		{". 1(500)", ". 1 ack 501 <>"},
		{". 1001(500)", ". 1 ack 501 <nop,nop,sack 1001:1501>"},
		{". 501(1000)", ". 1 ack 1501 <nop,nop,sack 1001:1501>"},
	})
}

// TestDSACKOfAPartWithAGapBeyond: 4.2.2 (example 5).
func TestDSACKOfAPartWithAGapBeyond(t *testing.T) {
	runReports(t, []reported{
		{". 1(500)", ". 1 ack 501 <>"},
		{". 1001(500)", ". 1 ack 501 <nop,nop,sack 1001:1501>"},
		{". 2001(500)", ". 1 ack 501 <nop,nop,sack 2001:2501 1001:1501>"},
		{". 501(1000)", ". 1 ack 1501 <nop,nop,sack 1001:1501 2001:2501>"},
	})
}

// TestDSACKOfTwoParts: 4.2.3 (example 6): only the first is reported.
func TestDSACKOfTwoParts(t *testing.T) {
	runReports(t, []reported{
		{". 1(500)", ". 1 ack 501 <>"},
		{". 1001(500)", ". 1 ack 501 <nop,nop,sack 1001:1501>"},
		{". 2001(500)", ". 1 ack 501 <nop,nop,sack 2001:2501 1001:1501>"},
		{". 1001(1500)", ". 1 ack 501 <nop,nop,sack 1001:1501 1001:2501>"},
	})
}

// TestDSACKOfThePartAlreadyRead: the front of a segment repeats what was acknowledged.
func TestDSACKOfThePartAlreadyRead(t *testing.T) {
	runReports(t, []reported{
		{". 1(500)", ". 1 ack 501 <>"},
		{". 1(1000)", ". 1 ack 1001 <nop,nop,sack 1:501>"},
	})
}

// TestNoDSACKWithoutPermission: RFC 2018, 2.
func TestNoDSACKWithoutPermission(t *testing.T) {
	d := established(t)
	d.send(". 1(500) ack 1")
	d.expectLate(". 1 ack 501 <>")
	d.send(". 1(500) ack 1")
	d.expectLate(". 1 ack 501 <>")
}

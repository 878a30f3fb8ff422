package tcp_test

import (
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Blind attacks: RFC 5961. Its cases stand in the state table; here is its limit.

// TestChallengeAcksAreLimited: ten in five seconds for each connection (RFC 5961, 7),
// whatever provokes them, and the connection goes on.
func TestChallengeAcksAreLimited(t *testing.T) {
	for name, attack := range map[string]string{
		"RST in the window": "R 100",
		"SYN":               "S 100",
	} {
		t.Run(name, func(t *testing.T) {
			d := established(t)
			d.wait(time.Hour)
			for burst := range 3 {
				answers := 0
				for range 100 {
					d.send(attack)
					for _, u := range d.overheard() {
						if why := d.mismatch(". 1 ack 1", &u); why != "" {
							d.fail("%s: %s", u.text, why)
						}
						answers++
					}
				}
				if answers != 10 {
					d.fail("burst %d: %d challenge ACKs to 100 segments, want 10", burst, answers)
				}
				d.wait(5 * time.Second)
				d.expectNothing()
			}
			d.send("P. 1(5) ack 1")
			d.expectLate(". 1 ack 6")
			d.expectRead(5)
		})
	}
}

func TestChallengeLimitFollowsTheParams(t *testing.T) {
	d := established(t, withParams(tcp.Params{ChallengeAcks: 2}))
	answers := 0
	for range 10 {
		d.send("R 100")
		answers += len(d.overheard())
	}
	if answers != 2 {
		d.fail("%d challenge ACKs, want 2", answers)
	}
}

// TestChallengesOfManyKindsShareTheLimit: per connection, not per kind.
func TestChallengesOfManyKindsShareTheLimit(t *testing.T) {
	d := established(t)
	answers := 0
	for range 20 {
		d.send("R 100")
		answers += len(d.overheard())
		d.send("S 100")
		answers += len(d.overheard())
		d.send(". 1 ack -70000")
		answers += len(d.overheard())
	}
	if answers != 10 {
		d.fail("%d challenge ACKs, want 10", answers)
	}
}

// TestLimitIsPerConnection: not global, so that it tells nobody anything
// (CVE-2016-5696).
func TestLimitIsPerConnection(t *testing.T) {
	a, b := established(t), established(t)
	for range 20 {
		a.send("R 100")
		a.overheard()
	}
	b.send("R 100")
	b.expect(". 1 ack 1")
}

// TestOneAnswerForOneSegment: two TCBs that disagree answer each other's ACKs; it does not go on
// for ever, and never more than one for one.
func TestOneAnswerForOneSegment(t *testing.T) {
	d := established(t)
	for range 50 {
		d.send(". 100000 ack 5000000")
		if n := len(d.overheard()); n > 1 {
			d.fail("%d answers to one segment", n)
		}
	}
}

// TestBlindDataAreDropped: RFC 5961, 5: data in the window with an ACK out of all
// proportion are not taken.
func TestBlindDataAreDropped(t *testing.T) {
	d := established(t)
	for _, ack := range []string{"-65536", "-2000000000", "2", "1000", "2000000000"} {
		d.send("P. 1(10) ack " + ack)
		d.expect(". 1 ack 1")
	}
	d.expectReadError(nil)
	if n := d.info().OutOfOrder; n != 0 {
		d.fail("%d bytes are held", n)
	}
}

// TestISNFollowsClockAndTuple: RFC 6528: ISN = M + F(tuple, key), with M a clock of
// 4 µs (MUST-8) and F a function that nobody outside can compute (MUST-9).
func TestISNFollowsClockAndTuple(t *testing.T) {
	d := newDialogue(t)
	var key, other [32]byte
	other[31] = 1
	e := d.setup.Endpoints
	first := tcp.ISN(0, &key, e)
	if again := tcp.ISN(0, &key, e); again != first {
		t.Errorf("the same instant and tuple: %d and %d", first, again)
	}
	if step := tcp.ISN(tcp.Time(time.Second), &key, e).Sub(first); step < 249_000 || step > 251_000 {
		t.Errorf("the ISN moves by %d in a second, want 250,000", step)
	}
	seen := map[tcp.Seq]bool{first: true}
	if seen[tcp.ISN(0, &other, e)] {
		t.Error("the key does not matter")
	}
	for port := range uint16(1000) {
		f := e
		f.Remote = tcpAddrPort(e, port)
		seen[tcp.ISN(0, &key, f)] = true
	}
	if len(seen) < 990 {
		t.Errorf("only %d numbers for 1,001 tuples", len(seen))
	}
	swapped := tcp.Endpoints{Local: e.Remote, Remote: e.Local}
	if tcp.ISN(0, &key, swapped) == first {
		t.Error("the two directions of a tuple have the same number")
	}
}

// TestEphemeralOffsetFollowsTheDestination: RFC 6056, 3.3.4: the offset is a keyed
// function of the two addresses and the remote port.
func TestEphemeralOffsetFollowsTheDestination(t *testing.T) {
	e := newDialogue(t).setup.Endpoints
	var key, other [32]byte
	other[0] = 1
	first := tcp.EphemeralOffset(&key, e.Local.Addr(), e.Remote)
	if again := tcp.EphemeralOffset(&key, e.Local.Addr(), e.Remote); again != first {
		t.Errorf("the same destination: %d and %d", first, again)
	}
	seen := map[uint32]bool{first: true, tcp.EphemeralOffset(&other, e.Local.Addr(), e.Remote): true}
	for port := range uint16(1000) {
		seen[tcp.EphemeralOffset(&key, e.Local.Addr(), tcpAddrPort(e, port))] = true
	}
	if len(seen) < 990 {
		t.Errorf("only %d offsets for 1,002 keys and destinations", len(seen))
	}
}

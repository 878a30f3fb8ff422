// Package chaos is a test: TCBs of package tcp in virtual time, with everything at once
// that a network, a peer and a user can do to them, and after every event a list of
// invariants. All chance follows from a seed, and a seed that fails is one command to
// see again:
//
//	go test ./internal/chaos -run 'TestChaos$' -chaos.seed=1234 -v
//
// tells its whole dialogue. -chaos.seeds=10000 is the long form, -chaos.from=N starts it
// at another seed.
//
// Two of three worlds have two TCBs, with settings of their own, and a wire between them
// that loses, reorders, duplicates, delays, falls silent and changes its rate. On the wire
// sits a meddler who makes of honest acknowledgments those of a bad peer: it shrinks
// windows or blows them up, splits ACKs inside of segments, repeats and withholds them,
// reports by SACK what is not there and forgets what is, echoes wrong timestamps, sets flags.
// Strangers inject resets, SYNs and ACKs. Users write, read, stop reading, close and
// change settings as they like; in a quarter of the worlds they also abort, linger and set
// timeouts. Nothing of that may change a byte, nor, but for the last, end a
// connection: when the chaos is over everything arrives and both ends close.
//
// In the third world there is one TCB, whose peer follows a script: it also acknowledges
// what it has not received, sends data that contradict each other, resets and garbage. Then
// it falls silent, takes everything, or resets; whichever, the TCB comes to its end.
//
// The invariants:
//
//  0. Nothing panics.
//  1. SND.UNA ≤ SND.NXT; neither SND.UNA nor RCV.NXT moves back.
//  2. What is sent is what was written, at its place; what is read is a prefix of what the
//     peer has written; nothing counts as acknowledged that the peer has not received.
//  3. The runs of the scoreboard cover [SND.UNA, SND.NXT) without gaps, and its sums are
//     those of the runs.
//  4. Data out of order lie beyond RCV.NXT and within the window, in order and without
//     overlaps, and the ranges to be reported are the pieces joined.
//  5. Memory: for the reader at most the largest buffer that there was, an eighth of it for the
//     rounding of windows, and a segment; to send at most the buffer; out of order at most
//     four receive buffers of blocks. The budget is told of every byte, and is not exceeded
//     by more than what had been promised before it ran out, and what writers
//     may still have then.
//  6. The right edge of the advertised window never moves left, but for the rounding of the
//     scale.
//  7. A segment has no contradictory flags, acknowledges RCV.NXT, lies within [SND.UNA,
//     SND.NXT], and fits the MSS with its options; a super-segment fits what the device
//     takes, and its pieces the MSS.
//  8. Nothing is sent beyond the peer's window but a probe of one octet.
//  9. One input causes at most one bare segment more than there were segments, no
//     number twice, and no more data than there is; what is in flight exceeds the
//     congestion window only by what probes may.
//  10. After Tick and Next the deadline lies in the future.
//  11. Who waits has a timer: unacknowledged numbers the retransmission timer, a window that
//     takes nothing the persist timer, data unacknowledged by us the delayed ACK, TIME-WAIT
//     and an abandoned FIN-WAIT-2 their own. What both windows allow to be sent has been
//     sent, unless it is paced or F-RTO waits; a reader with an empty buffer has told the peer
//     of room. The world never stands still.
//  12. States change along the arrows of RFC 9293.
//  13. CLOSED holds no memory but what can still be read, and no timer.
//  14. When the chaos is over, everything arrives within bounded time and both ends come to
//     CLOSED, in order unless somebody wanted it otherwise.
//  15. Reactions to ECN are a window of data apart.
//
// The package refuses to say how fast: that is the simulator's business.
package chaos

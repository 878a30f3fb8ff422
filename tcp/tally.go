package tcp

// What is counted for all connections together.

// Tally counts what the connections of a stack do. Many may call it at once, each with its
// lock held by whoever holds one: it must be quick and must not call back.
type Tally interface {
	// Count adds n, which is negative only for CountCurrEstab, to a counter.
	Count(c Counter, n int)
	// Drop counts a segment that arrived for a connection and was not accepted.
	Drop(why Why)
}

// Counter is one of RFC 4022, or one that Linux has besides under TcpExt: its String is the
// name that nstat(8) prints.
type Counter uint8

const (
	CountActiveOpens  Counter = iota // CLOSED to SYN-SENT
	CountPassiveOpens                // LISTEN to SYN-RECEIVED
	CountAttemptFails                // SYN-SENT or SYN-RECEIVED to CLOSED, or back to LISTEN
	CountEstabResets                 // ESTABLISHED or CLOSE-WAIT to CLOSED
	CountCurrEstab                   // in ESTABLISHED or CLOSE-WAIT now

	CountEmbryonicRsts       // a reset ended a passive open
	CountTW                  // TIME-WAIT lasted its time
	CountPAWSEstab           // segments with an old timestamp (RFC 7323, section 5)
	CountPAWSTimewait        // likewise in TIME-WAIT
	CountDelayedACKs         // ACKs that waited until their timer expired
	CountDelayedACKLost      // data that had been acknowledged came again
	CountRenoRecovery        // fast recovery entered, the peer without SACK
	CountSackRecovery        // likewise with SACK
	CountSACKReneging        // the peer has dropped what it had reported
	CountSACKReorder         // reordering found by SACK (RFC 8985, section 4)
	CountFullUndo            // fast recovery undone at its end: the timestamps say it was in vain
	CountPartialUndo         // likewise halfway
	CountDSACKUndo           // undone: all that was sent again arrived twice
	CountLossUndo            // the reaction to a timeout undone
	CountSpuriousRTOs        // of these, those that F-RTO found (RFC 5682)
	CountLostRetransmit      // segments lost that had been sent again
	CountFastRetrans         // segments sent again, but not because of a timeout
	CountSynRetrans          // SYN or SYN,ACK sent again
	CountTimeouts            // the retransmission timer expired
	CountLossProbes          // tail loss probes (RFC 8985, section 7)
	CountLossProbeRecovery   // of these, those that repaired a loss
	CountDSACKOldSent        // duplicates reported of what was in order (RFC 2883)
	CountDSACKOfoSent        // of what was not
	CountDSACKRecv           // such reports received of what was acknowledged
	CountDSACKOfoRecv        // of what was not
	CountAbortOnData         // reset: data came after the application had closed, or SetLinger(0)
	CountAbortOnClose        // reset: the application had not read all
	CountAbortOnTimeout      // given up: R2, the user timeout or the last keep-alive probe passed
	CountAbortOnLinger       // reset: the time of SetLinger passed
	CountOFOQueue            // segments beyond a gap kept
	CountOFODrop             // segments beyond a gap that there was no room for
	CountOFOMerge            // segments beyond a gap of which a part was there
	CountChallengeACK        // challenge ACKs sent (RFC 5961)
	CountSYNChallenge        // SYNs that earn one
	CountACKSkippedSynRecv   // answers not sent for their rate is limited: in SYN-RECEIVED
	CountACKSkippedPAWS      // ACKs not sent for their rate is limited: about an old timestamp
	CountACKSkippedSeq       // likewise, about a sequence number
	CountACKSkippedTimeWait  // likewise, in TIME-WAIT
	CountACKSkippedChallenge // likewise, challenge ACKs
	CountWinProbe            // zero-window probes sent (RFC 9293, 3.8.6.1)
	CountKeepAlive           // keep-alive probes sent
	CountAutoCorking         // times that something small was held, for others to follow
	CountMTUPFail            // probes of the path MTU lost (RFC 4821)
	CountMTUPSuccess         // and arrived
	CountZeroWindowDrop      // data into a window that was closed

	// NumCounters is how many values Counter has.
	NumCounters = iota
)

var counterNames = [NumCounters]string{
	CountActiveOpens:  "TcpActiveOpens",
	CountPassiveOpens: "TcpPassiveOpens",
	CountAttemptFails: "TcpAttemptFails",
	CountEstabResets:  "TcpEstabResets",
	CountCurrEstab:    "TcpCurrEstab",

	CountEmbryonicRsts:       "TcpExtEmbryonicRsts",
	CountTW:                  "TcpExtTW",
	CountPAWSEstab:           "TcpExtPAWSEstab",
	CountPAWSTimewait:        "TcpExtPAWSTimewait",
	CountDelayedACKs:         "TcpExtDelayedACKs",
	CountDelayedACKLost:      "TcpExtDelayedACKLost",
	CountRenoRecovery:        "TcpExtTCPRenoRecovery",
	CountSackRecovery:        "TcpExtTCPSackRecovery",
	CountSACKReneging:        "TcpExtTCPSACKReneging",
	CountSACKReorder:         "TcpExtTCPSACKReorder",
	CountFullUndo:            "TcpExtTCPFullUndo",
	CountPartialUndo:         "TcpExtTCPPartialUndo",
	CountDSACKUndo:           "TcpExtTCPDSACKUndo",
	CountLossUndo:            "TcpExtTCPLossUndo",
	CountSpuriousRTOs:        "TcpExtTCPSpuriousRTOs",
	CountLostRetransmit:      "TcpExtTCPLostRetransmit",
	CountFastRetrans:         "TcpExtTCPFastRetrans",
	CountSynRetrans:          "TcpExtTCPSynRetrans",
	CountTimeouts:            "TcpExtTCPTimeouts",
	CountLossProbes:          "TcpExtTCPLossProbes",
	CountLossProbeRecovery:   "TcpExtTCPLossProbeRecovery",
	CountDSACKOldSent:        "TcpExtTCPDSACKOldSent",
	CountDSACKOfoSent:        "TcpExtTCPDSACKOfoSent",
	CountDSACKRecv:           "TcpExtTCPDSACKRecv",
	CountDSACKOfoRecv:        "TcpExtTCPDSACKOfoRecv",
	CountAbortOnData:         "TcpExtTCPAbortOnData",
	CountAbortOnClose:        "TcpExtTCPAbortOnClose",
	CountAbortOnTimeout:      "TcpExtTCPAbortOnTimeout",
	CountAbortOnLinger:       "TcpExtTCPAbortOnLinger",
	CountOFOQueue:            "TcpExtTCPOFOQueue",
	CountOFODrop:             "TcpExtTCPOFODrop",
	CountOFOMerge:            "TcpExtTCPOFOMerge",
	CountChallengeACK:        "TcpExtTCPChallengeACK",
	CountSYNChallenge:        "TcpExtTCPSYNChallenge",
	CountACKSkippedSynRecv:   "TcpExtTCPACKSkippedSynRecv",
	CountACKSkippedPAWS:      "TcpExtTCPACKSkippedPAWS",
	CountACKSkippedSeq:       "TcpExtTCPACKSkippedSeq",
	CountACKSkippedTimeWait:  "TcpExtTCPACKSkippedTimeWait",
	CountACKSkippedChallenge: "TcpExtTCPACKSkippedChallenge",
	CountWinProbe:            "TcpExtTCPWinProbe",
	CountKeepAlive:           "TcpExtTCPKeepAlive",
	CountAutoCorking:         "TcpExtTCPAutoCorking",
	CountMTUPFail:            "TcpExtTCPMTUPFail",
	CountMTUPSuccess:         "TcpExtTCPMTUPSuccess",
	CountZeroWindowDrop:      "TcpExtTCPZeroWindowDrop",
}

// String is the name that nstat(8) prints.
func (c Counter) String() string {
	if int(c) < len(counterNames) {
		return counterNames[c]
	}
	return "unknown"
}

// count adds n to a counter.
func (p *Params) count(c Counter, n int) {
	if p.Tally != nil {
		p.Tally.Count(c, n)
	}
}

// countDrop counts a segment that was not accepted.
func (p *Params) countDrop(why Why) {
	if p.Tally != nil {
		p.Tally.Drop(why)
	}
}

// countMove counts a change of state (RFC 4022).
func (p *Params) countMove(from, to State, why Why) {
	if p.Tally == nil {
		return
	}
	was, is := currEstab(from), currEstab(to)
	switch {
	case is && !was:
		p.count(CountCurrEstab, 1)
	case was && !is:
		p.count(CountCurrEstab, -1)
	}
	switch {
	case to == StateSynSent:
		p.count(CountActiveOpens, 1)
	case from == StateListen && to == StateSynReceived:
		p.count(CountPassiveOpens, 1)
	case from == StateSynSent && to == StateClosed,
		from == StateSynReceived && (to == StateClosed || to == StateListen):
		p.count(CountAttemptFails, 1)
	case was && to == StateClosed:
		p.count(CountEstabResets, 1)
	case from == StateTimeWait && why == WhyTimeWaitOver:
		p.count(CountTW, 1)
	}
}

// tally counts one.
func (t *TCB) tally(c Counter) { t.params.count(c, 1) }

// tallyRepair counts segments that are sent again.
func (t *TCB) tallyRepair(segments int) {
	switch t.recovery.why {
	case WhyFastRetransmit, WhyPartialAck, WhyRACK, WhyRescue, WhyTooBig:
		if t.recovery.mode != recoveryLoss {
			t.params.count(CountFastRetrans, segments)
		}
	}
}

// currEstab reports whether a state counts for tcpCurrEstab.
func currEstab(s State) bool { return s == StateEstablished || s == StateCloseWait }

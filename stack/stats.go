package stack

// Stats are the counters of a stack since it was made, but for those that say how many there
// are now (see IsGauge). They are those of the management
// information base, as Linux shows them: a field has the name that nstat(8) prints, which
// All puts the name of the group in front of.
//
// A super-segment counts as the packets that it is cut into, with their headers, so that
// what one host sent is what the other received, whoever cuts it; Linux counts some of it as
// one packet. What the stack sends to its own addresses counts on both sides. After
// a wrap at 2^64 they go on from 0.
type Stats struct {
	IP     IPStats     `mib:"Ip"`
	ICMP   ICMPStats   `mib:"Icmp"`
	TCP    TCPStats    `mib:"Tcp"`
	UDP    UDPStats    `mib:"Udp"`
	IP6    IPStats     `mib:"Ip6"`
	ICMP6  ICMP6Stats  `mib:"Icmp6"`
	UDP6   UDPStats    `mib:"Udp6"`
	TCPExt TCPExtStats `mib:"TcpExt"`
	IPExt  IPExtStats  `mib:"IpExt"`
	Device DeviceStats `mib:"Portico"`
	// Drops are the packets and segments dropped by reason, of which the other counters
	// have the sums; reasons that never occurred are missing.
	Drops map[string]uint64 `mib:"PorticoDrop"`
}

// IPStats are the counters of one family (RFC 4293, ipSystemStatsTable), in datagrams or
// octets. What became of all that came:
//
//	InReceives + ReasmOKs = InHdrErrors + InTruncatedPkts + InAddrErrors + ReasmReqds +
//	                        InUnknownProtos + InDiscards + InDelivers
//
// and of all that was to be sent:
//
//	OutRequests + FragCreates = FragOKs + FragFails + OutDiscards + OutTransmits
//
// On Linux the fields with the tag ext belong to IpExt for IPv4.
type IPStats struct {
	InReceives      uint64 // came, in error too
	InHdrErrors     uint64 // a header, an option or a source that cannot be right
	InAddrErrors    uint64 // to an address that is not ours
	InUnknownProtos uint64 // of a protocol that nobody serves
	InDiscards      uint64 // nothing was wrong, but nobody takes what is in it
	InDelivers      uint64 // handed to TCP, UDP, ICMP or IGMP
	OutRequests     uint64 // handed to IP by those, before fragmentation
	OutDiscards     uint64 // not taken by the device
	OutNoRoutes     uint64 // not made into a datagram, for no route leads there
	ReasmTimeout    uint64 // datagrams whose pieces did not all come in time
	ReasmReqds      uint64 // fragments that came
	ReasmOKs        uint64 // datagrams made of them
	ReasmFails      uint64 // datagrams given up, and fragments refused
	FragOKs         uint64 // datagrams sent in fragments
	FragFails       uint64 // datagrams that could not be
	FragCreates     uint64 // fragments made
	OutTransmits    uint64 // datagrams and fragments that the device took

	InTruncatedPkts uint64 `mib:"ext"` // longer than the frame that they came in
	InMcastPkts     uint64 `mib:"ext"` // to groups
	OutMcastPkts    uint64 `mib:"ext"`
	InOctets        uint64 `mib:"ext"` // of InReceives, headers included
	OutOctets       uint64 `mib:"ext"` // of OutTransmits
	InMcastOctets   uint64 `mib:"ext"`
	OutMcastOctets  uint64 `mib:"ext"`
	InNoECTPkts     uint64 `mib:"ext"` // by their ECN field (RFC 3168, section 5), where the header was right
	InECT1Pkts      uint64 `mib:"ext"`
	InECT0Pkts      uint64 `mib:"ext"`
	InCEPkts        uint64 `mib:"ext"` // met congestion
}

// IPExtStats are what IPv4 has besides.
type IPExtStats struct {
	InBcastPkts    uint64 // to everybody on the link
	OutBcastPkts   uint64
	InBcastOctets  uint64
	OutBcastOctets uint64
	InCsumErrors   uint64 // wrong header checksum; in IP.InHdrErrors
	ReasmOverlaps  uint64 // fragments that overlap or contradict others; in IP.ReasmFails
}

// ICMPStats are the counters of ICMP (RFC 4293, icmpStatsTable and icmpMsgStatsTable), in
// messages.
type ICMPStats struct {
	InMsgs             uint64 // came, in error too
	InErrors           uint64 // too short, or with a wrong checksum
	InCsumErrors       uint64 // of these, the latter
	InDestUnreachs     uint64 `icmp:"in 3"`
	InTimeExcds        uint64 `icmp:"in 11"`
	InParmProbs        uint64 `icmp:"in 12"`
	InSrcQuenchs       uint64 `icmp:"in 4"`
	InRedirects        uint64 `icmp:"in 5"`
	InEchos            uint64 `icmp:"in 8"`
	InEchoReps         uint64 `icmp:"in 0"`
	InTimestamps       uint64 `icmp:"in 13"`
	InTimestampReps    uint64 `icmp:"in 14"`
	InAddrMasks        uint64 `icmp:"in 17"`
	InAddrMaskReps     uint64 `icmp:"in 18"`
	OutMsgs            uint64 // handed to IP
	OutRateLimitGlobal uint64 // errors of either family not sent, for too many were sent
	OutRateLimitHost   uint64 // errors not sent, for too many were sent to that host
	OutDestUnreachs    uint64 `icmp:"out 3"`
	OutTimeExcds       uint64 `icmp:"out 11"`
	OutParmProbs       uint64 `icmp:"out 12"`
	OutEchos           uint64 `icmp:"out 8"`
	OutEchoReps        uint64 `icmp:"out 0"`
	// InType and OutType are all messages whose checksum was right by type, which
	// IcmpMsgInType8 names for one; types that never occurred are missing.
	InType  map[uint8]uint64 `mib:"IcmpMsgInType"`
	OutType map[uint8]uint64 `mib:"IcmpMsgOutType"`
}

// ICMP6Stats are the counters of ICMPv6, MLD included, in messages.
type ICMP6Stats struct {
	InMsgs                    uint64 // came, in error too
	InErrors                  uint64 // too short, or with a wrong checksum
	OutMsgs                   uint64 // handed to IP
	InCsumErrors              uint64 // of InErrors, the latter
	OutRateLimitHost          uint64 // errors not sent, for too many were sent to that host
	InDestUnreachs            uint64 `icmp:"in 1"`
	InPktTooBigs              uint64 `icmp:"in 2"`
	InTimeExcds               uint64 `icmp:"in 3"`
	InParmProblems            uint64 `icmp:"in 4"`
	InEchos                   uint64 `icmp:"in 128"`
	InEchoReplies             uint64 `icmp:"in 129"`
	InGroupMembQueries        uint64 `icmp:"in 130"`
	InGroupMembResponses      uint64 `icmp:"in 131"`
	InGroupMembReductions     uint64 `icmp:"in 132"`
	InRouterSolicits          uint64 `icmp:"in 133"`
	InRouterAdvertisements    uint64 `icmp:"in 134"`
	InNeighborSolicits        uint64 `icmp:"in 135"`
	InNeighborAdvertisements  uint64 `icmp:"in 136"`
	InRedirects               uint64 `icmp:"in 137"`
	InMLDv2Reports            uint64 `icmp:"in 143"`
	OutDestUnreachs           uint64 `icmp:"out 1"`
	OutTimeExcds              uint64 `icmp:"out 3"`
	OutParmProblems           uint64 `icmp:"out 4"`
	OutEchos                  uint64 `icmp:"out 128"`
	OutEchoReplies            uint64 `icmp:"out 129"`
	OutGroupMembResponses     uint64 `icmp:"out 131"`
	OutGroupMembReductions    uint64 `icmp:"out 132"`
	OutNeighborAdvertisements uint64 `icmp:"out 136"`
	OutMLDv2Reports           uint64 `icmp:"out 143"`
	// InType and OutType are as those of ICMPStats.
	InType  map[uint8]uint64 `mib:"Icmp6InType"`
	OutType map[uint8]uint64 `mib:"Icmp6OutType"`
}

// UDPStats are the counters of UDP over one family (RFC 4113), in datagrams. All that came
// is in one of InDatagrams, NoPorts, InErrors and IgnoredMulti; of those that several
// sockets hear each socket counts.
type UDPStats struct {
	InDatagrams  uint64 // put into a socket's queue; Linux counts them when they are read
	NoPorts      uint64 // to a port that nobody has
	InErrors     uint64 // with something wrong, or without room in the socket
	OutDatagrams uint64
	RcvbufErrors uint64 // of InErrors, those without room
	InCsumErrors uint64 // of InErrors, those with a wrong checksum
	IgnoredMulti uint64 // broadcast, or to a group, that no socket hears
}

// TCPStats are the counters of TCP (RFC 4022), over both families.
type TCPStats struct {
	ActiveOpens  uint64 // CLOSED to SYN-SENT
	PassiveOpens uint64 // LISTEN to SYN-RECEIVED; Linux counts them when they are established
	AttemptFails uint64 // SYN-SENT or SYN-RECEIVED to CLOSED or LISTEN
	EstabResets  uint64 // ESTABLISHED or CLOSE-WAIT to CLOSED
	CurrEstab    uint64 // now in ESTABLISHED or CLOSE-WAIT
	InSegs       uint64 // came, in error too
	OutSegs      uint64 // sent, those of RetransSegs not included
	RetransSegs  uint64 // sent with something that had been sent before
	InErrs       uint64 // with a header, ports or a checksum that cannot be right
	OutRsts      uint64 // sent with RST; in OutSegs
	InCsumErrors uint64 // of InErrs, those with a wrong checksum
}

// TCPExtStats are what Linux counts of TCP besides, as far as the stack has it.
type TCPExtStats struct {
	SyncookiesSent            uint64 // SYNs answered by a cookie (RFC 4987)
	SyncookiesRecv            uint64 // cookies that came back
	SyncookiesFailed          uint64 // ACKs that bring none back to a listener that has sent some of late
	EmbryonicRsts             uint64 // a reset ended a passive open
	OutOfWindowIcmps          uint64 // ICMP errors about what is not in flight
	TW                        uint64 // TIME-WAIT lasted its time
	PAWSEstab                 uint64 // segments with an old timestamp (RFC 7323, section 5)
	PAWSTimewait              uint64 // likewise in TIME-WAIT
	DelayedACKs               uint64 // ACKs that waited until their timer expired
	DelayedACKLost            uint64 // data that had been acknowledged came again
	ListenOverflows           uint64 // SYNs that found the queue of their listener full
	ListenDrops               uint64 // all SYNs that a listener or handler did not take
	TCPRenoRecovery           uint64 // fast recovery entered, the peer without SACK
	TCPSackRecovery           uint64 // likewise with SACK
	TCPSACKReneging           uint64 // the peer has dropped what it had reported
	TCPSACKReorder            uint64 // reordering found by SACK (RFC 8985, section 4)
	TCPFullUndo               uint64 // fast recovery undone at its end: it was in vain
	TCPPartialUndo            uint64 // likewise halfway
	TCPDSACKUndo              uint64 // undone: all that was sent again arrived twice
	TCPLossUndo               uint64 // the reaction to a timeout undone
	TCPLostRetransmit         uint64 // segments lost that had been sent again
	TCPFastRetrans            uint64 // segments sent again, but not because of a timeout
	TCPTimeouts               uint64 // the retransmission timer expired
	TCPLossProbes             uint64 // tail loss probes (RFC 8985, section 7)
	TCPLossProbeRecovery      uint64 // of these, those that repaired a loss
	TCPDSACKOldSent           uint64 // duplicates reported of what was in order (RFC 2883)
	TCPDSACKOfoSent           uint64 // of what was not
	TCPDSACKRecv              uint64 // such reports received of what was acknowledged
	TCPDSACKOfoRecv           uint64 // of what was not
	TCPAbortOnData            uint64 // reset: data came after Close, or SetLinger(0)
	TCPAbortOnClose           uint64 // reset: Close, and not all was read
	TCPAbortOnMemory          uint64 // reset: Close, and there are Config.MaxOrphans
	TCPAbortOnTimeout         uint64 // given up: no answer for too long
	TCPAbortOnLinger          uint64 // reset: the time of SetLinger passed
	TCPSpuriousRTOs           uint64 // of TCPLossUndo, those that F-RTO found (RFC 5682)
	TCPTimeWaitOverflow       uint64 // CLOSED at once, for Config.MaxTimeWait are in TIME-WAIT
	TCPOFOQueue               uint64 // segments beyond a gap kept
	TCPOFODrop                uint64 // segments beyond a gap that there was no room for
	TCPOFOMerge               uint64 // segments beyond a gap of which a part was there
	TCPChallengeACK           uint64 // challenge ACKs sent (RFC 5961)
	TCPSYNChallenge           uint64 // SYNs that earn one
	TCPFastOpenActive         uint64 // connections whose SYN took data there (RFC 7413)
	TCPFastOpenActiveFail     uint64 // whose did not, or got lost
	TCPFastOpenPassive        uint64 // connections whose SYN brought data with a good cookie
	TCPFastOpenPassiveFail    uint64 // SYNs with a cookie that is none of ours
	TCPFastOpenListenOverflow uint64 // with a good one, and too many are pending
	TCPFastOpenCookieReqd     uint64 // SYNs that ask for a cookie
	TCPSynRetrans             uint64 // SYN or SYN,ACK sent again
	TCPACKSkippedSynRecv      uint64 // answers not sent for their rate is limited: in SYN-RECEIVED
	TCPACKSkippedPAWS         uint64 // ACKs not sent for their rate is limited: about an old timestamp
	TCPACKSkippedSeq          uint64 // likewise, about a sequence number
	TCPACKSkippedTimeWait     uint64 // likewise, in TIME-WAIT
	TCPACKSkippedChallenge    uint64 // likewise, challenge ACKs
	TCPReqQFullDoCookies      uint64 // SYNs answered by a cookie: the SYN queue was full, or all are
	TCPReqQFullDrop           uint64 // SYNs that found it full and were dropped, for Config.SYNCookies
	TCPWinProbe               uint64 // zero-window probes sent (RFC 9293, section 3.8.6.1)
	TCPKeepAlive              uint64 // keep-alive probes sent
	TCPAutoCorking            uint64 // times that small Writes were held, for others to follow
	TCPMTUPFail               uint64 // probes of the path MTU lost (RFC 4821)
	TCPMTUPSuccess            uint64 // and arrived
	TCPZeroWindowDrop         uint64 // data into a window that was closed
}

// DeviceStats are what Linux has no names for.
type DeviceStats struct {
	InFrames  uint64 // read, from the loop too; a super-segment counts as one
	OutFrames uint64 // written

	TCPConnections uint64 `mib:"TcpConnections"` // now, in any state
	TCPTimeWaits   uint64 `mib:"TcpTimeWaits"`   // of these, in TIME-WAIT and closed by their applications
	TCPOrphans     uint64 `mib:"TcpOrphans"`     // of these, closed by their applications and not in TIME-WAIT
	TCPInRsts      uint64 `mib:"TcpInRsts"`      // segments with RST
	IGMPIn         uint64 `mib:"IgmpInMsgs"`     // in error too
	IGMPOut        uint64 `mib:"IgmpOutMsgs"`
}

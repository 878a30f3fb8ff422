package rules

import "strconv"

// section names rows that CONFORMANCE.md must have under a heading. Other rows and other
// sections may stand there besides, and are held to the same form.
type section struct {
	name string
	rows []string
}

// sourceRoutes are the only MUSTs that are declined: RFC 7126, section 4.3, has hosts
// ignore source routes.
var sourceRoutes = []string{"MUST-51", "MUST-52", "MUST-53"}

// mayBeOpen are rows that wait for a part that is not there yet. It should be empty.
var mayBeOpen = []string{}

var required = []section{
	{"TCP: the labels of RFC 9293", labels()},
	{"TCP: SEGMENT ARRIVES", segmentArrives},
	{"TCP: other RFCs", otherRFCs},
	{"UDP", datagrams},
	{"Groups and the forwarder", groupsAndForwarder},
	{"IP, ICMP and neighbours", internetLayer},
	{"Hosts: the requirements of RFC 1122", hosts1122},
	{"IPv6 nodes: the requirements of RFC 8504", nodes8504},
	{"Addresses and names", addressesAndNames},
}

// labels are the 119 requirements of RFC 9293, appendix B.
func labels() (rows []string) {
	for _, kind := range []struct {
		name string
		last int
	}{{"MUST", 69}, {"SHLD", 31}, {"MAY", 18}, {"REC", 1}} {
		for i := range kind.last {
			rows = append(rows, kind.name+"-"+strconv.Itoa(i+1))
		}
	}
	return rows
}

// segmentArrives is what RFC 9293, section 3.10.7, prescribes without a label.
var segmentArrives = []string{
	"CLOSED: any but RST",
	"CLOSED: RST",
	"LISTEN: RST",
	"LISTEN: ACK",
	"LISTEN: SYN",
	"LISTEN: other",
	"SYN-SENT: unacceptable ACK",
	"SYN-SENT: RST with good ACK",
	"SYN-SENT: RST without ACK",
	"SYN-SENT: SYN,ACK",
	"SYN-SENT: SYN",
	"synchronized: out of window",
	"synchronized: RST out of window",
	"synchronized: RST at RCV.NXT",
	"synchronized: RST in the window",
	"synchronized: SYN",
	"synchronized: no ACK bit",
	"SYN-RECEIVED: unacceptable ACK",
	"ESTABLISHED: ACK of what was not sent",
	"ESTABLISHED: ACK too old",
	"ESTABLISHED: duplicate ACK",
	"closing states: FIN and ACK",
	"CLOSE-WAIT and later: data",
}

// otherRFCs are those about TCP that a host stack of today is measured by.
var otherRFCs = []string{
	// Without these it is none.
	"RFC 1122", "RFC 6298", "RFC 5681", "RFC 6582", "RFC 2018", "RFC 6675", "RFC 7323", "RFC 5961", "RFC 6528",
	"RFC 6056", "RFC 4987", "RFC 6633", "RFC 1071", "RFC 5927", "RFC 1191", "RFC 8201",
	// Expected of a good one.
	"RFC 8961", "RFC 3042", "RFC 3465", "RFC 6928", "RFC 2883", "RFC 8985", "RFC 9937", "RFC 5682", "RFC 9438",
	"RFC 3168", "RFC 6191", "RFC 2525", "RFC 2923", "RFC 6429", "RFC 1624",
	// More than that.
	"RFC 4821", "RFC 5482", "RFC 7413", "RFC 9406", "RFC 7661", "RFC 3522", "RFC 4015", "RFC 9743",
	"RFC 9768", "RFC 8311", "RFC 5925", "RFC 6994", "RFC 8684", "RFC 8548", "BBR",
}

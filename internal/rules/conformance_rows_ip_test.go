package rules

// internetLayer is what a host of today is measured by below its transports.
var internetLayer = []string{
	"RFC 791: header", "RFC 791: emission", "RFC 791: options", "RFC 7126", "RFC 1122 3.2.1.3", "RFC 1122 3.2.1.7",
	"RFC 1122 3.2.2", "RFC 1122 3.2.2.1", "RFC 1122 3.2.2.6", "RFC 1122 3.3.2", "RFC 815", "RFC 5722", "RFC 6946",
	"RFC 8021", "RFC 6864", "RFC 7739", "RFC 1191", "RFC 8201", "RFC 8899", "RFC 792", "RFC 1812 4.3.2.8",
	"RFC 6633", "RFC 6918", "RFC 4884", "RFC 5927", "RFC 8200 4", "RFC 8200 4.2", "RFC 8200 4.4", "RFC 5095",
	"RFC 8200 4.5", "RFC 8200 5", "RFC 7112", "RFC 8504", "RFC 4443", "RFC 6437", "RFC 3168", "RFC 2474",
	"RFC 4291", "RFC 6724", "RFC 4861", "RFC 4861 6, 8", "RFC 4861 7.3", "RFC 4862 5.4.3", "RFC 4862", "RFC 826",
	"RFC 5227", "RFC 7217, 8981", "RFC 6980", "RFC 7048", "RFC 2675", "RFC 4302, 4303", "RFC 792: redirect",
}

// datagrams is what is asked of UDP, by its RFCs and by programs.
var datagrams = []string{
	"768 checksum", "6935", "768 length", "9868", "1122 4.1.3.1", "1122 4.1.3.3", "1122 4.1.3.5", "boundaries",
	"sizes", "8085 3.1.7", "8085 3.1", "8085 3.2", "6056", "ports", "1122 4.1.3.3: dialed", "queue", "segments",
}

// groupsAndForwarder is membership in groups (RFC 9776, RFC 9777), and answering for others.
var groupsAndForwarder = []string{
	"9776 5.1", "9776 5.2", "9776 7", "9776 3.2", "hop limit 1", "1112 6.1", "4291 2.8", "forwarder",
	"forwarder fragments", "forwarder errors", "forwarder bounds",
}

// hosts1122 are the lines of the tables 3.5 and 4.1.5 of RFC 1122, by section.
var hosts1122 = []string{
	"3.1 forwarding", "3.1 multihoming", "3.1 discards", "3.2.1.1", "3.2.1.2", "3.2.1.3 subnets",
	"3.2.1.3 own source", "3.2.1.3 (b)", "3.2.1.3 (g)", "3.2.1.3 destinations", "3.2.1.3 sources", "3.2.1.4",
	"3.2.1.5", "3.2.1.6 set", "3.2.1.6 told", "3.2.1.7 zero", "3.2.1.7 received", "3.2.1.7 set", "3.2.1.8 sent",
	"3.2.1.8 passed", "3.2.1.8 unknown", "3.2.1.8 (a, b, d, e)", "3.2.1.8 (c)", "3.2.2 unknown", "3.2.2 quote",
	"3.2.2 demultiplex", "3.2.2 TOS", "3.2.2 never", "3.2.2.1 generated", "3.2.2.1 hint", "3.2.2.2 sent",
	"3.2.2.2 received", "3.2.2.3", "3.2.2.4", "3.2.2.5", "3.2.2.6 server", "3.2.2.6 client", "3.2.2.6 many",
	"3.2.2.6 options", "3.2.2.7", "3.2.2.8", "3.2.2.9", "3.3.1.1", "3.3.1.2", "3.3.1.3", "3.3.1.4", "3.3.2 size",
	"3.3.2 timeout", "3.3.3", "3.3.3 off-net", "3.3.4.2", "3.3.4.3", "3.3.5", "3.3.6 sent", "3.3.6 received",
	"3.3.7", "3.3.8", "3.4", "4.1.3.2", "4.1.3.4", "4.1.3.4 options", "4.1.3.5 wild", "4.1.3.6", "4.1.4",
}

// nodes8504 are the sections of RFC 8504 that require something of a host.
var nodes8504 = []string{
	"5.1", "5.2", "5.3", "5.4 discovery", "5.4 routers", "5.5, 5.6", "5.7.1", "5.8", "5.9, 5.10", "5.11", "5.12",
	"6.1", "6.2", "6.3, 6.4", "6.5", "6.6, 8", "7", "10", "11", "12, 13", "17",
}

// addressesAndNames is what RFC 4291, RFC 6724 and RFC 8305 ask, and the ways to a name and an address.
var addressesAndNames = []string{
	"RFC 4291 2.5.2", "RFC 4291 2.5.3", "RFC 4291 2.5.5", "RFC 4291 2.5.6", "RFC 4291 2.6", "RFC 4291 2.7",
	"RFC 4291 2.7: TCP", "RFC 4291 2.8", "RFC 4007", "RFC 6724 5", "RFC 6724 6", "RFC 6724 2.1", "RFC 8305 3",
	"RFC 8305 4", "RFC 8305 4: history", "RFC 8305 5", "RFC 8305 6", "RFC 8305 7", "RFC 8305 8", "names: resolver",
	"routes: dial", "loopback",
}

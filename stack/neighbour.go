package stack

import "github.com/a644562b/portico/ip"

// solicited takes in the message in hand if it asks for an address, and answers where it is
// ours. That is what is left of neighbour discovery without link-layer addresses: a peer
// that wants to know whether we are alive, or whether it may have the address, gets its
// answer (RFC 4861, section 7.2.4). Linux, which joins no solicited-node groups on a TUN,
// answers such a question only if it was sent to the address itself.
func (e *engine) solicited() bool {
	h := &e.header
	target, ok, why := ip.ParseSolicitation(h, &e.msg)
	switch {
	case !ok:
		return false
	case why != ip.DropNone:
		e.dropIP(why)
	case e.in.local || !e.s.addrs.own[target]:
		e.drop(dropICMPIgnored)
	default:
		m, dst, hopLimit := ip.Advertisement(h.Src, target)
		e.s.sendMessageAs(0, hopLimit, target, dst, &m, &e.box)
	}
	return true
}

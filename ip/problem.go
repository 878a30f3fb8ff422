package ip

// Codes of an IPv6 parameter problem (RFC 4443, section 3.4; RFC 7112; RFC 8883).
const (
	code6BadField          = 0
	code6UnknownNextHeader = 1
	code6UnknownOption     = 2
	code6IncompleteChain   = 3
	code6TooManyExtensions = 8
	code6TooManyOptions    = 9
)

// ParameterProblem makes the error that tells the sender of packet which field of its
// headers was the reason to drop it: why is what Parse, or a Reassembler, has said of it,
// and h the header as they left it. The body is as that of Unreachable, and so are the
// rules when there is none; but over IPv6 a later fragment may be answered, and so may a
// packet to a group whose unknown option asks for it (RFC 4443, section 2.4 (e.3)).
//
// It is false also for reasons that are nobody's to know: over IPv4 all but broken options
// (RFC 1122, section 3.2.2.5), source routes among them (RFC 7126).
func ParameterProblem(why Drop, h *Header, packet []byte) (Message, bool) {
	if h.Is4() {
		if why != DropOptions || !mayAnswer(h, packet) {
			return Message{}, false
		}
		return Message{Type: icmp4ParamProblem, Rest: uint32(h.Fault) << 24, Body: quote(h, packet)}, true
	}
	code, ok := problemCode6(why)
	if !ok || !singleHost(h.Src) || carriesError6(packet) {
		return Message{}, false
	}
	if why == DropUnknownOption {
		switch packet[h.Fault] & opt6Action {
		case opt6Drop:
			return Message{}, false
		case opt6Answer:
			return problem6(code, h, packet), true
		}
	}
	if !singleHost(h.Dst) {
		return Message{}, false
	}
	return problem6(code, h, packet), true
}

func problem6(code uint8, h *Header, packet []byte) Message {
	return Message{Type: icmp6ParamProblem, Code: code, Rest: uint32(h.Fault), Body: quote(h, packet)}
}

func problemCode6(why Drop) (code uint8, ok bool) {
	switch why {
	case DropExtension, DropSourceRoute, DropFragmentLength, DropFragmentTooLong:
		return code6BadField, true
	case DropUnknownOption:
		return code6UnknownOption, true
	case DropFragmentChain:
		return code6IncompleteChain, true
	case DropTooManyExtensions:
		return code6TooManyExtensions, true
	case DropTooManyOptions:
		return code6TooManyOptions, true
	}
	return 0, false
}

// codeReassembly is the code of time exceeded for pieces that did not come, in both
// families (RFC 792; RFC 4443, section 3.3).
const codeReassembly = 1

// TimeExceeded makes the error that tells the sender of a datagram that its pieces have
// not all come in time. packet is the first of them and h its header as Parse has left it;
// body and rules are as those of Unreachable.
func TimeExceeded(h *Header, packet []byte) (Message, bool) {
	if !mayAnswer(h, packet) {
		return Message{}, false
	}
	m := Message{Type: icmp6TimeExceeded, Code: codeReassembly, Body: quote(h, packet)}
	if h.Is4() {
		m.Type = icmp4TimeExceeded
	}
	return m, true
}

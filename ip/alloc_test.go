package ip_test

import (
	"testing"

	"github.com/a644562b/portico/ip"
)

func TestParsingNeverAllocates(t *testing.T) {
	for _, packet := range packetSeeds() {
		var h ip.Header
		var m ip.Message
		var q ip.Quote
		n := testing.AllocsPerRun(100, func() {
			payload, drop := ip.Parse(packet, &h)
			if drop != ip.DropNone || !h.IsICMP() {
				return
			}
			if ip.ParseMessage(&h, payload, &m) == ip.DropNone {
				ip.ParseQuote(h.Is4(), &m, &q)
				ip.EchoReply(&m, &h)
			}
		})
		if n != 0 {
			t.Errorf("% x: %v allocations", packet, n)
		}
	}
}

func TestEmittingIntoRoomNeverAllocates(t *testing.T) {
	room := make([]byte, 0, 2048)
	for _, f := range families {
		packet := wholePacket(f, ip.UDP, 1000)
		h, _ := mustParse(t, packet)
		out := ip.Header{Src: f.us, Dst: f.them, Protocol: ip.TCP, TTL: 64}
		n := testing.AllocsPerRun(100, func() {
			out.Append(room, 1000)
			m, _ := ip.Unreachable(ip.PortUnreachable, &h, packet)
			m.Append(room, f.us, f.them)
			request := ip.EchoRequest(f.is4, 1, 2, packet)
			request.Append(room, f.us, f.them)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", f.name, n)
		}
	}
}

package osi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	client = netip.MustParseAddrPort("10.77.0.1:40112")
	server = netip.MustParseAddrPort("10.77.0.2:80")
)

// conversation makes packets, numbers and all.
type conversation struct {
	t       *testing.T
	packets [][]byte
	next    map[netip.AddrPort]uint32
}

func newConversation(t *testing.T) *conversation {
	c := &conversation{t: t, next: map[netip.AddrPort]uint32{client: 0xfffffff0, server: 5000}}
	c.send(client, server, "", true)
	c.send(server, client, "", true)
	return c
}

func (c *conversation) send(from, to netip.AddrPort, data string, syn bool) {
	c.at(from, to, c.next[from], data, syn)
	c.next[from] += uint32(len(data))
	if syn {
		c.next[from]++
	}
}

func (c *conversation) at(from, to netip.AddrPort, seq uint32, data string, syn bool) {
	c.t.Helper()
	tcp := &layers.TCP{SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), Seq: seq, Ack: c.next[to],
		SYN: syn, ACK: true, PSH: data != "", Window: 500}
	var net gopacket.NetworkLayer
	var ip gopacket.SerializableLayer
	if from.Addr().Is4() {
		h := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
		net, ip = h, h
	} else {
		h := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
		net, ip = h, h
	}
	if err := tcp.SetNetworkLayerForChecksum(net); err != nil {
		c.t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, options, ip, tcp, gopacket.Payload(data)); err != nil {
		c.t.Fatal(err)
	}
	c.packets = append(c.packets, append([]byte(nil), buf.Bytes()...))
}

const (
	plainRequest = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	request      = "GET /two HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nCookie: portico_session=1\r\n\r\n"
)

func firstAnswer() string {
	return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: portico_session=1\r\nContent-Length: 5\r\n\r\nhello"
}

func zippedAnswer(t *testing.T, body string) string {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	zw.Write([]byte(body))
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", b.Len(), b.String())
}

func TestLastExchangeIsTakenApart(t *testing.T) {
	c := newConversation(t)
	c.send(client, server, plainRequest, false)
	c.send(server, client, firstAnswer(), false)
	c.send(client, server, request, false)
	answer := zippedAnswer(t, strings.Repeat("again ", 100))
	c.send(server, client, answer[:50], false)
	c.send(server, client, answer[50:], false)

	a, err := TakeApart(c.packets, client, server, TUN)
	if err != nil {
		t.Fatal(err)
	}
	if a.Request.AppBytes != len(request) || a.Request.Packets != 1 || a.Request.WireBytes != len(request)+40 {
		t.Errorf("request: %d bytes in %d packets of %d", a.Request.AppBytes, a.Request.Packets, a.Request.WireBytes)
	}
	if a.Answer.AppBytes != len(answer) || a.Answer.Packets != 2 || a.Answer.WireBytes != len(answer)+80 {
		t.Errorf("answer: %d bytes in %d packets of %d", a.Answer.AppBytes, a.Answer.Packets, a.Answer.WireBytes)
	}
	sum := 0
	for i, l := range a.Request.Layers {
		if l.Number != 7-i {
			t.Errorf("layer %d stands at place %d", l.Number, i)
		}
		sum += l.Adds
	}
	if sum != a.Request.WireBytes {
		t.Errorf("the layers add up to %d bytes, on the wire are %d", sum, a.Request.WireBytes)
	}
	var text bytes.Buffer
	if err := a.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| GET /two HTTP/1.1", "Cookie: portico_session=1", "destination port  80", "TCP: whom to give it to",
		"made", "of 600", "Set-Cookie:", "no MAC", "PSH", "10.77.0.2, the house it goes to",
		"4500" /* the IP header in hex */, "9cb00050", /* and the ports */
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	for line := range strings.Lines(text.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestRetransmittedPacketsCountOnce(t *testing.T) {
	c := newConversation(t)
	seq := c.next[client]
	c.send(client, server, plainRequest[:10], false)
	c.at(client, server, seq, plainRequest[:10], false)
	c.send(client, server, plainRequest[10:], false)
	c.send(server, client, firstAnswer(), false)
	a, err := TakeApart(c.packets, client, server, TUN)
	if err != nil {
		t.Fatal(err)
	}
	if a.Request.Packets != 2 || a.Request.AppBytes != len(plainRequest) {
		t.Errorf("%d bytes in %d packets", a.Request.AppBytes, a.Request.Packets)
	}
}

func TestIPv6HeaderIsTakenApart(t *testing.T) {
	client6, server6 := netip.MustParseAddrPort("[fd77::1]:40112"), netip.MustParseAddrPort("[fd77::2]:80")
	c := &conversation{t: t, next: map[netip.AddrPort]uint32{client6: 1, server6: 2}}
	c.send(client6, server6, "", true)
	c.send(server6, client6, "", true)
	c.send(client6, server6, plainRequest, false)
	c.send(server6, client6, firstAnswer(), false)
	a, err := TakeApart(c.packets, client6, server6, Pipe)
	if err != nil {
		t.Fatal(err)
	}
	if l := a.Request.Layers[4]; l.Adds != 40 || !strings.HasPrefix(l.Hex, "6000") || len(l.Fields) < 6 {
		t.Errorf("layer 3 is %+v", l)
	}
}

func TestWhatIsNotCompleteIsAnError(t *testing.T) {
	whole := newConversation(t)
	whole.send(client, server, plainRequest, false)
	whole.send(server, client, firstAnswer(), false)
	for name, packets := range map[string][][]byte{
		"nothing":       nil,
		"no answer":     whole.packets[:3],
		"no handshake":  whole.packets[2:],
		"garbage":       {{}, {0x45}, {0x60, 1, 2}, bytes.Repeat([]byte{0xff}, 100)},
		"request alone": {whole.packets[0], whole.packets[2]},
	} {
		if _, err := TakeApart(packets, client, server, TUN); !errors.Is(err, ErrNoExchange) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cut := newConversation(t)
	cut.send(client, server, plainRequest, false)
	cut.send(server, client, firstAnswer()[:80], false)
	if _, err := TakeApart(cut.packets, client, server, TUN); !errors.Is(err, ErrNoExchange) {
		t.Errorf("an answer that breaks off: %v", err)
	}
}

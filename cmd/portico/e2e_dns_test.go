//go:build e2e

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/a644562b/portico/internal/nstest"
	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer is a small name server, of one zone, on whatever sockets it is given.
type dnsServer struct {
	zone map[string][]dnsmessage.ResourceBody // by name with its final dot

	mu    sync.Mutex
	asked []string // "udp name. TypeA"
}

// serve answers until the sockets are closed.
func (d *dnsServer) serve(p net.PacketConn, l net.Listener) {
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			if reply, err := d.answer("udp", b[:n]); err == nil {
				p.WriteTo(reply, from)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.serveConn(c)
		}
	}()
}

// serveConn answers what comes on a connection, each message behind its length (RFC 1035,
// section 4.2.2).
func (d *dnsServer) serveConn(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		reply, err := d.answer("tcp", b)
		if err != nil {
			return
		}
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	}
}

// answer answers a question. What does not fit what the client takes over UDP is left out,
// and the reply says so.
func (d *dnsServer) answer(network string, b []byte) ([]byte, error) {
	var q dnsmessage.Message
	if err := q.Unpack(b); err != nil || len(q.Questions) != 1 {
		return nil, errors.Join(errors.New("not a question"), err)
	}
	question := q.Questions[0]
	d.mu.Lock()
	d.asked = append(d.asked, network+" "+question.Name.String()+" "+question.Type.String())
	d.mu.Unlock()
	r := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true, RecursionDesired: q.RecursionDesired},
		Questions: q.Questions,
	}
	limit := 512 // RFC 1035, section 4.2.1; EDNS may raise it
	for _, extra := range q.Additionals {
		if extra.Header.Type == dnsmessage.TypeOPT {
			limit = max(limit, int(extra.Header.Class))
			opt := dnsmessage.Resource{Body: &dnsmessage.OPTResource{}}
			opt.Header.SetEDNS0(65535, dnsmessage.RCodeSuccess, false)
			r.Additionals = append(r.Additionals, opt)
		}
	}
	records, known := d.zone[question.Name.String()]
	if !known {
		r.RCode = dnsmessage.RCodeNameError
	}
	for _, body := range records {
		if typeOf(body) == question.Type {
			h := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 60}
			r.Answers = append(r.Answers, dnsmessage.Resource{Header: h, Body: body})
		}
	}
	reply, err := r.Pack()
	if err == nil && network == "udp" && len(reply) > limit {
		r.Answers, r.Truncated = nil, true
		reply, err = r.Pack()
	}
	return reply, err
}

func typeOf(body dnsmessage.ResourceBody) dnsmessage.Type {
	switch body.(type) {
	case *dnsmessage.AResource:
		return dnsmessage.TypeA
	case *dnsmessage.AAAAResource:
		return dnsmessage.TypeAAAA
	}
	return dnsmessage.TypeTXT
}

// addresses are records of addresses.
func addresses(list ...string) (records []dnsmessage.ResourceBody) {
	for _, s := range list {
		if a := netip.MustParseAddr(s); a.Is4() {
			records = append(records, &dnsmessage.AResource{A: a.As4()})
		} else {
			records = append(records, &dnsmessage.AAAAResource{AAAA: a.As16()})
		}
	}
	return records
}

// times says how often something was asked that begins so.
func (d *dnsServer) times(prefix string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.asked {
		if strings.HasPrefix(a, prefix) {
			n++
		}
	}
	return n
}

func (d *dnsServer) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = nil
}

// A name server on portico's sockets, asked by dig: over UDP, over TCP, and with answers
// that one datagram of the client's does not hold, or that come in fragments.
func TestE2EDigAsksPortico(t *testing.T) {
	need(t, "dig", "bind9-dnsutils")
	s := openNode(t)
	p, err := s.ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen("tcp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	server := &dnsServer{zone: map[string][]dnsmessage.ResourceBody{"host.test.": addresses("192.0.2.1", "2001:db8::1")}}
	var text []string
	for i := range 15 {
		text = append(text, fmt.Sprintf("%0200d", i))
		server.zone["long.test."] = append(server.zone["long.test."], &dnsmessage.TXTResource{TXT: text[i : i+1]})
	}
	server.serve(p, l)
	// How often the server is to be asked, and what dig is to say.
	for _, c := range []struct {
		query       string
		udp, tcp    int
		answers     int
		rcode, more string
	}{
		{query: "+noedns host.test A", udp: 1, answers: 1, rcode: "NOERROR", more: "192.0.2.1"},
		{query: "host.test AAAA", udp: 1, answers: 1, rcode: "NOERROR", more: "2001:db8::1"},
		{query: "+tcp host.test A", tcp: 1, answers: 1, rcode: "NOERROR", more: "192.0.2.1"},
		{query: "+bufsize=512 nobody.test A", udp: 1, rcode: "NXDOMAIN"},
		{query: "+noedns long.test TXT", udp: 1, tcp: 1, answers: 15, rcode: "NOERROR", more: "Truncated, retrying in TCP mode"},
		{query: "+bufsize=1232 long.test TXT", udp: 1, tcp: 1, answers: 15, rcode: "NOERROR", more: "Truncated, retrying in TCP mode"},
		{query: "+bufsize=1232 +ignore long.test TXT", udp: 1, rcode: "NOERROR", more: "flags: qr aa tc rd"},
		{query: "+bufsize=4096 long.test TXT", udp: 1, answers: 15, rcode: "NOERROR", more: text[14]},
	} {
		for _, host := range []string{"10.79.0.2", "fd79::2"} {
			server.forget()
			got := output(t, nil, "dig", append([]string{"@" + host, "+tries=1", "+timeout=30"}, strings.Fields(c.query)...)...)
			udp, tcp := server.times("udp"), server.times("tcp")
			if !strings.Contains(got, "status: "+c.rcode) || !strings.Contains(got, fmt.Sprintf("ANSWER: %d,", c.answers)) ||
				!strings.Contains(got, c.more) || udp != c.udp || tcp != c.tcp {
				t.Errorf("dig %s @%s, asked over UDP %d times and TCP %d:\n%.3000s", c.query, host, udp, tcp, got)
			}
		}
	}
}

// The other way round: portico asks a name server on the kernel's sockets, and fetches from
// the address that it is told.
func TestE2EFetchAsksANameServer(t *testing.T) {
	p, err := net.ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	nstest.Sysctl(t, "ipv4/icmp_ratelimit", "0") // it is to say each time that nobody listens
	l, err := net.Listen("tcp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server := &dnsServer{zone: map[string][]dnsmessage.ResourceBody{
		"four.test.": addresses("10.78.0.1"),
		"six.test.":  addresses("fd78::1"),
		"none.test.": nil,
	}}
	// More addresses than a datagram of 1,232 bytes holds, which resolvers ask for, and all
	// of them the one that answers.
	for range 50 {
		server.zone["many.test."] = append(server.zone["many.test."], addresses("fd78::1")...)
	}
	server.serve(p, l)
	site := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s, you come from %s", r.Host, from)
	})}
	defer site.Close()
	web, err := net.Listen("tcp", ":8000")
	if err != nil {
		t.Fatal(err)
	}
	go site.Serve(web)

	for _, c := range []struct{ dns, name, from string }{
		{"10.78.0.1", "four.test", "10.78.0.2"},
		{"10.78.0.1:53", "six.test", "fd78::2"},
		{"fd78::1", "four.test", "10.78.0.2"},
		{"[fd78::1]:53", "six.test", "fd78::2"},
		{"10.78.0.1:5353,10.78.0.1", "four.test", "10.78.0.2"}, // nobody at the first
		{"10.78.0.1", "many.test", "fd78::2"},
	} {
		server.forget()
		got := output(t, nil, porticoPath, "fetch", "--dns", c.dns, "http://"+c.name+":8000/")
		if want := c.name + ":8000, you come from " + c.from; got != want {
			t.Errorf("%s by %s: %q, want %q", c.name, c.dns, got, want)
		}
		if server.times("udp "+c.name+". TypeA") != 2 || server.times("tcp") > 0 != (c.name == "many.test") {
			t.Errorf("%s by %s asked %v", c.name, c.dns, server.asked)
		}
	}
	for _, c := range []struct{ args, name, want string }{
		{"--dns 10.78.0.1", "nobody.test", "cannot resolve nobody.test: the name server 10.78.0.1:53 knows no address of that name"},
		{"--dns 10.78.0.1", "none.test", "cannot resolve none.test: the name server 10.78.0.1:53 knows no address of that name"},
		{"--dns 10.78.0.1:5353", "four.test", "cannot resolve four.test: the name server 10.78.0.1:5353: .*connection refused: choose another with --dns"},
	} {
		cmd := exec.Command(porticoPath, append(append([]string{"fetch"}, strings.Fields(c.args)...), "http://"+c.name+":8000/")...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		cmd.Run()
		said := regexp.MustCompile("^portico: " + c.want + "\n$")
		if cmd.ProcessState.ExitCode() != exitFailed || !isOneLine(stderr.String()) || !said.MatchString(stderr.String()) {
			t.Errorf("%s, %s: exit %d, %q, want %q", c.name, c.args, cmd.ProcessState.ExitCode(), stderr.String(), c.want)
		}
	}
	ping := output(t, nil, porticoPath, "ping", "--dns", "10.78.0.1", "-c", "1", "-W", "30", "six.test")
	if !strings.Contains(ping, "PING six.test (fd78::1)") || !strings.Contains(ping, "1 received") {
		t.Errorf("ping:\n%s", ping)
	}
}

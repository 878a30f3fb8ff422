package stack

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/a644562b/portico/link/pipe"
)

// nameServer is a DNS server of a test: what it knows, and what it was asked.
type nameServer struct {
	zone map[string][]string // name with its final dot: addresses; none: it exists without any
	// truncate: answers over UDP have no room, and the client has to come again by TCP.
	truncate bool
	// code is what it answers to everything when it is not success.
	code dnsmessage.RCode

	mu    sync.Mutex
	asked []string // "udp name. TypeA"
}

// serve answers at port 53 of a stack until that is closed.
func (n *nameServer) serve(t *testing.T, s *Stack) {
	t.Helper()
	p, err := s.ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listen("tcp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		b := make([]byte, 512)
		for {
			size, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			p.WriteTo(n.answer(t, "udp", b[:size]), from)
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			io.ReadFull(c, size[:])
			b := make([]byte, binary.BigEndian.Uint16(size[:]))
			io.ReadFull(c, b)
			reply := n.answer(t, "tcp", b)
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
			c.Close()
		}
	}()
}

func (n *nameServer) answer(t *testing.T, network string, b []byte) []byte {
	var q dnsmessage.Message
	if err := q.Unpack(b); err != nil || len(q.Questions) != 1 {
		t.Errorf("a question nobody can read: % x: %v", b, err)
		return nil
	}
	question := q.Questions[0]
	n.mu.Lock()
	n.asked = append(n.asked, network+" "+question.Name.String()+" "+question.Type.String())
	n.mu.Unlock()
	r := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true, RCode: n.code}, Questions: q.Questions}
	addrs, known := n.zone[question.Name.String()]
	if !known && n.code == dnsmessage.RCodeSuccess {
		r.RCode = dnsmessage.RCodeNameError
	}
	if n.truncate && network == "udp" {
		r.Truncated, addrs = true, nil
	}
	for _, text := range addrs {
		a := netip.MustParseAddr(text)
		h := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 60}
		switch {
		case a.Is4() && question.Type == dnsmessage.TypeA:
			r.Answers = append(r.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && question.Type == dnsmessage.TypeAAAA:
			r.Answers = append(r.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	out, err := r.Pack()
	if err != nil {
		t.Error(err)
	}
	return out
}

// resolving runs a test between a client that asks the server's name server, and the server.
func resolving(t *testing.T, n *nameServer, dns []string, f func(t *testing.T, h *hosts)) {
	t.Helper()
	warmResolver()
	synctest.Test(t, func(t *testing.T) {
		client := globalConfig(1)
		for _, s := range dns {
			client.DNS = append(client.DNS, netip.MustParseAddrPort(s))
		}
		h := newHosts(t, client, globalConfig(2), pipe.Config{})
		defer h.close()
		n.serve(t, h.server)
		f(t, h)
	})
}

// The whole way: a name, questions by UDP through the stack, a race, a connection.
func TestDialByNameThroughAServerOnTheWire(t *testing.T) {
	for _, server := range []string{"10.77.0.2:53", "[2001:db8::2]:53", "[fe80::2%pipe0]:53"} {
		n := &nameServer{zone: map[string][]string{"www.name.test.": {"10.77.0.2", "2001:db8::2"}}}
		resolving(t, n, []string{server}, func(t *testing.T, h *hosts) {
			l := h.listen(t, "tcp", ":80")
			c := h.dial(t, "tcp", "www.name.test:http")
			s := accept(t, l)
			if got := c.RemoteAddr().String(); got != "[2001:db8::2]:80" {
				t.Errorf("dialed %s", got)
			}
			mustWrite(t, c, "hello")
			wantRead(t, s, "hello")
			n.mu.Lock()
			defer n.mu.Unlock()
			// That for the other family may have been called off.
			if !slices.Contains(n.asked, "udp www.name.test. TypeAAAA") || len(n.asked) > 2 {
				t.Errorf("asked %s", n.asked)
			}
			c.Close()
			s.Close()
		})
	}
}

// An answer that is cut off is asked for again over TCP (RFC 7766, section 5).
func TestTruncatedAnswerIsAskedForByTCP(t *testing.T) {
	var many []string
	for i := range 60 {
		many = append(many, netip.AddrFrom4([4]byte{10, 77, 0, byte(100 + i)}).String())
	}
	n := &nameServer{zone: map[string][]string{"many.test.": many}, truncate: true}
	resolving(t, n, []string{"10.77.0.2:53"}, func(t *testing.T, h *hosts) {
		got, err := h.client.LookupNetIP(t.Context(), "ip4", "many.test")
		if err != nil || len(got) != 60 || got[59].String() != many[59] {
			t.Errorf("%d addresses, %v", len(got), err)
		}
		if got := strings.Join(n.asked, ", "); got != "udp many.test. TypeA, tcp many.test. TypeA" {
			t.Errorf("asked %s", got)
		}
	})
}

// A server that is silent costs five seconds, one that cannot answer nothing; one that
// knows that the name does not exist has the last word.
func TestNameServersAreAskedInTurn(t *testing.T) {
	zone := map[string][]string{"a.test.": {"10.77.0.9"}}
	for _, tt := range []struct {
		name   string
		server *nameServer
		dns    []string
		host   string
		want   string // address or error
		at     time.Duration
	}{
		{"first silent", &nameServer{zone: zone}, []string{"10.77.0.66:53", "10.77.0.2:53"}, "a.test", "10.77.0.9", 5 * time.Second},
		{"no such name: not asked again", &nameServer{zone: zone}, []string{"10.77.0.2:53", "10.77.0.66:53"}, "b.test", "lookup b.test on 10.77.0.2:53: no such host", 0},
		{"all silent", &nameServer{}, []string{"10.77.0.66:53", "10.77.0.67:53"}, "a.test", "lookup a.test on 10.77.0.67:53: i/o timeout", 20 * time.Second},
		{"a server that fails", &nameServer{code: dnsmessage.RCodeServerFailure}, []string{"10.77.0.2:53"}, "a.test", "lookup a.test on 10.77.0.2:53: server misbehaving", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resolving(t, tt.server, tt.dns, func(t *testing.T, h *hosts) {
				start := time.Now()
				addrs, err := h.client.LookupNetIP(t.Context(), "ip4", tt.host)
				got := ""
				switch {
				case err != nil:
					got = err.Error()
				case len(addrs) == 1:
					got = addrs[0].String()
				}
				// What is said of a timeout is Go's, and names more.
				if got != tt.want && !(strings.HasSuffix(tt.want, "i/o timeout") && strings.HasPrefix(got, "lookup a.test on 10.77.0.67:53: ") && strings.Contains(got, "timeout")) {
					t.Errorf("%q, want %q", got, tt.want)
				}
				if took := time.Since(start); took != tt.at {
					t.Errorf("after %v, want %v", took, tt.at)
				}
			})
		})
	}
}

// What a program does that wants more than addresses.
func TestOtherRecordsThroughTheStack(t *testing.T) {
	n := &nameServer{zone: map[string][]string{"a.test.": {"10.77.0.9"}}}
	resolving(t, n, nil, func(t *testing.T, h *hosts) {
		r := h.client.DNSClient(netip.MustParseAddrPort("10.77.0.2:53"))
		if _, err := r.LookupTXT(t.Context(), "a.test."); err == nil {
			t.Error("text where there is none")
		}
		if got := strings.Join(n.asked, ", "); got != "udp a.test. TypeTXT" {
			t.Errorf("asked %s", got)
		}
	})
}

func TestLookupNetIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := globalConfig(1)
		client.Resolver = script{"0s 10.77.0.2 10.77.0.3", "20ms fd77::2 2001:db8::2 ::ffff:10.9.9.9 :: 10.8.8.8"}
		h := newHosts(t, client, globalConfig(2), pipe.Config{})
		defer h.close()
		for _, tt := range []struct{ network, host, want string }{
			{"ip", "name.test", "[2001:db8::2 10.77.0.2 10.77.0.3 fd77::2]"},
			{"ip4", "name.test", "[10.77.0.2 10.77.0.3]"},
			{"ip6", "name.test", "[2001:db8::2 fd77::2]"},
			{"ip", "localhost", "[::1 127.0.0.1]"},
			{"ip", "fe80::9%pipe0", "[fe80::9]"},
			{"ip", "10.1.1.1", "[10.1.1.1]"},
			{"ip", "::ffff:10.1.1.1", "[10.1.1.1]"},
			{"ip6", "10.1.1.1", "address 10.1.1.1: no suitable address found"},
			{"ip", "fe80::9%eth0", `address fe80::9%eth0: no device "eth0" here; the zone is pipe0, or none`},
			{"ipx", "name.test", "unknown network ipx"},
		} {
			addrs, err := h.client.LookupNetIP(t.Context(), tt.network, tt.host)
			got := netipsText(addrs)
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%s %s: %s, want %s", tt.network, tt.host, got, tt.want)
			}
		}
	})
}

func netipsText(addrs []netip.Addr) string {
	var words []string
	for _, a := range addrs {
		words = append(words, a.String())
	}
	return "[" + strings.Join(words, " ") + "]"
}

func TestResolverConfiguration(t *testing.T) {
	for text, change := range map[string]func(*Config){
		"DNS and Resolver are both set": func(c *Config) {
			c.DNS = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:53")}
			c.Resolver = &net.Resolver{}
		},
		"10.0.0.1:0 in DNS is no name server": func(c *Config) {
			c.DNS = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:0")}
		},
	} {
		cfg := serverConfig()
		change(&cfg)
		far, near := pipe.New(pipe.Config{})
		if _, err := New(near, cfg); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
		far.Close()
		near.Close()
	}
}

var _ Resolver = (*net.Resolver)(nil)

// warmResolver lets Go's resolver read its files before the first bubble: it makes a channel
// for them that is then used everywhere.
var warmResolver = sync.OnceFunc(func() {
	r := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }}
	r.LookupHost(context.Background(), "name.invalid.")
})

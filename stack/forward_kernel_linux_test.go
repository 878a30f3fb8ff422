package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link/tun"
)

// gatewayOfTheKernel is a stack behind a TUN that the kernel of the test's namespace has its
// default routes by.
func gatewayOfTheKernel(t *testing.T, f Forward) {
	t.Helper()
	nstest.Require(t)
	dev, err := tun.Open(tun.Config{Name: "tungate"})
	if err != nil {
		t.Fatal(err)
	}
	nstest.IP(t, "link set tungate up")
	nstest.AddAddr(t, "tungate", netip.MustParsePrefix("10.77.8.1/24"))
	nstest.AddAddr(t, "tungate", netip.MustParsePrefix("fd77:8::1/64"))
	nstest.IP(t, "route add default dev tungate")
	nstest.IP(t, "-6 route add default dev tungate")
	s, err := New(dev, Config{Addrs: prefixes("10.77.8.2/24", "fd77:8::2/64"), Forward: f})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
}

// backends are servers of the kernel's on loopback, by the port that was asked for. As a
// handler they are a proxy that dials on; whoever asks for another port is refused.
type backends map[uint16]string

func (b backends) tcp(r *TCPRequest) {
	behind, err := net.Dial("tcp", b[r.Local().Port()])
	if err != nil {
		return
	}
	defer behind.Close()
	c, err := r.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	done := make(chan bool)
	go func() {
		io.Copy(behind, c)
		behind.(*net.TCPConn).CloseWrite()
		close(done)
	}()
	io.Copy(c, behind)
	c.CloseWrite()
	<-done
}

func (b backends) udp(r *UDPRequest) {
	behind, err := net.Dial("udp", b[r.Local().Port()])
	if err != nil {
		return
	}
	defer behind.Close()
	u, err := r.Accept()
	if err != nil {
		return
	}
	go func() {
		io.Copy(u, behind)
		u.Close()
	}()
	io.Copy(behind, u)
}

// listenKernel is a port of the kernel's on loopback that is closed with the test.
func listenKernel(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); p.Close() })
	return l, p
}

// curl asks for addresses that are nobody's, and gets what the server behind the proxy has,
// from the address that it asked.
func TestTransparentProxyForTheKernel(t *testing.T) {
	nstest.Require(t)
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl")
	}
	l, _ := listenKernel(t)
	page := noise(1 << 20)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s for %s:", r.Method, r.Host)
		w.Write(got)
		w.Write(page)
	})}
	go web.Serve(l)
	defer web.Close()
	gatewayOfTheKernel(t, Forward{TCP: backends{80: l.Addr().String()}.tcp})
	for _, host := range []string{"203.0.113.7", "198.51.100.9", "[2001:db8::7]"} {
		run := func(url string, body []byte) ([]byte, error) {
			cmd := exec.Command(curl, "-sg", "--max-time", "30", "--noproxy", "*", "-H", "Expect:", "--data-binary", "@-",
				"-w", "%{stderr}%{remote_ip} %{remote_port}", url)
			cmd.Stdin = bytes.NewReader(body)
			var where bytes.Buffer
			cmd.Stderr = &where
			out, err := cmd.Output()
			if want := fmt.Sprintf("%s 80", netip.MustParseAddr(string(bytes.Trim([]byte(host), "[]")))); err == nil && where.String() != want {
				t.Errorf("curl was answered by %s, want %s", &where, want)
			}
			return out, err
		}
		body := noise(300_000)
		out, err := run("http://"+host+"/", body)
		if want := slices.Concat([]byte("POST for "+host+":"), body, page); err != nil || !bytes.Equal(out, want) {
			t.Errorf("curl %s: %v, %d bytes of %d: %.60q", host, err, len(out), len(want), out)
		}
		_, err = run("http://"+host+":81/", nil)
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Errorf("curl %s where nobody is behind: %v, want its code 7, connection refused", host, err)
		}
	}
}

// A resolver of the kernel's sockets asks a name server that is nobody's; a socket hears its
// answers from the address that it asked, or that nobody is behind it.
func TestProxyOfDatagramsForTheKernel(t *testing.T) {
	nstest.Require(t)
	_, names := listenKernel(t)
	n := &nameServer{zone: map[string][]string{"house.example.": {"192.0.2.1", "2001:db8::1"}}}
	go answerAll(names, func(b []byte) []byte { return n.answer(t, "udp", b) })
	_, echo := listenKernel(t)
	go answerAll(echo, func(b []byte) []byte { return b })
	gatewayOfTheKernel(t, Forward{UDP: backends{53: names.LocalAddr().String(), 7: echo.LocalAddr().String()}.udp})
	for _, host := range []string{"203.0.113.53", "[2001:db8::53]"} {
		client := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", host+":53")
		}}
		addrs, err := client.LookupNetIP(t.Context(), "ip", "house.example.")
		slices.SortFunc(addrs, netip.Addr.Compare)
		if fmt.Sprint(addrs) != "[192.0.2.1 2001:db8::1]" {
			t.Errorf("%s says %v, %v", host, addrs, err)
		}

		sock, err := net.ListenPacket("udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer sock.Close()
		sock.SetDeadline(time.Now().Add(time.Minute))
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(host + ":7"))
		b := make([]byte, 65536)
		for _, size := range []int{1, 1400, 20000} {
			payload := noise(size)
			if _, err := sock.WriteTo(payload, to); err != nil {
				t.Fatal(err)
			}
			n, from, err := sock.ReadFrom(b)
			if err != nil || from.String() != to.String() || !bytes.Equal(b[:n], payload) {
				t.Fatalf("%d bytes to %v: %d from %v, %v", size, to, n, from, err)
			}
		}

		c, err := net.Dial("udp", host+":9")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		mustWrite(t, c, "anybody?")
		if _, err := c.Read(b); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody is behind %s:9: %v", host, err)
		}
	}
}

// answerAll answers every datagram that comes to p, until that is closed.
func answerAll(p net.PacketConn, answer func([]byte) []byte) {
	b := make([]byte, 65536)
	for {
		n, from, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		p.WriteTo(answer(b[:n]), from)
	}
}

// A socket of the kernel's that is closed: its kernel says so to the address that the
// handler's answer came from, and the handler hears it.
func TestHandlerHearsThatTheKernelsSocketIsGone(t *testing.T) {
	flows := make(chan *UDPConn)
	gatewayOfTheKernel(t, Forward{UDP: func(r *UDPRequest) {
		if u, err := r.Accept(); err == nil {
			flows <- u
		}
	}})
	for _, host := range []string{"203.0.113.53", "[2001:db8::53]"} {
		c, err := net.Dial("udp", host+":9")
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, c, "hello")
		u := <-flows
		u.SetDeadline(time.Now().Add(time.Minute))
		wantRead(t, u, "hello")
		c.Close()
		mustWrite(t, u, "answer")
		if _, err := u.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Read: %v", err)
		}
		u.Close()
	}
}

//go:build e2e

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/cmd/portico/internal/serve"
	"github.com/a644562b/portico/cmd/portico/internal/view"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/stack"
	"github.com/vishvananda/netlink"
)

// The daemon's addresses, as defaults have them.
var both = map[string]string{"IPv4": "10.77.0.2", "IPv6": "[fd77::2]"}

func TestE2EPageTellsCurlAboutItsConnection(t *testing.T) {
	need(t, "curl", "curl")
	startUp(t)
	for family, host := range both {
		text := output(t, nil, "curl", "-q", "-sS", "http://"+host+"/")
		if !strings.Contains(text, "ESTABLISHED") || !strings.Contains(text, strings.Trim(host, "[]")+", port 80") {
			t.Errorf("%s: the page is\n%s", family, text)
		}
		html := output(t, nil, "curl", "-q", "-sS", "--compressed", "-H", "Accept: text/html", "http://"+host+"/")
		if !strings.HasPrefix(html, "<!DOCTYPE html>") {
			t.Errorf("%s: not HTML:\n%s", family, html)
		}
	}
}

func TestE2ECurlMovesAGigabyteEachWayUnharmed(t *testing.T) {
	need(t, "curl", "curl")
	const n = 1 << 30
	h := sha256.New()
	if _, err := io.CopyN(h, new(serve.Pattern), n); err != nil {
		t.Fatal(err)
	}
	want := hex.EncodeToString(h.Sum(nil))
	startUp(t)
	for family, host := range both {
		h := sha256.New()
		cmd := exec.Command("curl", "-q", "-sS", fmt.Sprintf("http://%s/bytes/%d", host, n))
		cmd.Stdout = h
		begun := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s, down: %v", family, err)
		}
		t.Logf("%s, down: %s", family, speed(n, begun))
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s, down: digest %s, want %s", family, got, want)
		}
		begun = time.Now()
		got := output(t, io.LimitReader(new(serve.Pattern), n), "curl", "-q", "-sS", "-T", "-", "http://"+host+"/sha256")
		t.Logf("%s, up: %s", family, speed(n, begun))
		if got := strings.TrimSpace(got); got != want {
			t.Errorf("%s, up: digest %s, want %s", family, got, want)
		}
	}
}

func speed(bytes int64, begun time.Time) string {
	return fmt.Sprintf("%.2f Gbit/s", float64(bytes)*8/1e9/time.Since(begun).Seconds())
}

// The kernel closes its half first and still gets everything back.
func TestE2EHalfCloseByTheKernel(t *testing.T) {
	startUp(t)
	sent := make([]byte, 4<<20)
	new(serve.Pattern).Read(sent)
	for family, host := range both {
		c := dialKernel(t, "tcp", host+":7").(*net.TCPConn)
		c.SetDeadline(time.Now().Add(patience))
		go func() {
			c.Write(sent)
			c.CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %d bytes came back (%v)", family, len(got), err)
		}
	}
}

func TestE2EHalfCloseByNetcat(t *testing.T) {
	need(t, "nc", "netcat-openbsd")
	startUp(t)
	sent := strings.Repeat("half-close\n", 10_000)
	if got := output(t, strings.NewReader(sent), "nc", "-N", "10.77.0.2", "7"); got != sent {
		t.Errorf("%d bytes came back of %d", len(got), len(sent))
	}
}

// openNode makes a host in this very process, to be the client.
func openNode(t *testing.T) *stack.Stack {
	t.Helper()
	n, err := node.Open(node.Config{
		Addrs:     []netip.Prefix{netip.MustParsePrefix("10.79.0.2/24"), netip.MustParsePrefix("fd79::2/64")},
		HostAddrs: []netip.Prefix{netip.MustParsePrefix("10.79.0.1/24"), netip.MustParsePrefix("fd79::1/64")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stack.Close() })
	return n.Stack
}

// portico closes its half first, and the kernel answers at length only then.
func TestE2EHalfCloseByPortico(t *testing.T) {
	s := openNode(t)
	answer := make([]byte, 4<<20)
	new(serve.Pattern).Read(answer)
	for family, host := range map[string]string{"IPv4": "10.79.0.1", "IPv6": "[fd79::1]"} {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		heard := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				heard <- err.Error()
				return
			}
			defer c.Close()
			b, err := io.ReadAll(c) // until portico's FIN
			if err != nil {
				heard <- err.Error()
				return
			}
			heard <- string(b)
			c.Write(answer)
		}()
		c, err := s.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		if err := c.(*stack.Conn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := <-heard; got != "question" {
			t.Errorf("%s: the kernel heard %q", family, got)
		}
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, answer) {
			t.Errorf("%s: %d bytes came after the half-close (%v)", family, len(got), err)
		}
		c.Close()
	}
}

// Four connections that echo at the same time, twenty times over: no standstill, and no
// byte wrong.
func TestE2EFourEchoesAtOnceWithoutStandstill(t *testing.T) {
	const (
		conns  = 4
		size   = 64 << 20
		rounds = 20
	)
	startUp(t)
	begun := time.Now()
	for round := range rounds {
		host := both["IPv4"]
		if round%2 == 1 {
			host = both["IPv6"]
		}
		done := make(chan error, conns)
		for i := range conns {
			go func() { done <- echoPattern(host+":7", int64(round*conns+i)*8, size) }()
		}
		for range conns {
			if err := <-done; err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
	}
	t.Logf("each way, all four: %s", speed(conns*size*rounds, begun))
}

// echoPattern sends size bytes of the pattern from offset from on and compares what comes
// back, byte by byte. The deadline of a round tells a standstill.
func echoPattern(address string, from, size int64) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	wrote := make(chan error, 1)
	go func() {
		_, err := io.Copy(onlyWriter{c}, io.LimitReader(patternFrom(from), size))
		if err == nil {
			err = c.(*net.TCPConn).CloseWrite()
		}
		wrote <- err
	}()
	want := patternFrom(from)
	got, expected := make([]byte, 256<<10), make([]byte, 256<<10)
	var n int64
	for {
		m, err := c.Read(got)
		want.Read(expected[:m])
		if !bytes.Equal(got[:m], expected[:m]) {
			return fmt.Errorf("a wrong byte among those from %d to %d", n, n+int64(m))
		}
		n += int64(m)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", n, err)
		}
	}
	if n != size {
		return fmt.Errorf("%d bytes came back of %d", n, size)
	}
	return <-wrote
}

// onlyWriter hides ReadFrom.
type onlyWriter struct{ io.Writer }

// patternFrom is the pattern from an offset on.
func patternFrom(offset int64) *serve.Pattern {
	p := new(serve.Pattern)
	io.CopyN(io.Discard, p, offset)
	return p
}

func TestE2EThousandConnectionsAtOnce(t *testing.T) {
	const n = 1000
	d := startUp(t)
	conns := make([]net.Conn, n)
	failures := make(chan error, n)
	for i := range conns {
		go func() {
			var err error
			defer func() { failures <- err }()
			c, err := (&net.Dialer{Timeout: patience}).Dial("tcp", "10.77.0.2:7")
			if err != nil {
				return
			}
			conns[i] = c
			c.SetDeadline(time.Now().Add(patience))
			sent, got := fmt.Appendf(nil, "%1000d", i), make([]byte, 1000)
			if _, err = c.Write(sent); err != nil {
				return
			}
			if _, err = io.ReadFull(c, got); err == nil && !bytes.Equal(got, sent) {
				err = errors.New("the echo differs")
			}
		}()
	}
	for range n {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if got := strings.Count(d.portico("ss", "-tn"), "ESTAB"); got != n {
		t.Errorf("%d connections are established, want %d", got, n)
	}
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
}

func TestE2EClosedPortRefusesTheKernel(t *testing.T) {
	startUp(t)
	for family, host := range both {
		if c, err := net.DialTimeout("tcp", host+":81", patience); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, %v", family, c, err)
		}
	}
}

func TestE2EDatagrams(t *testing.T) {
	d := startUp(t)
	for family, host := range both {
		c := dialKernel(t, "udp", host+":7")
		c.SetDeadline(time.Now().Add(patience))
		buf := make([]byte, 4096)
		for _, size := range []int{0, 1, 1400} {
			sent := bytes.Repeat([]byte{'x'}, size)
			if _, err := c.Write(sent); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(buf); err != nil || !bytes.Equal(buf[:n], sent) {
				t.Errorf("%s: echo of %d bytes: %d, %v", family, size, n, err)
			}
		}
		closed := dialKernel(t, "udp", host+":70")
		closed.SetDeadline(time.Now().Add(patience))
		if _, err := closed.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := closed.Read(buf); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: a closed port: %v", family, err)
		}
	}
	if got := d.portico("ss", "-lun"); strings.Count(got, "UNCONN") != 4 {
		t.Errorf("ss -lun lists\n%s", got)
	}
}

// The kernel pings portico, and portico the kernel.
func TestE2EPing(t *testing.T) {
	startUp(t)
	for _, c := range []struct{ network, host, src string }{
		{"ip4:icmp", "10.77.0.2", "10.77.0.1"}, {"ip6:ipv6-icmp", "fd77::2", "fd77::1"},
	} {
		conn := dialKernel(t, c.network, c.host)
		conn.SetDeadline(time.Now().Add(patience))
		src, dst := netip.MustParseAddr(c.src), netip.MustParseAddr(c.host)
		request := ip.EchoRequest(dst.Is4(), 77, 1, []byte("are you there?"))
		if _, err := conn.Write(request.Append(nil, src, dst)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1500)
		n, _, err := conn.(*net.IPConn).ReadFromIP(buf) // without the IPv4 header
		if err != nil || n < 8 || string(buf[8:n]) != "are you there?" {
			t.Errorf("%s: %q, %v", c.host, buf[:max(0, n)], err)
		}
	}
	for _, host := range []string{"10.78.0.1", "fd78::1"} {
		got := output(t, nil, porticoPath, "ping", "-c", "2", "-i", "0.01", "-W", "30", host)
		if !strings.Contains(got, "2 packets transmitted, 2 received, 0% packet loss") || !strings.Contains(got, "icmp_seq=2 ttl=64") {
			t.Errorf("portico ping %s:\n%s", host, got)
		}
	}
	nobody := exec.Command(porticoPath, "ping", "-c", "1", "-W", "0.1", "10.78.0.99")
	out, err := nobody.Output()
	if nobody.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(out), "100% packet loss") {
		t.Errorf("portico ping to nobody: %v\n%s", err, out)
	}
}

// A peer vanishes while none of its packets get through any more: nothing but the
// keep-alive probes can tell.
func TestE2EKeepAliveFindsAVanishedPeer(t *testing.T) {
	d := startUp(t, "--keepalive", "200ms", "--log-level", "debug")
	peer := dialKernel(t, "tcp", "10.77.0.2:7").(*net.TCPConn)
	peer.SetDeadline(time.Now().Add(patience))
	peer.Write([]byte("x"))
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	tun, err := netlink.LinkByName("tun0")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("10.77.0.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrDel(tun, addr); err != nil {
		t.Fatal(err)
	}
	// Nothing may be left of it: its FIN would come to the daemon of a later test.
	peer.SetLinger(0)
	peer.Close()
	if line := d.expect("connection ended"); !strings.Contains(line, "connection timed out") {
		t.Errorf("the connection ended otherwise: %s", line)
	}
	if got := d.portico("ss", "-tan"); strings.Contains(got, "ESTAB") {
		t.Errorf("ss still lists it:\n%s", got)
	}
	if got := d.portico("trace", "1"); !strings.Contains(got, "keep-alive probe") || !strings.Contains(got, "keep-alive unanswered") {
		t.Errorf("its life:\n%s", got)
	}
}

func TestE2ECaptureIsCleanForTshark(t *testing.T) {
	need(t, "curl", "curl")
	need(t, "tshark", "tshark")
	file := filepath.Join(t.TempDir(), "wire.pcapng")
	d := startUp(t, "--pcap", file)
	for _, host := range both {
		output(t, nil, "curl", "-q", "-sS", "-o", "/dev/null", "http://"+host+"/bytes/2097152")
		output(t, io.LimitReader(new(serve.Pattern), 2<<20), "curl", "-q", "-sS", "-T", "-", "http://"+host+"/sha256")
		c := dialKernel(t, "udp", host+":7")
		c.SetDeadline(time.Now().Add(patience))
		c.Write([]byte("x"))
		c.Read(make([]byte, 1))
	}
	net.DialTimeout("tcp", "10.77.0.2:81", patience)
	d.stop()
	tshark := func(args ...string) string {
		t.Helper()
		return output(t, nil, "tshark", append([]string{"-n", "-r", file, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
			"-o", "udp.check_checksum:TRUE"}, args...)...)
	}
	bad := tshark("-Y", "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || "+
		"icmp.checksum.status == 0 || icmpv6.checksum.status == 0")
	if bad != "" {
		t.Errorf("tshark finds fault with\n%.2000s", bad)
	}
	if good := tshark("-Y", "tcp.checksum.status == 1", "-T", "fields", "-e", "frame.number"); strings.Count(good, "\n") < 5_000 {
		t.Errorf("only %d good TCP checksums", strings.Count(good, "\n"))
	}
	if long := tshark("-Y", "frame.len > 1500"); long != "" {
		t.Errorf("packets longer than the MTU:\n%.500s", long)
	}
	comments := tshark("-Y", "frame.comment", "-T", "fields", "-e", "frame.comment")
	for _, want := range []string{"LISTEN → SYN-RECEIVED", "SYN-RECEIVED → ESTABLISHED", "ESTABLISHED → CLOSE-WAIT", "CLOSE-WAIT → LAST-ACK", "LAST-ACK → CLOSED"} {
		if strings.Count(comments, want) < 4 {
			t.Errorf("%d comments say %q, want one a connection:\n%.1000s", strings.Count(comments, want), want, comments)
		}
	}
}

func TestE2ESigtermClosesWhatIsOpen(t *testing.T) {
	d := startUp(t)
	idle := dialKernel(t, "tcp", "10.77.0.2:7")
	idle.SetDeadline(time.Now().Add(patience))
	idle.Write([]byte("x"))
	if _, err := io.ReadFull(idle, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the idle connection ended with %v, want EOF", err)
	}
	idle.Close()
	d.gone()
}

func TestE2ESecondSignalEndsAtOnce(t *testing.T) {
	d := startUp(t)
	resp, err := http.Get("http://10.77.0.2/bytes/10737418240")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	d.cmd.Process.Signal(syscall.SIGINT)
	d.expect("closing")
	d.cmd.Process.Signal(syscall.SIGINT)
	if line := d.expect("not everything had finished"); !strings.Contains(line, "interrupt signal received") {
		t.Errorf("it was not the second signal that ended it: %s", line)
	}
	d.gone()
}

func TestE2EListsAndTraces(t *testing.T) {
	need(t, "curl", "curl")
	d := startUp(t)
	output(t, nil, "curl", "-q", "-sS", "http://10.77.0.2/")
	if got := d.portico("ss", "-ltn"); strings.Count(got, "LISTEN") != 5 {
		t.Errorf("ss -ltn lists\n%s", got)
	}
	var conns []view.Connection
	if err := json.Unmarshal([]byte(output(t, nil, "curl", "-q", "-sS", "http://10.77.0.2/conns")), &conns); err != nil {
		t.Fatal(err)
	}
	if len(conns) == 0 || conns[len(conns)-1].State != "ESTABLISHED" {
		t.Errorf("/conns: %+v", conns)
	}
	var sockets view.Sockets
	if err := json.Unmarshal([]byte(d.portico("ss", "-a", "--json")), &sockets); err != nil || len(sockets.Listeners) != 5 {
		t.Errorf("ss --json: %+v, %v", sockets, err)
	}
	c := dialKernel(t, "tcp", "10.77.0.2:7")
	c.SetDeadline(time.Now().Add(patience))
	c.Write([]byte("x"))
	c.Read(make([]byte, 1))
	if got := d.portico("ss", "-tni"); !strings.Contains(got, " wscale:") || !strings.Contains(got, "bytes_received:1 ") {
		t.Errorf("ss -tni:\n%s", got)
	}
	if got := d.portico("trace", c.LocalAddr().String()); !strings.Contains(got, "three-way handshake") || !strings.Contains(got, "len=1 ") {
		t.Errorf("trace of an open connection:\n%s", got)
	}
	if got := d.portico("trace"); !strings.Contains(got, "ESTABLISHED") || strings.Count(got, "\n") < 4 {
		t.Errorf("trace:\n%s", got)
	}
	if got := d.portico("trace", "1"); !strings.Contains(got, "four-way teardown") || !strings.Contains(got, "~TIME-WAIT") {
		t.Errorf("trace of a closed connection:\n%s", got)
	}
}

func TestE2ESecondDaemonIsRefused(t *testing.T) {
	d := startUp(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"up", "--api", "unix://" + d.socket}, "another portico answers"},
		{[]string{"up", "--api", "unix://" + d.socket + "2"}, "overlaps"},
		{[]string{"up", "--api", "unix://" + d.socket + "2", "--addr", "10.9.0.2/24", "--host-addr", "10.9.0.1/24"}, "tun0"},
	} {
		cmd := exec.Command(porticoPath, c.args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		cmd.Run()
		if cmd.ProcessState.ExitCode() != exitFailed || !isOneLine(stderr.String()) || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("%v: exit %d, %q; want %q", c.args, cmd.ProcessState.ExitCode(), stderr.String(), c.want)
		}
	}
}

func TestE2EFetchBringsThePageAndTellsTheStory(t *testing.T) {
	body := make([]byte, 1<<20)
	new(serve.Pattern).Read(body)
	site := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/empty" {
			w.Write(body)
		}
	})}
	defer site.Close()
	l, err := net.Listen("tcp", ":8000")
	if err != nil {
		t.Fatal(err)
	}
	go site.Serve(l)
	for _, host := range []string{"10.78.0.1", "[fd78::1]"} {
		file := filepath.Join(t.TempDir(), "body")
		cmd := exec.Command(porticoPath, "fetch", "-v", "-o", file, "http://"+host+":8000/x")
		var story bytes.Buffer
		cmd.Stderr = &story
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, story.String())
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes (%v)", host, len(got), err)
		}
		for _, want := range []string{"> GET /x", "< HTTP/1.1 200 OK", "three-way handshake", "four-way teardown", "TIME-WAIT: 2·MSL = 60 s"} {
			if !strings.Contains(story.String(), want) {
				t.Errorf("%s: the story lacks %q:\n%s", host, want, story.String())
			}
		}
	}
	// An answer without a body leaves an empty file, whatever was in it.
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, nil, porticoPath, "fetch", "-o", file, "http://10.78.0.1:8000/empty")
	if got, err := os.ReadFile(file); err != nil || len(got) != 0 {
		t.Errorf("of no body there are %d bytes, %v", len(got), err)
	}
	refused := exec.Command(porticoPath, "fetch", "http://10.78.0.1:8001/")
	var said bytes.Buffer
	refused.Stderr = &said
	refused.Run()
	if refused.ProcessState.ExitCode() != exitFailed || !isOneLine(said.String()) || !strings.Contains(said.String(), "connection refused") {
		t.Errorf("a closed port: exit %d, %q", refused.ProcessState.ExitCode(), said.String())
	}
}

func TestE2EDemoShowsTheRealCurl(t *testing.T) {
	need(t, "curl", "curl")
	got := output(t, nil, porticoPath, "demo", "--wire", "tun")
	for _, want := range []string{"curl 10.77.0.1:", "portico 10.77.0.2:80", "a SYN takes one number", "four-way teardown", "LAST-ACK", "7 application", "/dev/net/tun"} {
		if !strings.Contains(got, want) {
			t.Errorf("the demo lacks %q:\n%s", want, got)
		}
	}
	if !json.Valid([]byte(output(t, nil, porticoPath, "demo", "--json"))) {
		t.Error("demo --json is not JSON")
	}
	if _, err := net.InterfaceByName("tun0"); err == nil {
		t.Error("the demo left its TUN in our namespace")
	}
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/ladder"
	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/spf13/cobra"
)

// closeGrace is how long a client's connections get to close when it is done.
const closeGrace = 2 * time.Second

// fetchFlags are the flags of `portico fetch`.
type fetchFlags struct {
	net            *netFlags
	dns            *nameServers
	output         string
	head           bool
	verbose        bool
	insecure       bool
	connectTimeout time.Duration
}

func newFetch() *cobra.Command {
	f := &fetchFlags{}
	cmd := &cobra.Command{
		Use:   "fetch URL",
		Short: "fetch a page with portico's own stack, from a TUN of its own",
		Long: `Fetch a page over http or https with portico's own stack, from a TUN of its own that
is removed again. The body goes to stdout; -v tells on stderr what happened, with the
ladder of each connection. The host itself answers at its address on the TUN
(10.78.0.1); to reach beyond it, the host has to forward and to masquerade. Names are
looked up by the host, or with --dns at a name server that portico asks itself.`,
		Example: `  python3 -m http.server 8000 &    something to fetch
  sudo portico fetch -v http://10.78.0.1:8000/
  sudo portico fetch -o page.html https://example.org/
  sudo portico fetch --dns 9.9.9.9 https://example.org/`,
		Args: oneArg("URL"),
		RunE: func(cmd *cobra.Command, args []string) error { return fetch(cmd, f, args[0]) },
	}
	f.net = addNetFlags(cmd, "", 78)
	f.dns = addDNSFlag(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.output, "output", "o", "", "write the body to `file`")
	fl.BoolVarP(&f.head, "head", "I", false, "ask for the header only, and write it to stdout")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "tell the story on stderr")
	fl.BoolVarP(&f.insecure, "insecure", "k", false, "accept any certificate")
	fl.DurationVar(&f.connectTimeout, "connect-timeout", 10*time.Second, "how long to wait for a connection")
	return cmd
}

// parseURL reads the argument of fetch; http:// may be left out.
func parseURL(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not a URL", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q: only http and https can be fetched", s)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q names no host", s)
	}
	return u, nil
}

// fetch makes a host, fetches, tells, and takes the host down.
func fetch(cmd *cobra.Command, f *fetchFlags, arg string) error {
	u, err := parseURL(arg)
	if err != nil {
		return usagef(cmd, "%w", err)
	}
	if f.connectTimeout <= 0 {
		return usagef(cmd, "--connect-timeout %s: choose a time above 0, such as 10s", f.connectTimeout)
	}
	cfg, err := f.net.config(cmd)
	if err != nil {
		return err
	}
	out, err := openOutput(f.output, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	defer out.Close()
	cfg.DNS = f.dns.list
	watch := node.NewWatch()
	cfg.OnChange = watch.Changed
	if f.net.pcap != "" {
		file, err := createPCAP(f.net.pcap)
		if err != nil {
			return err
		}
		defer file.Close()
		cfg.Capture = file
	}
	n, err := node.Open(cfg)
	if err != nil {
		return err
	}
	client := &fetcher{flags: f, node: n, stderr: io.Discard}
	if f.verbose {
		client.stderr = cmd.ErrOrStderr()
	}
	client.tell("portico is %s on %s", addrList(cfg.Addrs), n.Name)
	err = n.Explain(client.get(cmd.Context(), u, out))

	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), closeGrace)
	defer cancel()
	if f.verbose {
		watch.Settled(ctx, n.Book, 0)
		client.ladders(peerName(u))
	}
	n.Stack.Shutdown(ctx) // its error says that time was up
	return err
}

// addrList writes addresses without their prefix lengths.
func addrList(prefixes []netip.Prefix) string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.Addr().String()
	}
	return strings.Join(words, ", ")
}

// openOutput is where the body goes.
func openOutput(path string, stdout io.Writer) (io.WriteCloser, error) {
	if path == "" || path == "-" {
		return keepOpen{stdout}, nil
	}
	file, err := createFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot write the body: %w: choose another file with --output", err)
	}
	return file, nil
}

// keepOpen is a Writer that is not ours to close.
type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

// fetcher is an HTTP client on a node.
type fetcher struct {
	flags  *fetchFlags
	node   *node.Node
	stderr io.Writer
}

func (c *fetcher) tell(format string, args ...any) { fmt.Fprintf(c.stderr, "* "+format+"\n", args...) }

// get fetches u and writes the body to out.
func (c *fetcher) get(ctx context.Context, u *url.URL, out io.Writer) error {
	transport := &http.Transport{
		DialContext:       c.dial,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: c.flags.insecure},
		ForceAttemptHTTP2: true,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	method := http.MethodGet
	if c.flags.head {
		method = http.MethodHead
	}
	ctx = httptrace.WithClientTrace(ctx, c.trace(method+" "+u.RequestURI()))
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "portico/"+strings.Fields(version())[0])
	resp, err := client.Do(req)
	if err != nil {
		return c.explain(u, err)
	}
	defer resp.Body.Close()
	c.tellResponse(resp)
	if _, err := out.Write(nil); err != nil { // there is an answer, if one without a body
		return fmt.Errorf("cannot write the body: %w", err)
	}
	if c.flags.head {
		fmt.Fprintf(out, "%s %s\r\n", resp.Proto, resp.Status)
		resp.Header.Write(out)
		_, err := io.WriteString(out, "\r\n")
		return err
	}
	if n, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("the body of %s ended after %d bytes: %w", u, n, err)
	}
	return nil
}

// trace tells of the stages of a request.
func (c *fetcher) trace(request string) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { fmt.Fprintf(c.stderr, "> %s\n", request) },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if err == nil {
				c.tell("%s, %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite))
			}
		},
		WroteHeaderField: func(key string, value []string) {
			fmt.Fprintf(c.stderr, "> %s: %s\n", key, strings.Join(value, ", "))
		},
	}
}

func (c *fetcher) tellResponse(resp *http.Response) {
	fmt.Fprintf(c.stderr, "< %s %s\n", resp.Proto, resp.Status)
	for _, key := range sortedKeys(resp.Header) {
		for _, value := range resp.Header[key] {
			fmt.Fprintf(c.stderr, "< %s: %s\n", key, value)
		}
	}
}

func sortedKeys(h http.Header) []string {
	keys := make([]string, 0, len(h))
	for key := range h {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// dial connects over the node's stack, to the first address of a name that answers.
func (c *fetcher) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := resolve(ctx, c.node.Stack, c.flags.dns.list, host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.flags.connectTimeout)
	defer cancel()
	var failures []error
	for _, a := range addrs {
		c.tell("connecting to %s port %s", a, port)
		conn, err := c.node.Stack.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), port))
		if err == nil {
			c.tell("connected from %s", conn.LocalAddr())
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// explain adds to an error what may help.
func (c *fetcher) explain(u *url.URL, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var (
		unresolved  *unresolvedError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("fetching %s was interrupted", u)
	case errors.As(err, &unresolved):
		return unresolved
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s within %s: %s", u.Host, c.flags.connectTimeout, beyondHost)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: connection refused", u.Host)
	case errors.As(err, &certificate):
		return fmt.Errorf("%s: %w: --insecure accepts any certificate", u, err)
	}
	return fmt.Errorf("cannot fetch %s: %w", u, err)
}

// beyondHost is the usual reason for silence.
const beyondHost = "beyond the host itself, it has to forward (sysctl net.ipv4.ip_forward=1) and to masquerade for the TUN"

// peerName is what the ladder calls the server.
func peerName(u *url.URL) string {
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return "server"
	}
	return u.Hostname()
}

// ladders tells the life of every connection.
func (c *fetcher) ladders(peer string) {
	for _, s := range c.node.Book.List() {
		t, err := c.node.Book.Find(fmt.Sprint(s.Serial))
		if err != nil {
			continue // forgotten: more connections than the book keeps
		}
		fmt.Fprintln(c.stderr)
		ladder.Build(t, ladder.Config{Peer: peer}).WriteText(c.stderr, ladder.Text{})
	}
}

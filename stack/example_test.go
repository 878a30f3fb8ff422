package stack_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/stack"
)

// hosts makes two hosts on a wire in memory: a client, 10.77.0.1, and a server,
// 10.77.0.2.
func hosts() (client, server *stack.Stack) {
	return hostsWith(stack.Config{}, stack.Config{})
}

// hostsWith is hosts with a configuration of each.
func hostsWith(ofClient, ofServer stack.Config) (client, server *stack.Stack) {
	a, b := pipe.New(pipe.Config{})
	ofClient.Addrs = []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}
	ofServer.Addrs = []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")}
	client, err := stack.New(a, ofClient)
	if err != nil {
		log.Fatal(err)
	}
	server, err = stack.New(b, ofServer)
	if err != nil {
		log.Fatal(err)
	}
	return client, server
}

// An echo server and its client.
func Example() {
	client, server := hosts()
	defer server.Close()
	defer client.Close()

	l, err := server.Listen("tcp", ":7")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()

	c, err := client.Dial("tcp", "10.77.0.2:7")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(c, "hello through portico")
	c.(*stack.Conn).CloseWrite()
	answer, err := io.ReadAll(c)
	fmt.Printf("%s, %v\n", answer, err)
	c.Close()
	// Output: hello through portico, <nil>
}

// net/http, server and client, runs over a stack unchanged.
func ExampleStack_http() {
	client, server := hosts()
	defer server.Close()
	defer client.Close()

	l, err := server.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "you are at %s and asked for %s", r.RemoteAddr[:len("10.77.0.1")], r.URL.Path)
	})}
	go web.Serve(l)
	defer web.Close()

	browser := &http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
	defer browser.CloseIdleConnections()
	response, err := browser.Get("http://10.77.0.2/hello")
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	fmt.Println(response.Status, err)
	fmt.Println(string(body))
	// Output:
	// 200 OK <nil>
	// you are at 10.77.0.1 and asked for /hello
}

// TLS on both sides of a connection. The certificate is that of net/http/httptest.
func ExampleStack_tls() {
	client, server := hosts()
	defer server.Close()
	defer client.Close()

	pki := httptest.NewTLSServer(nil) // only for its certificate and the pool that trusts it
	defer pki.Close()

	plain, err := server.Listen("tcp", ":443")
	if err != nil {
		log.Fatal(err)
	}
	l := tls.NewListener(plain, pki.TLS)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()

	raw, err := client.Dial("tcp", "10.77.0.2:443")
	if err != nil {
		log.Fatal(err)
	}
	c := tls.Client(raw, &tls.Config{
		RootCAs:    pki.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs,
		ServerName: "example.com",
	})
	fmt.Fprint(c, "a secret")
	c.CloseWrite()
	answer, err := io.ReadAll(c)
	fmt.Printf("%s, %v, %s\n", answer, err, tls.VersionName(c.ConnectionState().Version))
	c.Close()
	// Output: a secret, <nil>, TLS 1.3
}

// HTTP/2 over TLS over a stack: many requests on one connection.
func ExampleStack_http2() {
	client, server := hosts()
	defer server.Close()
	defer client.Close()

	l, err := server.Listen("tcp", ":443")
	if err != nil {
		log.Fatal(err)
	}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s by %s", r.URL.Path, r.Proto)
	}))
	web.Listener.Close() // the kernel's
	web.Listener = l
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()

	transport := web.Client().Transport.(*http.Transport)
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return client.DialContext(ctx, network, "10.77.0.2:443")
	}
	for _, path := range []string{"/one", "/two"} {
		response, err := web.Client().Get("https://example.com" + path)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(string(body))
	}
	fmt.Println("connections:", server.Stats().TCP.PassiveOpens)
	// Output:
	// /one by HTTP/2.0
	// /two by HTTP/2.0
	// connections: 1
}

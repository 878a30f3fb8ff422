package stack_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"

	"github.com/a644562b/portico/stack"
)

// Names by a function of the program's own; by name servers that the stack asks itself,
// Config.DNS would do instead. Of the addresses of a name those that answer first win.
func ExampleResolverFunc() {
	hostsFile := map[string][]netip.Addr{"server.example": {netip.MustParseAddr("10.77.0.99"), netip.MustParseAddr("10.77.0.2")}}
	lookup := func(_ context.Context, network, host string) ([]netip.Addr, error) {
		addrs, ok := hostsFile[host]
		if !ok {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		if network == "ip6" {
			return nil, nil
		}
		return addrs, nil
	}
	client, server := hostsWith(stack.Config{Resolver: stack.ResolverFunc(lookup)}, stack.Config{})
	defer server.Close()
	defer client.Close()
	l, err := server.Listen("tcp", ":13")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, "you found me")
		c.Close()
	}()

	c, err := client.Dial("tcp", "server.example:13") // 10.77.0.99 is nobody
	if err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	fmt.Printf("%s at %v, %v\n", answer, c.RemoteAddr(), err)
	c.Close()
	_, err = client.Dial("tcp", "elsewhere.example:13")
	fmt.Println(err)
	// Output:
	// you found me at 10.77.0.2:13, <nil>
	// dial tcp: lookup elsewhere.example: no such host
}

package stack_test

import (
	"fmt"
	"io"
	"log"
	"net/netip"

	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/stack"
)

// A gateway that answers for every address: the client dials a host that does not exist,
// and the handler sees both ends.
func ExampleForward() {
	a, b := pipe.New(pipe.Config{})
	client, err := stack.New(a, stack.Config{Addrs: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	gateway, err := stack.New(b, stack.Config{
		Addrs: []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")},
		Forward: stack.Forward{TCP: func(r *stack.TCPRequest) {
			// Here a proxy would dial r.Local(), and Refuse when that fails.
			c, err := r.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%v asked for %v", r.Remote().Addr(), r.Local())
			c.Close()
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer gateway.Close()

	c, err := client.Dial("tcp", "203.0.113.7:80")
	if err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	fmt.Printf("%s, %v\n", answer, err)
	c.Close()
	// Output: 10.77.0.1 asked for 203.0.113.7:80, <nil>
}

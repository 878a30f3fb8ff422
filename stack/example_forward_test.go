package stack_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"syscall"

	"github.com/a644562b/portico/stack"
)

// A gateway that answers for every address: the client dials a host that does not exist,
// and the handler sees both ends.
func ExampleForward() {
	client, gateway := hostsWith(stack.Config{}, stack.Config{
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
	defer gateway.Close()
	defer client.Close()

	c, err := client.Dial("tcp", "203.0.113.7:80")
	if err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	fmt.Printf("%s, %v\n", answer, err)
	c.Close()
	// Output: 10.77.0.1 asked for 203.0.113.7:80, <nil>
}

// The same for datagrams: a flow is a net.Conn, whose answers come from the address that was
// asked for.
func ExampleUDPRequest() {
	client, gateway := hostsWith(stack.Config{}, stack.Config{
		Forward: stack.Forward{UDP: func(r *stack.UDPRequest) {
			if r.Local().Port() != 53 {
				return // the client hears that the port is unreachable
			}
			flow, err := r.Accept()
			if err != nil {
				return
			}
			defer flow.Close()
			b := make([]byte, 1500)
			for {
				n, err := flow.Read(b)
				if err != nil {
					return // io.EOF when the flow has been idle for long
				}
				fmt.Fprintf(flow, "%v heard %s", flow.LocalAddr(), b[:n])
			}
		}},
	})
	defer gateway.Close()
	defer client.Close()

	for _, to := range []string{"203.0.113.53:53", "203.0.113.53:54"} {
		c, err := client.Dial("udp", to)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(c, "a question")
		b := make([]byte, 1500)
		n, err := c.Read(b)
		fmt.Printf("%s, refused %v\n", b[:n], errors.Is(err, syscall.ECONNREFUSED))
		c.Close()
	}
	// Output:
	// 203.0.113.53:53 heard a question, refused false
	// , refused true
}

package stack_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/a644562b/portico/stack"
)

// A server whose packets are marked for low delay from the SYN,ACK on, and whose connections
// do not outlive a silent peer by more than ten seconds.
func ExampleListenConfig() {
	client, server := hosts()
	defer server.Close()
	defer client.Close()

	expedited := uint8(46) // RFC 3246
	lc := stack.ListenConfig{
		Stack: server,
		DSCP:  &expedited,
		Control: func(c *stack.Conn) error {
			return c.SetUserTimeout(10 * time.Second)
		},
	}
	l, err := lc.Listen(context.Background(), "tcp", ":7")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Write([]byte("hello"))
	}()

	c, err := client.Dial("tcp", "10.77.0.2:7")
	if err != nil {
		log.Fatal(err)
	}
	p := make([]byte, 16)
	n, err := c.Read(p)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, with DSCP %d\n", p[:n], c.(*stack.Conn).ReceivedDSCP())
	// Output: hello, with DSCP 46
}

package stack_test

import (
	"fmt"
	"io"
	"log"
	"net/netip"
	"time"

	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
	"github.com/a644562b/portico/stack"
)

// How an application does on a bad wire: this one loses, and takes its time. In a bubble of
// testing/synctest the same takes no time at all.
func ExampleNew_badWire() {
	a, b := pipe.New(pipe.Config{})
	way := impair.Config{Loss: 0.05, Delay: time.Millisecond, Seed: 1}
	wire, err := impair.Wrap(a, way, way)
	if err != nil {
		log.Fatal(err)
	}
	client, err := stack.New(wire, stack.Config{Addrs: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	server, err := stack.New(b, stack.Config{Addrs: []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")}})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	l, err := server.Listen("tcp", ":9")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		c, err := client.Dial("tcp", "10.77.0.2:9")
		if err != nil {
			return
		}
		c.Write(make([]byte, 200_000))
		c.Close()
	}()
	c, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	n, err := io.Copy(io.Discard, c)
	c.Close()
	fmt.Println(n, "bytes came,", err)
	fmt.Println("some were sent again:", client.Stats().TCP.RetransSegs > 0)
	// Output:
	// 200000 bytes came, <nil>
	// some were sent again: true
}

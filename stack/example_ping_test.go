package stack_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/a644562b/portico/stack"
)

// One echo request and its answer.
func ExampleStack_Ping() {
	client, server := hosts()
	defer server.Close()
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pong, err := client.Ping(ctx, netip.MustParseAddr("10.77.0.2"), 1, []byte("56 bytes or so"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes from %v, TTL %d\n", pong.Bytes, pong.From, pong.TTL)
	// Output: 14 bytes from 10.77.0.2, TTL 64
}

// A ping socket sends many requests, to anybody, and hears the answers as they come.
func ExampleStack_ListenPing() {
	client, server := hosts()
	defer server.Close()
	defer client.Close()

	p, err := client.ListenPing("ip4:icmp", "")
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	p.SetReadDeadline(time.Now().Add(time.Minute))
	for seq := range uint16(3) {
		if err := p.SendEcho(stack.Echo{To: netip.MustParseAddr("10.77.0.2"), Seq: seq, Data: []byte("ping")}); err != nil {
			log.Fatal(err)
		}
	}
	b := make([]byte, 1500)
	for range 3 {
		reply, err := p.ReceiveEcho(b)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %d from %v\n", b[:reply.Size], reply.Seq, reply.From)
	}
	// Output:
	// ping 0 from 10.77.0.2
	// ping 1 from 10.77.0.2
	// ping 2 from 10.77.0.2
}

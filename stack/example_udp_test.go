package stack_test

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/a644562b/portico/stack"
)

// A UDP server and its client, by the calls of package net.
func ExampleStack_ListenPacket() {
	client, server := hosts()
	defer server.Close()
	defer client.Close()

	p, err := server.ListenPacket("udp", ":7")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			p.WriteTo(b[:n], from)
		}
	}()

	c, err := client.Dial("udp", "10.77.0.2:7")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute)) // datagrams may be lost
	fmt.Fprint(c, "hello in one datagram")
	b := make([]byte, 1500)
	n, err := c.Read(b)
	fmt.Printf("%s, %v\n", b[:n], err)

	// A dialed socket hears that nobody is there.
	nobody, err := client.Dial("udp", "10.77.0.2:9")
	if err != nil {
		log.Fatal(err)
	}
	defer nobody.Close()
	fmt.Fprint(nobody, "anybody?")
	_, err = nobody.Read(b)
	fmt.Println("refused:", errors.Is(err, syscall.ECONNREFUSED))
	// Output:
	// hello in one datagram, <nil>
	// refused: true
}

// What net keeps from its users: the addresses, the hop limit and the type of service of each
// datagram, many datagrams a call, and one write that is cut into many.
func ExampleUDPConn_ReadMsg() {
	client, server := hosts()
	defer server.Close()
	defer client.Close()

	p, err := server.ListenPacket("udp", ":5000")
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.Dial("udp", "10.77.0.2:5000")
	if err != nil {
		log.Fatal(err)
	}
	out := stack.UDPMessage{Buffers: [][]byte{[]byte("one two "), []byte("end")}, Segment: 4, TOS: 46 << 2}
	if err := c.(*stack.UDPConn).WriteMsg(&out); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		in := stack.UDPMessage{Buffers: [][]byte{make([]byte, 1500)}}
		if err := p.(*stack.UDPConn).ReadMsg(&in); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q from %v to %v, TTL %d, DSCP %d\n", in.Buffers[0][:in.N], in.Addr.Addr(), in.Local, in.TTL, in.TOS>>2)
	}
	// Output:
	// "one " from 10.77.0.1 to 10.77.0.2, TTL 64, DSCP 46
	// "two " from 10.77.0.1 to 10.77.0.2, TTL 64, DSCP 46
	// "end" from 10.77.0.1 to 10.77.0.2, TTL 64, DSCP 46
}

// A socket joins a group and hears what others send to it.
func ExampleUDPConn_JoinGroup() {
	sender, member := hosts()
	defer member.Close()
	defer sender.Close()

	p, err := member.ListenPacket("udp", ":7000")
	if err != nil {
		log.Fatal(err)
	}
	u := p.(*stack.UDPConn)
	group := netip.MustParseAddr("239.1.2.3")
	if err := u.JoinGroup(group); err != nil {
		log.Fatal(err)
	}

	out, err := sender.ListenPacket("udp", ":0")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := out.WriteTo([]byte("to all of you"), &net.UDPAddr{IP: group.AsSlice(), Port: 7000}); err != nil {
		log.Fatal(err)
	}
	b := make([]byte, 1500)
	n, from, err := u.ReadFromUDPAddrPort(b)
	fmt.Printf("%s, says %v, %v\n", b[:n], from.Addr(), err)
	fmt.Println(u.LeaveGroup(group))
	// Output:
	// to all of you, says 10.77.0.1, <nil>
	// <nil>
}

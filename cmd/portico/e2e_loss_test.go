//go:build e2e

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/serve"
	"github.com/a644562b/portico/stack"
)

// Streams of numbered datagrams as iperf3 sends them, through a router that drops some and
// counts what it drops.

const (
	streamPort  = 9000
	streamCount = 4000
	streamSize  = 1000
	// streamBatch is how many are sent before the receiver says that it has read what came
	// of them: no queue runs over.
	streamBatch = 64
)

// What the sender asks after a batch, and at the end; the receiver echoes it. It is short,
// and the router does not drop it.
const (
	askRead = "?"
	askEnd  = "."
)

// drop lets the router drop some of the numbered datagrams.
func (r *router) drop(percent int) {
	r.t.Helper()
	for _, command := range []string{
		"add table inet loss",
		"add counter inet loss lost",
		"add chain inet loss through { type filter hook forward priority 0 ; }",
		fmt.Sprintf("add rule inet loss through udp dport %d udp length %d numgen random mod 100 < %d counter name lost drop",
			streamPort, 8+streamSize, percent),
	} {
		output(r.t, nil, "nft", command)
	}
	r.t.Cleanup(func() { output(r.t, nil, "nft", "delete table inet loss") })
}

// dropped is how many the router has dropped.
func (r *router) dropped() int {
	r.t.Helper()
	text := output(r.t, nil, "nft", "list counter inet loss lost")
	m := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(text)
	if m == nil {
		r.t.Fatalf("nft counts %q", text)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// opener opens the sockets of one end.
type opener struct {
	listen func(address string) (net.PacketConn, error)
	dial   func(address string) (net.Conn, error)
}

func (r *router) portico() opener {
	return opener{
		func(a string) (net.PacketConn, error) { return r.n.Stack.ListenPacket("udp", a) },
		func(a string) (net.Conn, error) { return r.n.Stack.Dial("udp", a) },
	}
}

func (r *router) kernel() opener {
	return opener{
		func(a string) (c net.PacketConn, err error) {
			r.far.Do(func() { c, err = net.ListenPacket("udp", a) })
			return c, err
		},
		func(a string) (c net.Conn, err error) {
			r.far.Do(func() { c, err = net.Dial("udp", a) })
			return c, err
		},
	}
}

// From the kernel to portico and back: what was sent is what was received and what the
// router has dropped, to the last one; no datagram comes twice, late or changed.
func TestE2EStreamsOfDatagramsLoseWhatTheRouterDrops(t *testing.T) {
	need(t, "nft", "nftables")
	r := startRouter(t)
	r.drop(5)
	for _, w := range ways {
		for _, s := range []struct {
			name     string
			from, to opener
			at       netip.Addr
		}{
			{w.name + ", the kernel to portico", r.kernel(), r.portico(), w.portico},
			{w.name + ", portico to the kernel", r.portico(), r.kernel(), w.far},
		} {
			before, in := r.dropped(), datagramsIn(r.n.Stack)
			received, asked := stream(t, s.name, s.from, s.to, s.at)
			lost := r.dropped() - before
			if lost == 0 || received+lost != streamCount {
				t.Errorf("%s: %d sent, %d received, %d dropped by the router", s.name, streamCount, received, lost)
			}
			want := uint64(asked) // or the answers
			if s.at == w.portico {
				want += uint64(received)
			}
			if n := datagramsIn(r.n.Stack) - in; n != want {
				t.Errorf("%s: portico counts %d datagrams, want %d", s.name, n, want)
			}
			t.Logf("%s: %d sent, %d received, %d lost", s.name, streamCount, received, lost)
		}
	}
	for reason, n := range r.n.Stack.Stats().Drops {
		if strings.HasPrefix(reason, "udp") || strings.HasPrefix(reason, "transmit") {
			t.Errorf("portico itself has dropped %d for %s", n, reason)
		}
	}
}

// stream sends streamCount datagrams, and returns how many came and how many questions the
// receiver has been asked.
func stream(t *testing.T, name string, from, to opener, at netip.Addr) (received, asked int) {
	t.Helper()
	in, err := to.listen(netip.AddrPortFrom(at, streamPort).String())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := from.dial(netip.AddrPortFrom(at, streamPort).String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in.SetDeadline(time.Now().Add(patience))
	out.SetDeadline(time.Now().Add(patience))
	counted := make(chan error)
	go func() {
		var err error
		received, err = count(in)
		counted <- err
	}()
	ask := func(what string) {
		t.Helper()
		asked++
		if _, err := out.Write([]byte(what)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	sent := make([]byte, streamSize)
	new(serve.Pattern).Read(sent)
	for seq := range streamCount {
		binary.BigEndian.PutUint32(sent, uint32(seq))
		if _, err := out.Write(sent); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if seq%streamBatch == streamBatch-1 {
			ask(askRead)
		}
	}
	ask(askEnd)
	if err := <-counted; err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return received, asked
}

// count reads numbered datagrams until the end, and fails at one that is out of order or not
// as it was sent.
func count(in net.PacketConn) (received int, err error) {
	want, b := make([]byte, streamSize), make([]byte, streamSize+1)
	new(serve.Pattern).Read(want)
	for next := 0; ; {
		n, from, err := in.ReadFrom(b)
		if err != nil {
			return received, err
		}
		if n == 1 {
			in.WriteTo(b[:n], from)
			if string(b[:n]) == askEnd {
				return received, nil
			}
			continue
		}
		seq := int(binary.BigEndian.Uint32(b))
		binary.BigEndian.PutUint32(want, uint32(seq))
		if seq < next || seq >= streamCount || !bytes.Equal(b[:n], want) {
			return received, fmt.Errorf("number %d of %d bytes, when %d was next", seq, n, next)
		}
		next = seq + 1
		received++
	}
}

// datagramsIn is how many datagrams of both families the sockets of a stack have had.
func datagramsIn(s *stack.Stack) uint64 {
	st := s.Stats()
	return st.UDP.InDatagrams + st.UDP6.InDatagrams
}

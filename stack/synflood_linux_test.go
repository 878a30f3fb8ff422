package stack

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/tun"
)

// preceded is a device of one queue on which the packets of first arrive before all others.
type preceded struct {
	link.Device
	first chan []byte
}

func (p *preceded) Queues() []link.Queue {
	return []link.Queue{&precededQueue{p.Device.Queues()[0], p.first}}
}

type precededQueue struct {
	link.Queue
	first chan []byte
}

func (q *precededQueue) Read(frames []link.Frame) (int, error) {
	packet, ok := <-q.first
	if !ok {
		return q.Queue.Read(frames)
	}
	frames[0].Data = frames[0].Data[:copy(frames[0].Data, packet)]
	return 1, nil
}

// TestKernelComesInByACookie: the SYN queue is full, and the kernel connects, is told what
// its options have agreed, and moves data both ways.
func TestKernelComesInByACookie(t *testing.T) {
	nstest.Require(t)
	dev, err := tun.Open(tun.Config{Name: "tuncookie"})
	if err != nil {
		t.Fatal(err)
	}
	nstest.IP(t, "link set tuncookie up")
	nstest.AddAddr(t, "tuncookie", netip.MustParsePrefix("10.77.9.1/24"))
	nstest.AddAddr(t, "tuncookie", netip.MustParsePrefix("fd77:9::1/64"))
	// The peer of the first SYN is nobody: what the stack sends there the kernel drops.
	ours := ap(netip.MustParseAddr("10.77.9.2"), 80)
	full := &preceded{Device: dev, first: make(chan []byte)}
	s, err := New(full, Config{Backlog: 1, Addrs: prefixes("10.77.9.2/24", "fd77:9::2/64")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	full.first <- tcpPacket(ap(netip.MustParseAddr("10.77.9.99"), 1000), ours, "S", 1, 0, "")
	close(full.first)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	agreed := regexp.MustCompile(`wscale:8,.*mss:(1448|1428) `) // less 12 for timestamps
	for i, address := range []string{"10.77.9.2:80", "[fd77:9::2]:80"} {
		c, err := net.DialTimeout("tcp", address, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conn := accept(t, l.(*Listener))
		defer conn.Close()
		if got := s.Stats().TCPExt.SyncookiesRecv; got != uint64(i+1) {
			t.Errorf("%d cookies came back", got)
		}
		if told, err := exec.Command("ss", "-tinH", "dst", address).Output(); err != nil || !agreed.Match(told) {
			t.Errorf("the kernel says of its connection: %v\n%s", err, told)
		}
		for _, way := range [][2]net.Conn{{c, conn}, {conn, c}} {
			go func() { way[0].Write(data) }()
			got := make([]byte, len(data))
			if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("the data did not arrive: %v", err)
			}
		}
		if i := conn.Info(); !i.WindowScale || !i.SACK || !i.Timestamps || i.SndMSS < 1428-20 {
			t.Errorf("agreed is %+v", i)
		}
	}
}

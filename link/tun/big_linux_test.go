package tun

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/gso"
	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

func TestTapped(t *testing.T) {
	const head = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"
	const on7 = "ffff888009a12000 3      3    0003   7     1 0      0      23456\n"
	for _, tc := range []struct {
		list  string
		index int
		want  bool
	}{
		{"", 7, false}, {head, 7, false}, {head + on7, 7, true}, {head + on7, 8, false},
		{head + strings.Replace(on7, "   7     1", "   0     1", 1), 8, true}, // of any interface
		{head + on7 + strings.Replace(on7, "   7     1", "   8     1", 1), 8, true},
		{head + strings.Replace(on7, "0003", "0800", 1), 7, true},  // IPv4
		{head + strings.Replace(on7, "0003", "88cc", 1), 7, false}, // LLDP
		{"nonsense\n\n7 7\n", 7, false},
	} {
		if got := tapped(strings.NewReader(tc.list), tc.index); got != tc.want {
			t.Errorf("%q, %d: %v", tc.list, tc.index, got)
		}
	}
}

func TestSince(t *testing.T) {
	for _, tc := range []struct {
		release string
		want    bool
	}{
		{"6.3.0", true}, {"6.18.44-generic", true}, {"7.0-rc1", true}, {"10.0", true},
		{"6.2.16", false}, {"5.19.0-50-generic", false}, {"4.18.0-513.el8", false}, {"", false}, {"six.three", false},
	} {
		if got := since(tc.release, 6, 3); got != tc.want {
			t.Errorf("%q: %v", tc.release, got)
		}
	}
}

// TestBigTo: long super-segments are for the kernel's own address on the interface only, as it is
// now, and while the kernel takes super-segments.
func TestBigTo(t *testing.T) {
	nstest.Require(t)
	if !kernelSince(6, 3) {
		t.Skip("this kernel does not do BIG TCP")
	}
	own, other := netip.MustParseAddr("10.66.1.1"), netip.MustParseAddr("10.66.1.3")
	d, err := Open(Config{Name: "tunbig"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	later := func() { d.big.at = d.big.at.Add(-time.Minute) }
	want := func(when string, dst netip.Addr, n int) {
		t.Helper()
		if got := d.BigTo(dst); got != n {
			t.Errorf("%s: %d to %v, want %d", when, got, dst, n)
		}
	}
	want("without an address", own, 0)
	want("without an address", netip.Addr{}, 0)
	nstest.IP(t, "link set tunbig up")
	nstest.IP(t, "addr add 10.66.1.1/24 dev tunbig")
	want("with one", own, maxBig)
	want("with one", other, 0)
	want("with one", netip.MustParseAddr("fd66::1"), 0)
	nstest.IP(t, "addr del 10.66.1.1/24 dev tunbig")
	nstest.IP(t, "addr add 10.66.1.3/24 dev tunbig")
	later()
	want("with another", own, 0)
	want("with another", other, maxBig)
	tap := nstest.Tap(t, "tunbig")
	later()
	want("tapped", other, 0)
	tap.Close()
	want("not any more", other, maxBig)
	d.refuse(offloadTSO4|offloadChecksum, nil)
	want("after a refusal", other, 0)

	d.caps.Store(uint32(offloadAll))
	d.Close()
	later()
	want("closed", other, 0)

	for _, cfg := range []Config{{Name: "tunbig", Offload: OffloadOff}, {Name: "tunbig", NoBigTCP: true}} {
		if d, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
		nstest.IP(t, "link set tunbig up")
		nstest.IP(t, "addr add 10.66.1.1/24 dev tunbig")
		if n := d.BigTo(own); n != 0 {
			t.Errorf("%d with %+v", n, cfg)
		}
		d.Close()
	}
}

// keeper is a kernel that keeps what is written to it, but answers what is longer than an IP packet
// by an error.
type keeper struct {
	long   error
	asked  int // about what is long
	frames []link.Frame
}

func (k *keeper) writev(_ int, iov [][]byte) (int, error) {
	packet := bytes.Join(iov[1:], nil)
	if len(packet) > link.MaxFrame {
		if k.asked++; k.long != nil {
			return -1, k.long
		}
	}
	offload, ok := (*vnetHdr)(iov[0]).decode(packet)
	if !ok {
		return -1, unix.EINVAL
	}
	k.frames = append(k.frames, link.Frame{Data: packet, Offload: offload})
	return len(packet), nil
}

// onTheWire is the packets that frames stand for.
func onTheWire(t *testing.T, frames ...link.Frame) (ps [][]byte) {
	t.Helper()
	for _, f := range frames {
		if err := gso.Split(&f, func(p *link.Frame) { ps = append(ps, bytes.Clone(p.Data)) }); err != nil {
			t.Fatal(err)
		}
	}
	return ps
}

// bigFrame is a super-segment of n bytes of payload.
func bigFrame(t *testing.T, f flow, n int) link.Frame {
	t.Helper()
	big := partial(f, tcpPacket(t, f, &layers.TCP{ACK: true, PSH: true}, pattern(1500)), 6, 16, f.headerLen()+20, 1400)
	big.Payload = [][]byte{pattern(n)}
	binary.BigEndian.PutUint16(big.Data[2:], 0)
	return big
}

// TestAKernelWithoutRoomForLongFramesGetsShorterOnes: what it refuses as too long arrives in
// super-segments of 64 KiB, and is not sent so long again; what it has no memory for just now
// arrives so too.
func TestAKernelWithoutRoomForLongFramesGetsShorterOnes(t *testing.T) {
	for _, c := range []struct {
		long  error
		asked int // of three times
		lines int // of log
	}{{unix.EMSGSIZE, 1, 1}, {unix.EINVAL, 1, 1}, {unix.ENOBUFS, 3, 0}, {unix.ENOMEM, 3, 0}, {nil, 3, 0}} {
		t.Run(fmt.Sprint(c.long), func(t *testing.T) {
			var log bytes.Buffer
			h := newHost(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			f := h.flow(4, 6000)
			if h.BigTo(f.remote.Addr()) == 0 {
				t.Skip("this kernel does not do BIG TCP, or somebody looks at all interfaces")
			}
			caps, kernel := h.Caps(), &keeper{long: c.long}
			q := h.Queues()[0].(*queue)
			q.writev = kernel.writev
			big, frames := bigFrame(t, f, 150_000), 3
			if c.long == nil {
				frames = 1
			}
			for range 3 {
				h.write(q, big)
				if len(kernel.frames) != frames {
					t.Errorf("it came in %d frames, want %d", len(kernel.frames), frames)
				}
				if !slices.EqualFunc(onTheWire(t, kernel.frames...), onTheWire(t, big), bytes.Equal) {
					t.Fatal("what came is not what the super-segment stands for")
				}
				kernel.frames = nil
			}
			if kernel.asked != c.asked {
				t.Errorf("the kernel was asked %d times, want %d", kernel.asked, c.asked)
			}
			if got := h.BigTo(f.remote.Addr()); (got == 0) != isRefusal(c.long) {
				t.Errorf("BigTo = %d", got)
			}
			if n := strings.Count(log.String(), "\n"); n != c.lines || n > 0 && !strings.Contains(log.String(), "longer than 64 KiB") {
				t.Errorf("log %q, want %d lines", log.String(), c.lines)
			}
			h.write(q, bigFrame(t, f, 60_000))
			if len(kernel.frames) != 1 || h.Caps() != caps {
				t.Errorf("a shorter one came in %d frames; Caps are %+v, were %+v", len(kernel.frames), h.Caps(), caps)
			}
			h.wantStats(Stats{})
		})
	}
}

// TestTheProbeFindsAKernelWithoutRoomForLongFrames, as those before Linux 6.6 are: nothing is lost
// that there was before, and nobody is told.
func TestTheProbeFindsAKernelWithoutRoomForLongFrames(t *testing.T) {
	var log bytes.Buffer
	h := newHost(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	to := h.flow(4, 6000).remote.Addr()
	if h.BigTo(to) == 0 {
		t.Skip("this kernel does not do BIG TCP, or somebody looks at all interfaces")
	}
	caps, kernel := h.Caps(), &keeper{long: unix.EMSGSIZE}
	h.Queues()[0].(*queue).writev = kernel.writev
	h.probe()
	if kernel.asked != 1 || h.BigTo(to) != 0 || h.Caps() != caps || log.Len() != 0 {
		t.Errorf("asked %d times, BigTo = %d, Caps = %+v, log %q", kernel.asked, h.BigTo(to), h.Caps(), log.String())
	}
}

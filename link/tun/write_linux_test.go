package tun

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/a644562b/portico/link"
	"golang.org/x/sys/unix"
)

func TestWriteDatagramWithPartialChecksumInSlices(t *testing.T) {
	for _, version := range []int{4, 6} {
		h := newHost(t, Config{})
		f := h.flow(version, 6000)
		socket := h.udpSocket(f)
		h.write(h.Queues()[0], udpFrame(t, f, 0, pattern(1400)))
		if got := h.receive(socket); got != string(pattern(1400)) {
			t.Errorf("IPv%d: received %d bytes that are not those written", version, len(got))
		}
	}
}

func TestWriteLeavesCompleteChecksumsToTheKernelToVerify(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	bad := udpPacket(t, f, []byte("corrupted"))
	bad[len(bad)-1] ^= 1
	n, err := h.Queues()[0].Write([]link.Frame{{Data: bad}, {Data: udpPacket(t, f, []byte("sound"))}})
	if n != 2 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if got := h.receive(socket); got != "sound" {
		t.Errorf("received %q, want only the sound one", got)
	}
}

func TestWriteGathersMoreSlicesThanOneSystemCallTakes(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	for _, slices := range []int{iovMax - 2, iovMax - 1, 1400} {
		payload := pattern(slices)
		frame := udpFrame(t, f, 0, payload)
		frame.Payload = nil
		for i := range payload {
			frame.Payload = append(frame.Payload, payload[i:i+1])
		}
		h.write(h.Queues()[0], frame)
		if got := h.receive(socket); got != string(payload) {
			t.Errorf("%d slices: received %d bytes that are not those written", slices, len(got))
		}
	}
}

func TestWriteTCPSuperSegment(t *testing.T) {
	for _, version := range []int{4, 6} {
		h := newHost(t, Config{})
		c, peer := h.connect(h.flow(version, 0))
		sent := pattern(30_000)
		h.write(peer.q, peer.data(sent))
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("IPv%d: the kernel read something else: %v", version, err)
		}
		h.wantStats(Stats{})
	}
}

func TestWriteUDPSuperSegmentArrivesAsDatagrams(t *testing.T) {
	for _, version := range []int{4, 6} {
		h := newHost(t, Config{})
		f := h.flow(version, 6000)
		socket := h.udpSocket(f)
		h.write(h.Queues()[0], udpFrame(t, f, 1000, pattern(2500)))
		h.wantDatagrams(socket, 1000, pattern(2500))
	}
}

// wantDatagrams receives payload in datagrams of size.
func (h *host) wantDatagrams(c interface{ Read([]byte) (int, error) }, size int, payload []byte) {
	h.t.Helper()
	for len(payload) > 0 {
		b := make([]byte, 65536)
		n, err := c.Read(b)
		if err != nil {
			h.t.Fatal(err)
		}
		want := payload[:min(size, len(payload))]
		if !bytes.Equal(b[:n], want) {
			h.t.Fatalf("datagram of %d bytes, want one of %d", n, len(want))
		}
		payload = payload[len(want):]
	}
}

// refuser is a kernel that refuses some offloads, as far as a writer can tell.
type refuser struct {
	refuses func(h *vnetHdr) bool
	refused int
}

func (r *refuser) writev(fd int, iov [][]byte) (int, error) {
	if r.refuses((*vnetHdr)(iov[0])) {
		r.refused++
		return -1, unix.EINVAL
	}
	return unix.Writev(fd, iov)
}

// kind is a refuser's rule: frames of one GSO kind.
func kind(k byte) func(*vnetHdr) bool {
	return func(h *vnetHdr) bool { return h[vnetGSOType] == k }
}

func TestRefusedOffloadFallsBackForGoodAndSaysSoOnce(t *testing.T) {
	for _, tt := range []struct {
		name    string
		refuses func(*vnetHdr) bool
		version int
		size    int // GSO size; 0 for ordinary packets
		tcp     bool
		lose    func(*link.Caps)
	}{
		{"TCP over IPv4", kind(unix.VIRTIO_NET_HDR_GSO_TCPV4), 4, 1400, true, func(c *link.Caps) { c.TSO4 = false }},
		{"TCP over IPv6", kind(unix.VIRTIO_NET_HDR_GSO_TCPV6), 6, 1400, true, func(c *link.Caps) { c.TSO6 = false }},
		{"UDP over IPv4", kind(unix.VIRTIO_NET_HDR_GSO_UDP_L4), 4, 1000, false, func(c *link.Caps) { c.USO = false }},
		{"UDP over IPv6", kind(unix.VIRTIO_NET_HDR_GSO_UDP_L4), 6, 1000, false, func(c *link.Caps) { c.USO = false }},
		{"partial checksum", func(h *vnetHdr) bool { return h[vnetFlags] != 0 }, 4, 0, false, func(c *link.Caps) { *c = link.Caps{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			h := newHost(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			want := kernelCaps(t, h.Device)
			if h.Caps() != want {
				t.Fatalf("Caps = %+v before, want %+v", h.Caps(), want)
			}
			if tt.lose(&want); want == h.Caps() {
				t.Skip("this kernel does not do that")
			}
			kernel := &refuser{refuses: tt.refuses}
			h.Queues()[0].(*queue).writev = kernel.writev
			if tt.tcp {
				c, peer := h.connect(h.flow(tt.version, 0))
				for range 2 {
					sent := pattern(5000)
					h.write(peer.q, peer.data(sent))
					got := make([]byte, len(sent))
					if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
						t.Fatalf("the kernel read something else: %v", err)
					}
				}
			} else {
				f := h.flow(tt.version, 6000)
				socket := h.udpSocket(f)
				for range 2 {
					sent := pattern(1400)
					h.write(h.Queues()[0], udpFrame(t, f, tt.size, sent))
					h.wantDatagrams(socket, max(tt.size, 1400*(1-min(tt.size, 1))), sent)
				}
			}
			if h.Caps() != want {
				t.Errorf("Caps = %+v, want %+v", h.Caps(), want)
			}
			if kernel.refused != 1 {
				t.Errorf("the kernel was asked %d times, want once and never again", kernel.refused)
			}
			if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "in software") {
				t.Errorf("log %q, want one line", log.String())
			}
			h.wantStats(Stats{})
		})
	}
}

// What is not the kernel's to do is done in software, and no offload is lost for it.
func TestWriteCutsInSoftwareWhatIsNotOffloaded(t *testing.T) {
	for _, tt := range []struct {
		name     string
		mode     OffloadMode
		checksum link.Checksum
	}{
		{"offloads off", OffloadOff, link.ChecksumPartial},
		{"a super-segment whose checksum is not partial", OffloadOn, link.ChecksumNone},
	} {
		h := newHost(t, Config{Offload: tt.mode})
		f := h.flow(4, 6000)
		socket := h.udpSocket(f)
		kernel := &refuser{refuses: func(h *vnetHdr) bool { return *h != vnetHdr{} }}
		h.Queues()[0].(*queue).writev = kernel.writev
		caps := h.Caps()
		frame := udpFrame(t, f, 1000, pattern(2500))
		frame.Checksum = tt.checksum
		h.write(h.Queues()[0], frame)
		h.wantDatagrams(socket, 1000, pattern(2500))
		if kernel.refused != 0 || h.Caps() != caps {
			t.Errorf("%s: the kernel was asked %d times, Caps %+v, want none, %+v", tt.name, kernel.refused, h.Caps(), caps)
		}
		h.wantStats(Stats{})
	}
}

func TestOffloadOnFailsWhereTheKernelRefuses(t *testing.T) {
	h := newHost(t, Config{})
	h.ip("link set %s down") // as at Open
	ctl, err := newControl(h.wg.File())
	if err != nil {
		t.Fatal(err)
	}
	defer ctl.close()
	kernel := &refuser{refuses: kind(unix.VIRTIO_NET_HDR_GSO_TCPV6)}
	h.Queues()[0].(*queue).writev = kernel.writev
	if err := h.setOffloads(ctl, OffloadAuto); err != nil {
		t.Errorf("auto: %v", err)
	}
	if err := h.setOffloads(ctl, OffloadOn); err == nil {
		t.Error("on: no error")
	} else {
		checkErrorLine(t, err, "use auto or off instead of on")
	}
}

func TestProbeFindsAKernelThatRefuses(t *testing.T) {
	h := newHost(t, Config{})
	h.ip("link set %s down") // as at Open
	kernel := &refuser{refuses: kind(unix.VIRTIO_NET_HDR_GSO_TCPV4)}
	h.Queues()[0].(*queue).writev = kernel.writev
	h.probe()
	want := kernelCaps(t, h.Device)
	want.TSO4 = false
	if h.Caps() != want || kernel.refused != 1 {
		t.Errorf("Caps = %+v after %d refusals, want %+v after 1", h.Caps(), kernel.refused, want)
	}
}

// The kernel must see a probe as a frame that it would take.
func TestProbesAreFramesThatTheKernelTakes(t *testing.T) {
	h := newHost(t, Config{})
	h.ip("link set %s down")
	fd, q := 0, h.Queues()[0].(*queue)
	q.raw.Control(func(p uintptr) { fd = int(p) })
	for _, f := range probes() {
		if !wellFormed(&f) {
			t.Errorf("probe %+v is malformed", f.Offload)
		}
		if !h.takes(needs(&f)) {
			continue // an old kernel
		}
		w := &writer{q: q, fd: fd}
		err := w.writev(&f)
		if needs(&f)&offloadBig != 0 && isNoRoom(err) {
			continue // its memory is in small pieces just now
		}
		if err != unix.EIO {
			t.Errorf("probe %+v: %v, want EIO for the interface is down", f.Offload, err)
		}
	}
}

func TestMalformedFramesAreDroppedAndCostNoOffload(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	caps := h.Caps()
	whole := udpPacket(t, f, []byte("x"))
	part := link.Offload{Checksum: link.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 6}
	super := func(change func(*link.Offload)) link.Frame {
		frame := udpFrame(t, f, 1000, pattern(3000))
		change(&frame.Offload)
		return frame
	}
	bad := []link.Frame{
		{},
		{Data: make([]byte, link.MaxFrame+1)},
		{Data: []byte{0x00, 1, 2, 3}},           // neither IPv4 nor IPv6
		{Data: make([]byte, 40), Offload: part}, // likewise, with a partial checksum
		{Data: whole[:26], Offload: part},       // checksum cut short
		super(func(o *link.Offload) { o.GSOSize = 0 }),
		super(func(o *link.Offload) { o.HeaderLen = 0 }),
		super(func(o *link.Offload) { o.HeaderLen = 3029 }),
		super(func(o *link.Offload) { o.GSO = link.GSOTCP6 }), // which it is not
		super(func(o *link.Offload) { o.GSO = 77 }),
	}
	for i, frame := range bad {
		h.write(h.Queues()[0], frame)
		if got := h.Stats().WriteMalformed; got != uint64(i+1) {
			t.Errorf("frame %d (%+v): %d counted as malformed so far, want %d", i, frame.Offload, got, i+1)
		}
	}
	if h.Caps() != caps {
		t.Errorf("Caps = %+v, want %+v as before", h.Caps(), caps)
	}
	h.write(h.Queues()[0], link.Frame{Data: udpPacket(t, f, []byte("last"))})
	if got := h.receive(socket); got != "last" {
		t.Errorf("received %.40q, want only what is well formed", got)
	}
}

func TestWriteDropsWhatFindsNoRoom(t *testing.T) {
	for _, errno := range []error{unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM} {
		h := newHost(t, Config{})
		f := h.flow(4, 6000)
		q, caps := h.Queues()[0].(*queue), h.Caps()
		q.writev = func(int, [][]byte) (int, error) { return -1, errno }
		if n, err := q.Write([]link.Frame{tcpFrame(t, f, 1000, pattern(3000)), {Data: udpPacket(t, f, nil)}}); n != 2 || err != nil {
			t.Errorf("%v: Write = %d, %v, want 2, nil", errno, n, err)
		}
		h.wantStats(Stats{WriteNoRoom: 2})
		if h.Caps() != caps {
			t.Errorf("%v cost an offload: Caps = %+v, want %+v", errno, h.Caps(), caps)
		}
	}
}

func TestWriteRepeatsWhatASignalInterrupted(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	q, interrupts := h.Queues()[0].(*queue), 2
	q.writev = func(fd int, iov [][]byte) (int, error) {
		if interrupts--; interrupts >= 0 {
			return -1, unix.EINTR
		}
		return unix.Writev(fd, iov)
	}
	h.write(q, link.Frame{Data: udpPacket(t, f, []byte("at last"))})
	if got := h.receive(socket); got != "at last" {
		t.Errorf("received %q", got)
	}
}

func TestManyWritersAtOnce(t *testing.T) {
	h := newHost(t, Config{})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				frame := udpFrame(t, f, 0, fmt.Appendf(nil, "%d %d", w, i))
				if n, err := h.Queues()[0].Write([]link.Frame{frame}); n != 1 || err != nil {
					t.Errorf("Write = %d, %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for range writers * each {
		seen[h.receive(socket)] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d different datagrams, want %d", len(seen), writers*each)
	}
	h.wantStats(Stats{})
}

// BenchmarkWrite hands 60 KB of UDP to the kernel at a time; nobody reads them there.
func BenchmarkWrite(b *testing.B) {
	h := newHost(b, Config{})
	f := h.flow(4, 6000)
	h.udpSocket(f)
	frames := []link.Frame{udpFrame(b, f, 1400, pattern(60_000))}
	frames[0].Payload = [][]byte{pattern(30_000), pattern(30_000)}
	b.SetBytes(60_000)
	b.ReportAllocs()
	for b.Loop() {
		h.Queues()[0].Write(frames)
	}
}

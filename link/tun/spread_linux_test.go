package tun

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link"
)

// TestTheKernelSendsByTheQueuesThatAreInUse: by the first alone, and by all again; what is
// written to a queue that is not in use arrives all the same.
func TestTheKernelSendsByTheQueuesThatAreInUse(t *testing.T) {
	h := newHost(t, Config{Queues: 3})
	f := h.flow(4, 6000)
	socket := h.udpSocket(f)
	// roundTrip sends from queue out, and wants the answer on queue in.
	roundTrip := func(out, in int) {
		t.Helper()
		h.write(h.Queues()[out], link.Frame{Data: udpPacket(t, f, []byte("there"))})
		if got := h.receive(socket); got != "there" {
			t.Fatalf("queue %d: received %q", out, got)
		}
		socket.Write([]byte("and back"))
		if got := string(checkedPartial(t, h.read(h.Queues()[in], f))); got != "and back" {
			t.Fatalf("queue %d: read %q", in, got)
		}
	}
	roundTrip(2, 2)
	for range 3 {
		for n := 1; n <= 3; n++ {
			if err := h.Spread(n); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				roundTrip(i, i)
			}
			if n == 1 {
				roundTrip(1, 0)
				roundTrip(2, 0)
			}
		}
	}
}

// TestNewFlowsComeByTheFirstQueueAlone: the kernel has no other to choose.
func TestNewFlowsComeByTheFirstQueueAlone(t *testing.T) {
	h := newHost(t, Config{Queues: 2})
	if err := h.Spread(1); err != nil {
		t.Fatal(err)
	}
	f := h.flow(4, 7000)
	for i := range 40 {
		f.remote = netip.AddrPortFrom(f.remote.Addr(), uint16(7000+i))
		h.udpSocket(f).Write([]byte("x"))
		h.read(h.Queues()[0], f)
	}
}

func TestSpreadIsWithinTheQueues(t *testing.T) {
	h := newHost(t, Config{Queues: 2})
	for n, want := range map[int]string{
		0: "tun: " + h.Name() + ": 0 queues are out of range: choose 1 to 2",
		3: "tun: " + h.Name() + ": 3 queues are out of range: choose 1 to 2",
	} {
		if err := h.Spread(n); err == nil || err.Error() != want {
			t.Errorf("Spread(%d) = %v, want %q", n, err, want)
		}
	}
}

// TestATUNOfOneQueueSpreadsOverOne: it was not made for more, and has nothing to do.
func TestATUNOfOneQueueSpreadsOverOne(t *testing.T) {
	if err := newHost(t, Config{}).Spread(1); err != nil {
		t.Error(err)
	}
}

func TestSpreadAfterCloseIsErrClosed(t *testing.T) {
	h := newHost(t, Config{Queues: 2})
	h.Close()
	if err := h.Spread(1); err != link.ErrClosed {
		t.Errorf("Spread = %v, want ErrClosed", err)
	}
}

// TestSpreadSaysThatTheInterfaceIsGone: in one line that says what to do, whether queues are to go
// or to come back.
func TestSpreadSaysThatTheInterfaceIsGone(t *testing.T) {
	for _, n := range []int{2, 3} {
		h := newHost(t, Config{Queues: 3})
		if n == 3 {
			if err := h.Spread(1); err != nil {
				t.Fatal(err)
			}
		}
		nstest.IP(t, "link delete dev "+h.Name())
		want := "tun: spread over the queues of " + h.Name() + ": somebody deleted the interface: open it anew: file descriptor in bad state"
		if err := h.Spread(n); err == nil || err.Error() != want {
			t.Errorf("Spread(%d) = %v, want %q", n, err, want)
		}
	}
}

// TestQueuesThatAreNotInUseEndWithTheDevice: Close ends their Reads and leaves no interface
// behind that they would hold.
func TestQueuesThatAreNotInUseEndWithTheDevice(t *testing.T) {
	nstest.Require(t)
	// Twice the same name: the first must have gone for the second.
	for range 2 {
		d, err := Open(Config{Name: "gone1", Queues: 3})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Spread(1); err != nil {
			t.Fatal(err)
		}
		ended := readToTheEnd(d)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		for range d.Queues() {
			if err := <-ended; err != link.ErrClosed {
				t.Errorf("Read = %v, want ErrClosed", err)
			}
		}
		if _, err := os.Stat("/proc/sys/net/ipv4/conf/gone1"); !os.IsNotExist(err) {
			t.Errorf("interface after Close: %v", err)
		}
	}
}

// TestQueuesThatAreNotInUseEndWithTheInterface: somebody deletes it.
func TestQueuesThatAreNotInUseEndWithTheInterface(t *testing.T) {
	h := newHost(t, Config{Queues: 3})
	if err := h.Spread(1); err != nil {
		t.Fatal(err)
	}
	ended := readToTheEnd(h.Device)
	nstest.IP(t, "link delete dev "+h.Name())
	for range h.Queues() {
		if err := <-ended; err == link.ErrClosed || !strings.Contains(err.Error(), "somebody deleted the interface") {
			t.Errorf("Read = %v, want that somebody deleted the interface", err)
		}
	}
}

// readToTheEnd reads all queues, and returns where the errors come that end that.
func readToTheEnd(d *Device) chan error {
	ended := make(chan error)
	for _, q := range d.Queues() {
		go func() {
			for {
				if _, err := q.Read(readFrames(4, link.MaxFrame)); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	return ended
}

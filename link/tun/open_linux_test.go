package tun

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/a644562b/portico/internal/nstest"
	"github.com/a644562b/portico/link"
	"golang.org/x/sys/unix"
)

func TestOpenMakesTheInterfaceThatWasAskedFor(t *testing.T) {
	nstest.Require(t)
	d, err := Open(Config{Name: "asked0", MTU: 1400})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Name() != "asked0" || d.MTU() != 1400 || len(d.Queues()) != 1 {
		t.Errorf("name %s, MTU %d, %d queues", d.Name(), d.MTU(), len(d.Queues()))
	}
	if want := kernelCaps(t, d); d.Caps() != want {
		t.Errorf("Caps = %+v, want %+v", d.Caps(), want)
	}
	out := nstest.IP(t, "-d link show dev asked0")
	for _, want := range []string{"mtu 1400", "tun type tun", "state DOWN", "persist off"} {
		if !strings.Contains(out, want) {
			t.Errorf("ip link says %q, want %q in it", out, want)
		}
	}
}

func TestOpenWithoutNameLetsTheKernelChoose(t *testing.T) {
	nstest.Require(t)
	a, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if a.Name() == b.Name() || !strings.HasPrefix(a.Name(), "tun") || a.MTU() != DefaultMTU {
		t.Errorf("%s and %s with MTU %d", a.Name(), b.Name(), a.MTU())
	}
}

func TestOpenSaysThatTheNameIsTaken(t *testing.T) {
	nstest.Require(t)
	for _, queues := range []int{1, 2} {
		d, err := Open(Config{Name: "taken0", Queues: queues})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"taken0", "lo"} {
			_, err := Open(Config{Name: name, Queues: queues})
			if !errors.Is(err, unix.EBUSY) {
				t.Fatalf("Open of %s = %v, want EBUSY", name, err)
			}
			checkErrorLine(t, err, "the name "+name+" is taken: choose another one")
		}
		d.Close()
	}
}

func TestOpenRefusesInvalidNames(t *testing.T) {
	for _, name := range []string{"sixteen-bytes-xx", "a/b", "a:b", "a b", "a\tb", "tun%d", ".", "..", "a\x00b"} {
		_, err := Open(Config{Name: name})
		if err == nil {
			t.Fatalf("Open of %q succeeded", name)
		}
		checkErrorLine(t, err, "choose 1 to 15 bytes")
	}
}

func TestOpenTakesTheLongestName(t *testing.T) {
	nstest.Require(t)
	d, err := Open(Config{Name: "fifteen-bytes-x"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Name() != "fifteen-bytes-x" {
		t.Errorf("Name = %q", d.Name())
	}
}

func TestOpenWithoutDriverSaysHowToGetIt(t *testing.T) {
	_, err := attach("/nonexistent/net/tun", "tun0", unix.IFF_TUN)
	if !errors.Is(err, unix.ENOENT) {
		t.Fatalf("attach = %v, want ENOENT", err)
	}
	checkErrorLine(t, err, `run "modprobe tun", or give the container --device`)
	checkErrorLine(t, openError(clonePath, unix.ENODEV), `run "modprobe tun"`)
	checkErrorLine(t, openError(clonePath, unix.EACCES), "run with sudo, or give the container --device /dev/net/tun")
}

// A thread without CAP_NET_ADMIN stands for a person without it.
func TestOpenWithoutPrivilegeSaysHowToGetIt(t *testing.T) {
	nstest.Require(t)
	got := make(chan error)
	go func() {
		// Not unlocked: the thread ends with the goroutine, and its lack with it.
		runtime.LockOSThread()
		if err := dropNetAdmin(); err != nil {
			got <- fmt.Errorf("drop CAP_NET_ADMIN: %w", err)
			return
		}
		d, err := Open(Config{Name: "denied0"})
		if err == nil {
			d.Close()
		}
		got <- err
	}()
	err := <-got
	if !errors.Is(err, unix.EPERM) {
		t.Fatalf("Open = %v, want EPERM", err)
	}
	checkErrorLine(t, err, "not allowed to make interface denied0: run with sudo, or give the program CAP_NET_ADMIN")
}

// dropNetAdmin takes the capability from the calling thread.
func dropNetAdmin() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	return unix.Capset(&hdr, &data[0])
}

func TestCloseRemovesTheInterface(t *testing.T) {
	nstest.Require(t)
	for _, queues := range []int{1, 3} {
		// Twice the same name: the first must have gone for the second.
		for range 2 {
			d, err := Open(Config{Name: "gone0", Queues: queues})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat("/proc/sys/net/ipv4/conf/gone0"); !os.IsNotExist(err) {
				t.Errorf("interface with %d queues after Close: %v", queues, err)
			}
			if err := d.Close(); !errors.Is(err, link.ErrClosed) {
				t.Errorf("second Close = %v, want ErrClosed", err)
			}
		}
	}
}

func TestCloseEndsReadsAndFailsCalls(t *testing.T) {
	h := newHost(t, Config{Queues: 3})
	read := make(chan error)
	for _, q := range h.Queues() {
		go func() {
			n, err := q.Read(readFrames(4, link.MaxFrame))
			for err == nil && n > 0 {
				n, err = q.Read(readFrames(4, link.MaxFrame))
			}
			read <- err
		}()
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	for range h.Queues() {
		if err := <-read; err != link.ErrClosed {
			t.Errorf("Read = %v, want ErrClosed", err)
		}
	}
	for i, q := range h.Queues() {
		if n, err := q.Read(readFrames(1, 100)); n != 0 || err != link.ErrClosed {
			t.Errorf("queue %d: Read after Close = %d, %v, want 0, ErrClosed", i, n, err)
		}
		if n, err := q.Write([]link.Frame{{Data: pattern(40)}}); n != 0 || err != link.ErrClosed {
			t.Errorf("queue %d: Write after Close = %d, %v, want 0, ErrClosed", i, n, err)
		}
	}
	for range h.Events() {
		// Closed, or this never ends.
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	nstest.Require(t)
	cycle := func() {
		for _, cfg := range []Config{{Name: "leak0"}, {Name: "leak0", Queues: 4}, {Name: "leak0", Offload: OffloadOff}} {
			d, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(cfg); err == nil {
				t.Fatal("the name was not taken")
			}
			read := make(chan error)
			go func() {
				_, err := d.Queues()[0].Read(readFrames(1, 100))
				read <- err
			}()
			d.Close()
			<-read
		}
	}
	goroutines := runtime.NumGoroutine()
	cycle() // whatever the runtime makes once, the poller for one, is there now
	settle(t, goroutines)
	files := descriptors(t)
	for range 5 {
		cycle()
	}
	settle(t, goroutines)
	if n := descriptors(t); n != files {
		t.Errorf("%d descriptors, want %d as before", n, files)
	}
}

// settle yields until no more than want goroutines are left: Close returns when
// wireguard's last goroutine has said goodbye, which is not yet its last
// instruction.
func settle(t *testing.T, want int) {
	t.Helper()
	for range 20_000_000 {
		if runtime.NumGoroutine() <= want {
			return
		}
		runtime.Gosched()
	}
	if runtime.NumGoroutine() > want {
		buf := make([]byte, 1<<20)
		t.Fatalf("%d goroutines, want %d:\n%s", runtime.NumGoroutine(), want, buf[:runtime.Stack(buf, true)])
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

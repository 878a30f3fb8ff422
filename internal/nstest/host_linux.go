package nstest

import (
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// Host is one more host, a network namespace beside that of the test, which lasts as long
// as the test.
type Host struct {
	t   testing.TB
	do  chan func()
	tid int // of the thread that lives in it
}

// init keeps the main thread for the main goroutine, which waits for the tests. Else a host may
// get it, and /proc/self, /proc/net with it, would show that host's network to the whole process:
// they go by the main thread's.
func init() { runtime.LockOSThread() }

// NewHost makes a host without any link.
func NewHost(t testing.TB) *Host {
	t.Helper()
	h := &Host{t: t, do: make(chan func())}
	made := make(chan error)
	go func() {
		// Never unlocked: the thread, and with it the namespace, ends with the goroutine.
		runtime.LockOSThread()
		h.tid = syscall.Gettid()
		made <- syscall.Unshare(syscall.CLONE_NEWNET)
		for f := range h.do {
			f()
		}
	}()
	if err := <-made; err != nil {
		t.Fatalf("cannot make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(h.do) })
	h.IP("link set lo up")
	return h
}

// Do runs f at the host: sockets that f makes itself belong to it from then on, whoever
// uses them, and so do processes that it starts. f must not end the test.
func (h *Host) Do(f func()) {
	done := make(chan struct{})
	h.do <- func() {
		defer close(done)
		f()
	}
	<-done
}

// Run runs a command at the host and returns what it printed on both its outputs.
func (h *Host) Run(name string, args ...string) (string, error) {
	var out []byte
	var err error
	h.Do(func() { out, err = exec.Command(name, args...).CombinedOutput() })
	return string(out), err
}

// IP runs ip(8) at the host and fails the test when it fails.
func (h *Host) IP(command string) {
	h.t.Helper()
	if out, err := h.Run("ip", strings.Fields(command)...); err != nil {
		h.t.Fatalf("ip %s at the other host: %v: %s", command, err, out)
	}
}

// addAddr is AddAddr at the host.
func (h *Host) addAddr(dev string, addr netip.Prefix) {
	h.t.Helper()
	var err error
	h.Do(func() { err = addAddr(dev, addr) })
	if err != nil {
		h.t.Fatal(err)
	}
}

// The link between the router and the host that stands behind it, and their addresses.
const (
	NearLink = "vethnear"
	FarLink  = "vethfar"
)

var (
	Far4, Far6   = netip.MustParseAddr("10.88.9.2"), netip.MustParseAddr("fd88:9::2")
	near4, near6 = netip.MustParseAddr("10.88.9.1"), netip.MustParseAddr("fd88:9::1")
)

// NewFarHost makes a host at Far4 and Far6 behind the kernel of the test's own namespace,
// which is made the router to it.
func NewFarHost(t testing.TB) *Host {
	t.Helper()
	Sysctl(t, "ipv4/ip_forward", "1")
	Sysctl(t, "ipv6/conf/all/forwarding", "1")
	h := NewHost(t)
	IP(t, fmt.Sprintf("link add %s type veth peer name %s netns %d", NearLink, FarLink, h.tid))
	t.Cleanup(func() { IP(t, "link del "+NearLink) })
	IP(t, "link set "+NearLink+" up")
	h.IP("link set " + FarLink + " up")
	for _, a := range []struct{ near, far netip.Prefix }{
		{netip.PrefixFrom(near4, 24), netip.PrefixFrom(Far4, 24)}, {netip.PrefixFrom(near6, 64), netip.PrefixFrom(Far6, 64)},
	} {
		AddAddr(t, NearLink, a.near)
		h.addAddr(FarLink, a.far)
		h.IP("route add default via " + a.near.Addr().String())
		// The link carries nothing until a worker of the kernel has come by: ask until there
		// is an answer.
		if out, err := h.Run("ping", "-n", "-q", "-c", "1", "-i", "0.01", "-w", "30", a.near.Addr().String()); err != nil {
			t.Fatalf("the router does not answer: %v: %s", err, out)
		}
	}
	return h
}

package nstest

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// Tap is a packet socket that gets all that passes by device dev, as tcpdump has one. The test
// closes it.
func Tap(t testing.TB, dev string) *os.File {
	t.Helper()
	in, err := net.InterfaceByName(dev)
	if err != nil {
		t.Fatal(err)
	}
	all := uint16(syscall.ETH_P_ALL<<8 | syscall.ETH_P_ALL>>8) // in network order
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	tap := os.NewFile(uintptr(fd), "tap of "+dev)
	if err := syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: all, Ifindex: in.Index}); err != nil {
		tap.Close()
		t.Fatal(err)
	}
	return tap
}

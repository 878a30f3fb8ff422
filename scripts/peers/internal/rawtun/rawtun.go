// Package rawtun opens TUN devices for the programs of the harness that read and
// write frames themselves.
package rawtun

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Open creates the TUN called name, or joins it as a further queue where flags hold
// IFF_MULTI_QUEUE, and returns its descriptor, which blocks. IFF_TUN and IFF_NO_PI
// are set besides flags.
func Open(name string, flags uint16) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("/dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("TUN %s: %w", name, err)
	}
	return fd, nil
}

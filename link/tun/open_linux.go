package tun

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
	wgtun "golang.zx2c4.com/wireguard/tun"
)

// clonePath is the door to the TUN driver.
const clonePath = "/dev/net/tun"

// checkName holds a name against what the kernel takes (dev_valid_name), and refuses
// '%', which the kernel would expand.
func checkName(name string) error {
	const advice = "choose 1 to 15 bytes without white space, '/', ':' and '%', such as tun0"
	switch {
	case name == "":
		return nil
	case len(name) >= unix.IFNAMSIZ:
		return fmt.Errorf("tun: interface name %q is too long: %s", name, advice)
	case name == "." || name == ".." || strings.ContainsAny(name, "/:%\x00") || strings.ContainsFunc(name, unicode.IsSpace):
		return fmt.Errorf("tun: invalid interface name %q: %s", name, advice)
	}
	return nil
}

func open(cfg Config) (*Device, error) {
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if cfg.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	// IFF_TUN_EXCL: never join an interface that exists, be it another process's, and
	// never leave one behind that is not as it was.
	first, err := attach(clonePath, cfg.Name, flags|unix.IFF_TUN_EXCL)
	if err != nil {
		return nil, err
	}
	wg, err := wgtun.CreateTUNFromFile(first, cfg.MTU)
	if err != nil {
		first.Close()
		return nil, fmt.Errorf("tun: set up %s: %w", cfg.Name, err)
	}
	d, err := build(wg, cfg, flags)
	if err != nil {
		wg.Close()
		for range wg.Events() {
			// Until wireguard's goroutines have gone.
		}
		return nil, err
	}
	return d, nil
}

// build makes the device around wireguard's. On an error it leaves nothing behind but
// wg.
func build(wg wgtun.Device, cfg Config, flags uint16) (*Device, error) {
	name, err := wg.Name()
	if err != nil {
		return nil, fmt.Errorf("tun: %w", err)
	}
	d := newDevice(wg, name, cfg)
	ctl, err := newControl(wg.File())
	if cfg.Offload != OffloadOff && !cfg.NoBigTCP && kernelSince(6, 3) {
		d.big = &bigPeer{look: ctl.bigTo}
	}
	if err == nil {
		err = d.addQueues(cfg, flags)
	}
	if err == nil {
		err = d.setOffloads(ctl, cfg.Offload)
	}
	if err != nil {
		ctl.close()
		for _, c := range d.more {
			c.Close()
		}
		return nil, err
	}
	go func() {
		defer ctl.close()
		d.watch(ctl.look)
	}()
	return d, nil
}

// attach opens the TUN driver at path and attaches the file to the interface name.
func attach(path, name string, flags uint16) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		unix.Close(fd)
		return nil, attachError(name, err)
	}
	// Only now may the file meet the netpoller: a TUN that is attached to nothing
	// cannot be polled.
	return os.NewFile(uintptr(fd), path), nil
}

// openError says what to do when the TUN driver does not open.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("tun: no %s: run \"modprobe tun\", or give the container --device %s: %w", path, path, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("tun: no access to %s: run with sudo, or give the container --device %s: %w", path, path, err)
	}
	return fmt.Errorf("tun: open %s: %w", path, err)
}

// attachError says what to do when the driver does not make the interface.
func attachError(name string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("tun: not allowed to make interface %s: run with sudo, or give the program CAP_NET_ADMIN (setcap cap_net_admin+ep, for a container --cap-add NET_ADMIN): %w", name, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("tun: the name %s is taken: choose another one, or remove that interface with \"ip link delete %s\": %w", name, name, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("tun: the kernel refuses interface name %q: choose another one, such as tun0: %w", name, err)
	}
	return fmt.Errorf("tun: make interface %s: %w", name, err)
}

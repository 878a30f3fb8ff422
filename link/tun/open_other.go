//go:build !linux

package tun

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	wgtun "golang.zx2c4.com/wireguard/tun"
)

// checkName leaves the name to the system, whose rules differ.
func checkName(string) error { return nil }

func open(cfg Config) (*Device, error) {
	if cfg.Queues > 1 {
		return nil, fmt.Errorf("tun: %d queues: %s has one a TUN: choose 1", cfg.Queues, runtime.GOOS)
	}
	if cfg.Offload == OffloadOn {
		return nil, fmt.Errorf("tun: no offloads on %s: use auto or off instead of on", runtime.GOOS)
	}
	if cfg.Name == "" {
		cfg.Name = anyName()
	}
	wg, err := wgtun.CreateTUN(cfg.Name, cfg.MTU)
	if err != nil {
		return nil, createError(cfg.Name, err)
	}
	name, err := wg.Name()
	if err != nil {
		wg.Close()
		return nil, fmt.Errorf("tun: %w", err)
	}
	return newPlain(wg, name, cfg), nil
}

// anyName is what the system takes for "you choose", or a name of our own.
func anyName() string {
	switch runtime.GOOS {
	case "darwin":
		return "utun"
	case "openbsd":
		return "tun"
	case "windows":
		return "portico"
	}
	return "tun0"
}

// createError says what to do when the interface cannot be made.
func createError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission) && runtime.GOOS == "windows":
		return fmt.Errorf("tun: not allowed to make interface %s: run as Administrator: %w", name, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("tun: not allowed to make interface %s: run with sudo: %w", name, err)
	case runtime.GOOS == "darwin":
		return fmt.Errorf("tun: make interface %s (a name of macOS is utun or utunN): %w", name, err)
	case runtime.GOOS == "windows":
		return fmt.Errorf("tun: make interface %s (wintun.dll must lie beside the program): %w", name, err)
	}
	return fmt.Errorf("tun: make interface %s: %w", name, err)
}

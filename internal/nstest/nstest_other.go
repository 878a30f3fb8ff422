//go:build !linux

package nstest

import "runtime"

func missing() string { return "network namespaces exist on Linux only, this is " + runtime.GOOS }

func runInside() (int, string) { return 0, missing() }

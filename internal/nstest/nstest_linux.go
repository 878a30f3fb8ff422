package nstest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// Sysctl sets one of the network's switches, a file of /proc/sys/net, until the test ends.
func Sysctl(t testing.TB, file, value string) {
	t.Helper()
	file = "/proc/sys/net/" + file
	before, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(value), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0); err != nil {
			t.Error(err)
		}
	})
}

// missing says what a test in a namespace lacks; empty when it lacks nothing.
func missing() string {
	if os.Geteuid() != 0 {
		return "not root: run with sudo"
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return fmt.Sprintf("no TUN here (%v): run \"modprobe tun\", or give the container --device /dev/net/tun", err)
	}
	f.Close()
	if _, err := exec.LookPath("ip"); err != nil {
		return "no ip(8): install iproute2"
	}
	return ""
}

// runInside runs this very test binary again in a new namespace and returns its exit
// status, or why that cannot be.
func runInside() (status int, why string) {
	// The child must not outlive a killed parent; Pdeathsig watches the thread that
	// started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Sprintf("cannot make a network namespace (%v): run with sudo, or give the container --privileged", err)
	}
	if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() < 0 {
		fmt.Fprintf(os.Stderr, "tests in a network namespace: %v\n", err)
		return 1, ""
	}
	return cmd.ProcessState.ExitCode(), ""
}

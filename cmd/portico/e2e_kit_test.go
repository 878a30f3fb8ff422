//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// The end-to-end tests run the real binary against the real kernel. The whole test program
// starts itself again in a network namespace of its own, which vanishes with it, so that
// its own sockets are inside and nothing of the machine is touched.

const insideEnv = "PORTICO_E2E_INSIDE"

// porticoPath is the binary under test.
var porticoPath string

func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) == "" {
		os.Exit(enterNamespace())
	}
	code, err := runInside(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// enterNamespace runs this program in a new network namespace.
func enterNamespace() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	case errors.Is(err, syscall.EPERM):
		fmt.Fprintln(os.Stderr, "e2e: may not make a network namespace: run the tests as root")
	default:
		fmt.Fprintln(os.Stderr, "e2e:", err)
	}
	return 1
}

// environment are the variables that decide what programs do and say.
var environment = map[string]string{
	"LC_ALL": "C",
	// No proxy leads to a daemon of ours.
	"NO_PROXY": "*", "no_proxy": "*",
}

func runInside(m *testing.M) (int, error) {
	for name, value := range environment {
		os.Setenv(name, value)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return 0, err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "portico-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	porticoPath = filepath.Join(dir, "portico")
	if out, err := exec.Command("go", "build", "-o", porticoPath, ".").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	return m.Run(), nil
}

// need fails the test when a tool is missing, and says where it comes from.
func need(t *testing.T, tool, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Fatalf("%s is missing: apt-get install %s", tool, debianPackage)
	}
}

// daemon is a running `portico up`.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	socket string
	lines  chan string // of its stderr
	ended  chan error
	said   bytes.Buffer // all of it, once lines is closed
}

// patience bounds every wait for something that happens at once when all is well.
const patience = 60 * time.Second

// startUp starts a daemon, waits until it says that it is ready, and sees to it that it goes
// away in order when the test is over.
func startUp(t *testing.T, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, socket: filepath.Join(shortDir(t), "api.sock"), lines: make(chan string, 1024), ended: make(chan error, 1)}
	d.cmd = exec.Command(porticoPath, append([]string{"up", "--api", "unix://" + d.socket}, args...)...)
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		sc := bufio.NewScanner(stderr)
		for sc.Scan() {
			fmt.Fprintln(&d.said, sc.Text())
			select {
			case d.lines <- sc.Text():
			default: // nobody reads that far
			}
		}
		close(d.lines)
		d.ended <- d.cmd.Wait()
	}()
	ready := "portico: ready: "
	if slices.Contains(args, "json") {
		ready = `"msg":"ready"`
	}
	d.expect(ready)
	t.Cleanup(d.stop)
	return d
}

// expect reads the daemon's stderr up to a line with want in it.
func (d *daemon) expect(want string) string {
	d.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case line, ok := <-d.lines:
			if !ok {
				d.t.Fatalf("the daemon ended (%v) before it said %q:\n%s", <-d.ended, want, d.said.String())
			}
			if strings.Contains(line, want) {
				return line
			}
		case <-limit:
			d.cmd.Process.Kill()
			d.t.Fatalf("the daemon did not say %q within %v", want, patience)
		}
	}
}

// stop ends the daemon by SIGTERM. It must exit 0 and leave nothing.
func (d *daemon) stop() {
	d.t.Helper()
	if d.cmd.Process == nil || d.ended == nil {
		return
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	d.gone()
}

// gone waits for the daemon's end, which must have been in order.
func (d *daemon) gone() {
	d.t.Helper()
	select {
	case err := <-d.ended:
		d.ended = nil
		if err != nil {
			d.t.Errorf("the daemon: %v\n%s", err, d.said.String())
		}
	case <-time.After(patience):
		d.cmd.Process.Kill()
		d.t.Fatalf("the daemon does not end")
	}
	if _, err := net.InterfaceByName("tun0"); err == nil {
		d.t.Error("the TUN is still there")
	}
	if _, err := os.Lstat(d.socket); err == nil {
		d.t.Error("the socket is still there")
	}
}

// portico runs another command against the daemon and returns its stdout.
func (d *daemon) portico(args ...string) string {
	d.t.Helper()
	return output(d.t, nil, porticoPath, append(args, "--api", "unix://"+d.socket)...)
}

// output runs a command, which must succeed, and returns its stdout.
func output(t *testing.T, stdin io.Reader, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// dialKernel connects over the kernel's own sockets.
func dialKernel(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: patience}).Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

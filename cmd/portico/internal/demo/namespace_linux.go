package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// ExitUnable is the exit code of a demo that could not set up its scene.
const ExitUnable = 3

// InNamespace runs this program again with args in a network namespace of its own, which
// vanishes with it. Without the right to make one it makes a user namespace around it,
// where the machine allows that. The error is an *UnableError when there is no way.
func InNamespace(ctx context.Context, args []string, stdout io.Writer) error {
	attrs := []*syscall.SysProcAttr{{Cloneflags: syscall.CLONE_NEWNET}}
	userNamespace := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	if os.Geteuid() == 0 {
		attrs = append(attrs, userNamespace)
	} else {
		attrs = []*syscall.SysProcAttr{userNamespace}
	}
	var err error
	for _, attr := range attrs {
		err = runInside(ctx, attr, args, stdout)
		if unable := (*UnableError)(nil); !errors.As(err, &unable) {
			return err
		}
	}
	return err
}

func runInside(ctx context.Context, attr *syscall.SysProcAttr, args []string, stdout io.Writer) error {
	runtime.LockOSThread() // Pdeathsig comes when the thread ends, not the process
	defer runtime.UnlockOSThread()
	attr.Pdeathsig = syscall.SIGKILL
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.SysProcAttr = attr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdout = stdout
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = errno
		}
		return &UnableError{fmt.Errorf("no network namespace: %w", err)}
	}
	err := cmd.Wait()
	reason := strings.TrimPrefix(strings.TrimSpace(said.String()), "portico: ")
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == ExitUnable:
		return &UnableError{errors.New(reason)}
	case reason != "":
		return errors.New(reason)
	case exit != nil && brokenPipe(exit):
		return nil // whoever read has read enough
	}
	return fmt.Errorf("the demo in the namespace failed: %w", err)
}

// brokenPipe reports whether a process ended because nobody reads what it writes.
func brokenPipe(exit *exec.ExitError) bool {
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGPIPE
}

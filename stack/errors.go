package stack

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/a644562b/portico/tcp"
)

// canceledError and timeoutError are what net returns for a dial whose context ended.
// net's own values are not exported; these say the same and satisfy the same errors.Is,
// and the second os.ErrDeadlineExceeded besides.
type canceledError struct{}

func (canceledError) Error() string        { return "operation was canceled" }
func (canceledError) Is(target error) bool { return target == context.Canceled }

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
func (timeoutError) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}

// contextError is the error of a context in the words of net.
func contextError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return canceledError{}
	case errors.Is(err, context.DeadlineExceeded):
		return timeoutError{}
	}
	return err
}

// portsExhausted is the error when no ephemeral port is left: to listen on, or, where
// remote is set, to reach it from.
type portsExhausted struct {
	first, last uint16
	remote      string
}

func (e *portsExhausted) Error() string {
	towards := ""
	if e.remote != "" {
		towards = " towards " + e.remote
	}
	return "every port from " + itoa(e.first) + " to " + itoa(e.last) + " is in use" + towards +
		"; widen PortRange or add an address: " + syscall.EADDRNOTAVAIL.Error()
}
func (e *portsExhausted) Unwrap() error { return syscall.EADDRNOTAVAIL }

// errNotOurs is what bind answers to an address that is not the stack's.
var errNotOurs = os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)

// systemError is what the kernel would have answered to call, for an error of package
// tcp. Other errors, io.EOF among them, pass as they are.
func systemError(call string, err error) error {
	var errno syscall.Errno
	switch err {
	case tcp.ErrRefused:
		errno = syscall.ECONNREFUSED
	case tcp.ErrReset:
		errno = syscall.ECONNRESET
	case tcp.ErrTimeout:
		errno = syscall.ETIMEDOUT
	case tcp.ErrClosing:
		errno = syscall.EPIPE
	case tcp.ErrAborted:
		errno = syscall.ECONNABORTED
	case tcp.ErrNotConnected:
		errno = syscall.ENOTCONN
	default:
		var ok bool
		if errno, ok = err.(syscall.Errno); !ok { // of an ICMP error
			return err
		}
	}
	return os.NewSyscallError(call, errno)
}

// opError dresses an error as net does. nil and io.EOF stay as they are.
func opError(op, network string, source, addr net.Addr, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: network, Source: source, Addr: addr, Err: err}
}

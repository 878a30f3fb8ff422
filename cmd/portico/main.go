// Command portico is a TCP/IP host in user space on a TUN interface, and what a person
// needs to look at it: a daemon that serves (up), lists of its sockets (ss), the life of
// a connection drawn as a ladder (trace, demo), and small clients (fetch, ping, traceroute).
//
// It exits 0 when it did what was asked, 1 when it could not, and 2 when it was asked
// wrongly; then one line on stderr says what to change.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns the exit code. The first SIGINT or SIGTERM
// ends the command in order: its context ends.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return report(stderr, err)
}

// report writes an error as one line and returns the exit code that goes with it.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if silent := (*silentError)(nil); errors.As(err, &silent) {
		return silent.code
	}
	line := strings.Join(strings.Fields(err.Error()), " ")
	if usage := (*usageError)(nil); errors.As(err, &usage) {
		fmt.Fprintf(stderr, "portico: %s (see `%s --help`)\n", line, usage.command)
		return exitUsage
	}
	fmt.Fprintf(stderr, "portico: %s\n", line)
	return exitFailed
}

// usageError is a command line that makes no sense.
type usageError struct {
	command string // the path of the command, "portico ss" for one
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef makes the error of a wrong command line.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{cmd.CommandPath(), fmt.Errorf(format, args...)}
}

// silentError ends a command that has said what was to be said.
type silentError struct{ code int }

func (e *silentError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// Package nstest lets the tests of a package run inside a network namespace of their
// own, where they may make interfaces and set addresses and nobody else sees it. The
// whole test process lives in the namespace, so that every goroutine, every
// thread and every child process does.
//
// A package uses it by two calls:
//
//	func TestMain(m *testing.M) { nstest.Main(m) }
//	func TestX(t *testing.T)    { nstest.Require(t); … }
//
// Root and /dev/net/tun are needed. Where they are not there Require skips the test,
// or fails it when PORTICO_REQUIRE_TUN=1 says that they must be (scripts/test does).
// NewHost and NewFarHost make further hosts: namespaces beside that of the test, in which
// the test makes sockets and starts programs.
//
// The package is for tests only.
package nstest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const (
	// requireEnv set to 1 turns what would be skipped into a failure.
	requireEnv = "PORTICO_REQUIRE_TUN"
	// insideEnv marks the process that runs in the namespace.
	insideEnv = "PORTICO_TEST_NAMESPACE"
)

// Main runs the tests of a package in a network namespace where that is possible, else
// where they are. It does not return.
func Main(m *testing.M) {
	os.Setenv("LC_ALL", "C") // tests read what programs say
	inside := os.Getenv(insideEnv) == "1"
	if lacking = missing(); lacking == "" && !inside {
		var status int
		if status, lacking = runInside(); lacking == "" {
			os.Exit(status)
		}
	}
	if lacking == "" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			lacking = fmt.Sprintf("the loopback interface does not come up: %v: %s", err, out)
		}
	}
	os.Exit(m.Run())
}

// lacking says why no test of this process can run in a namespace; empty when Main
// has put it into one.
var lacking = "TestMain does not call nstest.Main"

// Require skips or fails the test unless it runs in a namespace by Main and may make
// a TUN there.
func Require(t testing.TB) {
	t.Helper()
	switch {
	case lacking == "":
	case os.Getenv(requireEnv) == "1":
		t.Fatalf("this test must run (%s=1), but: %s", requireEnv, lacking)
	default:
		t.Skipf("needs a network namespace and a TUN: %s", lacking)
	}
}

// IP runs ip(8) and fails the test when it fails. Its argument is what a person would
// type after "ip"; it returns what ip printed.
func IP(t testing.TB, command string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", command, err, out)
	}
	return string(out)
}

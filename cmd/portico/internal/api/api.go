// Package api is how one portico command asks a running one: HTTP with JSON over a unix
// socket that only its owner may open.
//
//	GET /v1/sockets          view.Sockets: connections, listeners, UDP sockets
//	GET /v1/stats            []Counter: the stack's counters, in the order of stack.Stats.All
//	GET /v1/traces           []Trace: the connections that can be traced, oldest first
//	GET /v1/trace?conn=CONN  ladder.Ladder: the life of one of them
//
// An error is a status that is not 200 and {"error": "one line"}. The package changes
// nothing in the daemon; there is no call that does.
package api

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/record"
)

// Trace is a connection that can be traced.
type Trace struct {
	Serial  uint64         `json:"serial"`
	State   string         `json:"state"`
	Local   netip.AddrPort `json:"local"`
	Remote  netip.AddrPort `json:"remote"`
	Passive bool           `json:"passive"` // the peer opened it
	// Age and Idle are how long ago its first event and its last were, in nanoseconds.
	Age    time.Duration `json:"age_ns"`
	Idle   time.Duration `json:"idle_ns"`
	Totals record.Totals `json:"totals"`
}

// Counter is a counter of the stack by the name that nstat(8) has for it.
type Counter struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// failure is the body of an answer that is not 200.
type failure struct {
	Error string `json:"error"`
}

// scheme is in front of the path of a socket where an address is asked for.
const scheme = "unix://"

// ParseAddress returns the path that an address such as unix:///run/portico.sock names.
func ParseAddress(address string) (string, error) {
	path, ok := strings.CutPrefix(address, scheme)
	if !ok || !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not the address of a socket: write %s and an absolute path, as in unix:///run/portico.sock", address, scheme)
	}
	return filepath.Clean(path), nil
}

const (
	systemSocket = "/run/portico.sock"
	socketName   = "portico.sock"
)

// DefaultAddress is where a daemon of this user puts its socket: /run for root, the user's
// own runtime directory or the directory for temporary files for others.
func DefaultAddress() string {
	if os.Geteuid() == 0 {
		return scheme + systemSocket
	}
	return scheme + userSocket()
}

func userSocket() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, socketName)
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("portico-%d.sock", max(0, os.Geteuid())))
}

// FindAddress is where to look for a daemon: the default, and for a user who has none of
// their own, root's.
func FindAddress() string {
	address := DefaultAddress()
	if _, err := os.Stat(strings.TrimPrefix(address, scheme)); err != nil {
		if _, err := os.Stat(systemSocket); err == nil {
			return scheme + systemSocket
		}
	}
	return address
}

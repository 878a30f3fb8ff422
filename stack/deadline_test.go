package stack

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestAnExpiredReadAllocatesItsErrorOnly: net/http ends a Read by a deadline after every
// request, so that what such an error costs is a cost of every request.
func TestAnExpiredReadAllocatesItsErrorOnly(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		client, server := h.connect(t)
		server.SetReadDeadline(time.Now().Add(-time.Second))
		b := make([]byte, 1)
		var err error
		if n := testing.AllocsPerRun(100, func() { _, err = server.Read(b) }); n > 1 {
			t.Errorf("%.0f allocations", n)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		if client.RemoteAddr().String() != server.LocalAddr().String() || client.LocalAddr().String() != server.RemoteAddr().String() {
			t.Errorf("the client is at %v and %v, the server at %v and %v", client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
		}
	})
}

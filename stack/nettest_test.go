package stack

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/pipe"
)

// TestConnBehavesLikeNet runs the conformance test of x/net, both ends ours, which takes
// real time: over an ordinary wire and over one that takes super-segments.
func TestConnBehavesLikeNet(t *testing.T) {
	for name, wire := range map[string]pipe.Config{
		"plain":    {},
		"offloads": {Caps: link.Caps{Checksum: true, TSO4: true, TSO6: true}},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				h := newHosts(t, clientConfig(), serverConfig(), wire)
				client, server := h.connect(t)
				return client, server, h.close, nil
			})
		})
	}
}

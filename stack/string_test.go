package stack

import (
	"fmt"
	"testing"
)

// Whoever logs a connection gets its name, and not its memory.
func TestPrintedTheyAreTheirNames(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		l := h.listen(t, "tcp", "10.77.0.2:80")
		c := h.dial(t, "tcp", "10.77.0.2:80")
		s := accept(t, l)
		u, err := h.server.ListenPacket("udp", "10.77.0.2:53")
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		d, err := h.client.Dial("udp", "10.77.0.2:53")
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		p, err := h.client.ListenPing("ip4:icmp", "10.77.0.1")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, x := range []struct {
			what any
			want string
		}{
			{c, fmt.Sprintf("tcp %v->10.77.0.2:80", c.LocalAddr())},
			{s, fmt.Sprintf("tcp 10.77.0.2:80->%v", c.LocalAddr())},
			{l, "tcp 10.77.0.2:80"},
			{u, "udp 10.77.0.2:53"},
			{d, fmt.Sprintf("udp %v->10.77.0.2:53", d.LocalAddr())},
			{p, fmt.Sprintf("ping 10.77.0.1 id %d", p.ID())},
			{h.server, "stack on pipe1: 10.77.0.2/24, fd77::2/64, fe80::2/64"},
		} {
			for _, verb := range []string{"%v", "%+v", "%s"} {
				if got := fmt.Sprintf(verb, x.what); got != x.want {
					t.Errorf("%T by %s is %q, want %q", x.what, verb, got, x.want)
				}
			}
		}
		c.Close()
		s.Close()
	})
}

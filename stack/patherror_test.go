package stack

import (
	"syscall"
	"testing"

	"github.com/a644562b/portico/ip"
)

// What Linux says: icmp_err_convert and icmpv6_err_convert.
func TestErrnoOfPathErrorsIsThatOfLinux(t *testing.T) {
	for _, test := range []struct {
		six       bool
		typ, code uint8
		want      syscall.Errno
	}{
		{false, 3, 0, syscall.ENETUNREACH},
		{false, 3, 1, syscall.EHOSTUNREACH},
		{false, 3, 2, syscall.ENOPROTOOPT},
		{false, 3, 3, syscall.ECONNREFUSED},
		{false, 3, 4, syscall.EMSGSIZE},
		{false, 3, 5, syscall.EOPNOTSUPP},
		{false, 3, 6, syscall.ENETUNREACH},
		{false, 3, 7, syscall.EHOSTDOWN},
		{false, 3, 9, syscall.ENETUNREACH},
		{false, 3, 10, syscall.EHOSTUNREACH},
		{false, 3, 11, syscall.ENETUNREACH},
		{false, 3, 12, syscall.EHOSTUNREACH},
		{false, 3, 13, syscall.EHOSTUNREACH},
		{false, 11, 0, syscall.EHOSTUNREACH},
		{false, 12, 0, syscall.EPROTO},
		{true, 1, 0, syscall.ENETUNREACH},
		{true, 1, 1, syscall.EACCES},
		{true, 1, 2, syscall.EHOSTUNREACH},
		{true, 1, 3, syscall.EHOSTUNREACH},
		{true, 1, 4, syscall.ECONNREFUSED},
		{true, 1, 5, syscall.EACCES},
		{true, 1, 6, syscall.EACCES},
		{true, 2, 0, syscall.EMSGSIZE},
		{true, 3, 0, syscall.EHOSTUNREACH},
		{true, 4, 0, syscall.EPROTO},
		{true, 4, 1, syscall.EPROTO},
		{true, 4, 2, syscall.EPROTO},
	} {
		client, server := pairOf(test.six)
		m := ip.Message{Type: test.typ, Code: test.code, Rest: 1400, Body: udpPacket(ap(server, 1), ap(client, 2), "x")}
		var q ip.Quote
		if !ip.ParseQuote(!test.six, &m, &q) {
			t.Errorf("IPv6 %v type %d code %d is not understood", test.six, test.typ, test.code)
		} else if got := errnoOf(&q); got != test.want {
			t.Errorf("IPv6 %v type %d code %d: %v, want %v", test.six, test.typ, test.code, got, test.want)
		}
	}
}

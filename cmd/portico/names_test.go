package main

import (
	"context"
	"errors"
	"net"
	"testing"
)

func TestNameServersAreReadWithAndWithoutPort(t *testing.T) {
	var n nameServers
	for _, s := range []string{"10.78.0.1", "fd78::1,[fd78::1]:5353", "10.78.0.1:54", "::ffff:10.78.0.2"} {
		if err := n.Set(s); err != nil {
			t.Error(err)
		}
	}
	if got, want := n.String(), "10.78.0.1:53,[fd78::1]:53,[fd78::1]:5353,10.78.0.1:54,10.78.0.2:53"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestUnresolvedNameSaysWhoWasAsked(t *testing.T) {
	const server = "10.78.0.1:53"
	for want, err := range map[string]error{
		"cannot resolve h: the name server 10.78.0.1:53 does not answer: choose another with --dns": &net.DNSError{
			Err: "i/o timeout", UnwrapErr: context.DeadlineExceeded, Server: server, IsTimeout: true},
		"cannot resolve h: the name server 10.78.0.1:53 knows no address of that name":                  &net.DNSError{Err: "no such host", Server: server, IsNotFound: true},
		"cannot resolve h: the name server 10.78.0.1:53: server misbehaving: choose another with --dns": &net.DNSError{Err: "server misbehaving", Server: server},
		"cannot resolve h: lookup h: no such host":                                                      &net.DNSError{Err: "no such host", Name: "h", IsNotFound: true},
		"cannot resolve h: something else":                                                              errors.New("something else"),
	} {
		if got := (&unresolvedError{"h", err}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

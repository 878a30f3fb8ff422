package main

import "testing"

func TestPingTellsHowAnAnswerDiffers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{"abcd", ""}, {"abxd", " (wrong data byte #2)"}, {"abc", " (truncated)"}, {"abcde", " (too long)"},
	} {
		if got := difference([]byte(c.got), []byte("abcd")); got != c.want {
			t.Errorf("%q: %q, want %q", c.got, got, c.want)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOutputKeepsTheFileUntilItIsWritten: what was in it is gone with the first Write, be it of
// nothing, and not before.
func TestOutputKeepsTheFileUntilItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	const before = "what somebody wants to keep"
	for name, c := range map[string]struct {
		writes []string
		want   string
	}{
		"nothing":    {nil, before},
		"empty":      {[]string{""}, ""},
		"two Writes": {[]string{"one ", "two"}, "one two"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := createFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range c.writes {
				if n, err := file.Write([]byte(s)); n != len(s) || err != nil {
					t.Fatal(n, err)
				}
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestOutputToAPipe: it cannot be cut, and need not be.
func TestOutputToAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	file := &outFile{file: w}
	if _, err := file.Write([]byte("body")); err != nil {
		t.Error(err)
	}
	file.Close()
	got := make([]byte, 10)
	if n, err := r.Read(got); string(got[:n]) != "body" {
		t.Errorf("%q, %v", got[:n], err)
	}
}

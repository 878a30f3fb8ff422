package wrap

import (
	"slices"
	"testing"
)

func TestWordsFillLines(t *testing.T) {
	got := Words([]string{"eins", "zwei", "drei·", "unbreakable", "x"}, 10)
	want := []string{"eins zwei", "drei·", "unbreakable", "x"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Words(nil, 10); got != nil {
		t.Errorf("no words became %q", got)
	}
}

func TestTextIndentsBehindItsLead(t *testing.T) {
	if got, want := Text("→ a:  ", "one two  three", 13), "→ a:  one two\n      three"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := Text("  ", "", 10), ""; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

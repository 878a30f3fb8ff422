package ladder

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestLadderOfEachLife(t *testing.T) {
	for name, play := range lives {
		t.Run(name, func(t *testing.T) {
			l := Build(play(t).conn.Trace(), Config{Peer: "curl"})
			var got bytes.Buffer
			if err := l.WriteText(&got, Text{}); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("ladder differs from %s; got:\n%s", golden, got.String())
			}
		})
	}
}

func TestLadderIsNoWiderThan110Columns(t *testing.T) {
	for name, play := range lives {
		for _, style := range []Text{{}, {All: true}} {
			var got bytes.Buffer
			if err := Build(play(t).conn.Trace(), Config{}).WriteText(&got, style); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(got.String()) {
				line = strings.TrimSuffix(line, "\n")
				if n := utf8.RuneCountInString(line); n > 110 {
					t.Errorf("%s: %d columns: %s", name, n, line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("%s: spaces at the end of %q", name, line)
				}
			}
		}
	}
}

func TestLadderSurvivesJSON(t *testing.T) {
	for name, play := range lives {
		l := Build(play(t).conn.Trace(), Config{})
		b, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		var back Ladder
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(l, &back) {
			t.Errorf("%s: the ladder changed on its way through JSON", name)
		}
	}
}

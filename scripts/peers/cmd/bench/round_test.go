package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/a644562b/portico/scripts/peers/internal/result"
)

// standIn is a script in place of run.sh: it answers every test with a line that has its label,
// and says in a file what it was told and that it could end in peace.
const standIn = `#!/bin/sh
log=$(dirname "$0")/log
while [ $# -gt 0 ]; do
	case $1 in
	--label) label=$2 ;;
	--loss) loss=$2 ;;
	--round) round=$2 ;;
	--) break ;;
	esac
	shift
done
shift
echo "start $label: $*" >>"$log"
while read -r test; do
	[ "$test" != "$DIES_IN" ] || { echo "out of luck" >&2; exit 1; }
	echo "${loss:+$loss }$test $label" >>"$log"
	printf '{"label":"%s","mode":"%s","conns":%d,"round":%d,"loss":"%s","verified":true,"gbps":1}\n' \
		"$label" "${test%:*}" "${test#*:}" "$round" "${loss:-none}"
done
echo "end $label" >>"$log"
`

// newBench is a bench whose run.sh is the stand-in, and its log.
func newBench(t *testing.T, tests, labels string) (*bench, func() []string) {
	t.Helper()
	dir := t.TempDir()
	b := &bench{script: filepath.Join(dir, "run.sh"), bin: dir, dir: dir, seconds: 1}
	if err := os.WriteFile(b.script, []byte(standIn), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.groups, err = chosen(tests); err != nil {
		t.Fatal(err)
	}
	if b.peers, err = choosePeers(labels, []string{"--queues", "2"}); err != nil {
		t.Fatal(err)
	}
	return b, func() []string {
		text, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

func TestPeersAreMeasuredInTurnAndEachIsFirstInTurn(t *testing.T) {
	b, log := newBench(t, "upload:1,rr:32,loss3/*", "gvisor-wg,kernel")
	for round := 1; round <= 2; round++ {
		if err := b.round(context.Background(), round); err != nil {
			t.Fatal(err)
		}
	}
	var order, begun, ended []string
	for _, line := range log() {
		switch {
		case strings.HasPrefix(line, "start "):
			begun = append(begun, line)
		case strings.HasPrefix(line, "end "):
			ended = append(ended, line)
		default:
			order = append(order, line)
		}
	}
	want := []string{
		"upload:1 gvisor-wg", "upload:1 kernel", "upload:1 portico",
		"rr:32 kernel", "rr:32 portico", "rr:32 gvisor-wg",
		"down:3 download:1 kernel", "down:3 download:1 portico", // nobody asks wireguard-go for this
		"down:3 download:8 portico", "down:3 download:8 kernel",
		"upload:1 kernel", "upload:1 portico", "upload:1 gvisor-wg",
		"rr:32 portico", "rr:32 gvisor-wg", "rr:32 kernel",
		"down:3 download:1 portico", "down:3 download:1 kernel",
		"down:3 download:8 kernel", "down:3 download:8 portico",
	}
	if !slices.Equal(order, want) {
		t.Errorf("measured\n%s\nwant\n%s", strings.Join(order, "\n"), strings.Join(want, "\n"))
	}
	if len(b.lines) != len(want) || len(begun) != 10 || len(ended) != 10 {
		t.Errorf("%d lines, %d starts, %d ends; want %d, 10, 10", len(b.lines), len(begun), len(ended), len(want))
	}
	for _, program := range []string{"start portico: portico --queues 2", "start gvisor-wg: gvisor --mode wg", "start kernel: kernel"} {
		if !slices.Contains(begun, program) {
			t.Errorf("missing %q in %q", program, begun)
		}
	}
}

func TestAPeerThatEndsItselfIsAnErrorWithWhatItSaid(t *testing.T) {
	t.Setenv("DIES_IN", "rr:32")
	b, _ := newBench(t, "upload:1,rr:32", "kernel")
	err := b.round(context.Background(), 1)
	if err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("error %v, want what the script said", err)
	}
	if len(b.lines) != 2 {
		t.Errorf("%d measurements are kept, want the 2 of the test before", len(b.lines))
	}
}

func TestRoundsAreAddedToThoseOfAFile(t *testing.T) {
	b, _ := newBench(t, "upload:1", "kernel")
	file := filepath.Join(b.dir, "raw.jsonl")
	for want := 2; want <= 4; want += 2 {
		b.lines = nil
		if err := b.earlier(file); err != nil {
			t.Fatal(err)
		}
		if err := b.measure(1); err != nil {
			t.Fatal(err)
		}
		b.out.Close()
		lines, err := result.Read(file, 0)
		if err != nil || len(lines) != want || len(b.lines) != want || lines[want-1].Round != want/2 {
			t.Fatalf("file has %d lines (%v), the bench %d, the last is of round %d; want %d and round %d",
				len(lines), err, len(b.lines), lines[len(lines)-1].Round, want, want/2)
		}
	}
}

func TestChoosingTestsByGlobs(t *testing.T) {
	for _, tc := range []struct{ globs, want string }{
		{"*", strings.Join(points(), " ")},
		{"rr:*,loss1/*:8", "rr:32 rr:256 loss1/download:8"},
		{"*download:8", "download:8 loss0.1/download:8 loss1/download:8 loss3/download:8"},
		{"ping:*", `error: no test matches --tests ping:*`},
		{"[", `error: --tests "["`},
	} {
		groups, err := chosen(tc.globs)
		got := fmt.Sprint("error: ", err)
		if err == nil {
			var names []string
			for _, g := range groups {
				for _, test := range g.tests {
					names = append(names, g.point(test))
				}
			}
			got = strings.Join(names, " ")
		}
		if !strings.HasPrefix(got, tc.want) || err == nil && got != tc.want {
			t.Errorf("%s: %s, want %s", tc.globs, got, tc.want)
		}
	}
	if _, err := choosePeers("kernel,lwip", nil); err == nil || !bytes.Contains([]byte(err.Error()), []byte("lwip")) {
		t.Errorf("an unknown peer: error %v", err)
	}
}

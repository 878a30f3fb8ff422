package rules

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// vectors is an operand that is a register of 32 bytes or more.
var vectors = regexp.MustCompile(`\b[YZ]([0-9]|[12][0-9]|3[01])\b`)

// unclean returns the routines of an assembly file for amd64 that use registers of 32 bytes and
// have a RET, or a JMP to another routine, that no VZEROUPPER stands before: the upper halves, left
// in use, would make SSE instructions of others slow on many processors, and no result shows it.
// What lies between a label and a RET must have one of its own, for who jumps to it need not.
func unclean(text string) (routines []string) {
	name, wide, clean, faulty := "", false, false, false
	end := func() {
		if wide && faulty {
			routines = append(routines, name)
		}
	}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "//")
		for part := range strings.SplitSeq(line, ";") {
			words := strings.Fields(part)
			if len(words) == 0 {
				continue
			}
			switch op := words[0]; {
			case op == "TEXT":
				end()
				name, _, _ = strings.Cut(strings.TrimPrefix(words[1], "·"), "(")
				wide, clean, faulty = false, false, false
			case strings.HasSuffix(op, ":"):
				clean = false
			case op == "VZEROUPPER":
				clean = true
			case op == "RET", op == "JMP" && strings.Contains(part, "(SB)"):
				faulty = faulty || !clean
			case vectors.MatchString(part):
				wide, clean = true, false
			}
		}
	}
	end()
	return routines
}

func TestRoutinesWithWideRegistersLeaveThemClean(t *testing.T) {
	wide := 0
	err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".s" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if vectors.Match(text) {
			wide++
		}
		for _, routine := range unclean(string(text)) {
			t.Errorf("%s: %s returns without VZEROUPPER", name, routine)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if wide == 0 {
		t.Error("no file has such registers: the walk is broken")
	}
}

// TestAMissingVZEROUPPERIsFound wherever it is missing.
func TestAMissingVZEROUPPERIsFound(t *testing.T) {
	const head = "#include \"textflag.h\"\n// Y9 is not used\nTEXT ·one(SB), NOSPLIT, $0-8\n\tVPXOR Y0, Y0, Y0\n"
	const two = "TEXT ·two(SB), NOSPLIT, $0\n\tMOVQ AX, BX\n\tRET\n"
	for _, c := range []struct {
		rest string
		want []string
	}{
		{"\tVZEROUPPER\n\tMOVQ AX, ret+0(FP)\n\tRET\n" + two, nil},
		{"\tMOVQ AX, ret+0(FP)\n\tRET\n" + two, []string{"one"}},
		{"\tVZEROUPPER\n\tVPADDQ Y1, Y0, Y0\n\tRET\n", []string{"one"}},
		{"\tJB out\n\tVZEROUPPER\n\tRET\nout:\n\tRET\n", []string{"one"}},
		{"\tJB out\n\tVZEROUPPER\n\tRET\nout:\n\tVZEROUPPER\n\tRET\n", nil},
		{"\tRET\n\tVZEROUPPER\n\tRET\n", []string{"one"}},
		{"\tJMP ·two(SB)\n" + two, []string{"one"}},
		{"\tRET // VZEROUPPER\n", []string{"one"}},
		{"\tVPXOR X1, X1, X1; VZEROUPPER; RET\n", nil},
	} {
		if got := unclean(head + c.rest); !slices.Equal(got, c.want) {
			t.Errorf("found %v, want %v in\n%s", got, c.want, head+c.rest)
		}
	}
}

package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// statement is one kind of line of a scenario: its first word, what may follow, and what
// it means.
type statement struct {
	word  string
	usage string // by example
	says  string
	parse func(*Scenario, []string) error
	// reset forgets what such lines have said before, so that a flag replaces and does
	// not add; nil where the last one counts anyway.
	reset func(*Scenario)
}

// statements are set by init: the table and the functions in it know one another.
var statements []statement

func init() {
	statements = append(append(pathStatements, flowStatements...), hostStatements...)
}

// Usage lists the lines that a scenario may have, one by one: an example, and what it
// says.
func Usage() [][2]string {
	var all [][2]string
	for _, s := range statements {
		all = append(all, [2]string{s.word + " " + s.usage, s.says})
	}
	return all
}

// LineError is what is wrong with a line of a scenario.
type LineError struct {
	File string
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// Parse reads a scenario; file is what it is called in errors, which name the line and
// what is accepted. It is not validated: flags may add to it.
func Parse(file, text string) (*Scenario, error) {
	s := NewScenario()
	s.Name = file
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if err := s.Line(line); err != nil {
			return nil, &LineError{File: file, Line: i + 1, Err: err}
		}
	}
	return s, nil
}

// Line takes one line, which may be empty, into the scenario.
func (s *Scenario) Line(line string) error {
	words := fields(line)
	if len(words) == 0 {
		return nil
	}
	st, err := find(words[0])
	if err != nil {
		return err
	}
	if err := st.parse(s, words[1:]); err != nil {
		return fmt.Errorf("%s: %w (as in: %s %s)", st.word, err, st.word, st.usage)
	}
	return nil
}

// Replace is Line, but instead of what lines of its kind have said before.
func (s *Scenario) Replace(word string, arguments ...string) error {
	st, err := find(word)
	if err != nil {
		return err
	}
	if st.reset != nil {
		st.reset(s)
	}
	return s.Add(word, arguments...)
}

// Add is Line for each of the arguments.
func (s *Scenario) Add(word string, arguments ...string) error {
	st, err := find(word)
	if err != nil {
		return err
	}
	for _, a := range arguments {
		if err := st.parse(s, fields(a)); err != nil {
			return fmt.Errorf("%w (as in: %s)", err, st.usage)
		}
	}
	return nil
}

// fields are the words of a line, commas apart.
func fields(line string) []string { return strings.Fields(strings.ReplaceAll(line, ",", " , ")) }

func find(word string) (*statement, error) {
	i := slices.IndexFunc(statements, func(s statement) bool { return s.word == word })
	if i < 0 {
		var known []string
		for _, s := range statements {
			known = append(known, s.word)
		}
		return nil, fmt.Errorf("%q is nothing that a scenario says: want one of %s", word, strings.Join(known, ", "))
	}
	return &statements[i], nil
}

// words are what is left of a line.
type words struct{ list []string }

// take removes the first word.
func (w *words) take() (string, bool) {
	if len(w.list) == 0 {
		return "", false
	}
	first := w.list[0]
	w.list = w.list[1:]
	return first, true
}

// skip removes the first word if it is one of these.
func (w *words) skip(these ...string) bool {
	if len(w.list) > 0 && slices.Contains(these, w.list[0]) {
		w.list = w.list[1:]
		return true
	}
	return false
}

// way removes "up" or "down" from wherever it stands and returns the directions that it
// means: both where neither stands.
func (w *words) way() []Way {
	for i, word := range w.list {
		if word == Up.String() || word == Down.String() {
			w.list = slices.Delete(slices.Clone(w.list), i, i+1)
			if word == Up.String() {
				return []Way{Up}
			}
			return []Way{Down}
		}
	}
	return []Way{Down, Up}
}

// end is an error if words are left.
func (w *words) end() error {
	if len(w.list) > 0 {
		return fmt.Errorf("%q is not expected here", w.list[0])
	}
	return nil
}

var errMissing = errors.New("something is missing")

// value takes a word and reads it by parse.
func value[T any](w *words, parse func(string) (T, error)) (T, error) {
	var zero T
	word, ok := w.take()
	if !ok {
		return zero, errMissing
	}
	return parse(word)
}

// after is value behind a word that must come first.
func after[T any](w *words, word string, parse func(string) (T, error)) (T, error) {
	var zero T
	if !w.skip(word) {
		return zero, fmt.Errorf("%q is missing", word)
	}
	return value(w, parse)
}

// span reads a time from..to.
func span(s string) ([2]time.Duration, error) {
	var v [2]time.Duration
	from, to, ok := strings.Cut(s, "..")
	if !ok {
		return v, fmt.Errorf("%q is no stretch of time: want one such as 5s..7s", s)
	}
	for i, word := range []string{from, to} {
		d, err := ParseTime(word)
		if err != nil {
			return v, err
		}
		v[i] = d
	}
	if v[1] <= v[0] {
		return v, fmt.Errorf("%q ends before it has begun", s)
	}
	return v, nil
}

// count reads a whole number from 1 to most.
func count(most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > most {
			return 0, fmt.Errorf("%q is no number from 1 to %d", s, most)
		}
		return n, nil
	}
}

// onOff reads on or off.
func onOff(s string) (bool, error) {
	if s != "on" && s != "off" {
		return false, fmt.Errorf("%q is neither on nor off", s)
	}
	return s == "on", nil
}

// Package wrap breaks text for people into lines.
package wrap

import (
	"strings"
	"unicode/utf8"
)

// Words sets words into lines of at most width characters, one space between them. A word
// that is longer stands alone on its line.
func Words(words []string, width int) []string {
	var lines []string
	var line strings.Builder
	length := 0
	for _, word := range words {
		n := utf8.RuneCountInString(word)
		if length > 0 && length+1+n > width {
			lines = append(lines, line.String())
			line.Reset()
			length = 0
		}
		if length > 0 {
			line.WriteByte(' ')
			length++
		}
		line.WriteString(word)
		length += n
	}
	if length > 0 {
		lines = append(lines, line.String())
	}
	return lines
}

// Text breaks text at its white space into lines of at most width characters. The first
// starts with lead, the others with as many spaces as lead has characters.
func Text(lead, text string, width int) string {
	indent := utf8.RuneCountInString(lead)
	lines := Words(strings.Fields(text), width-indent)
	return strings.TrimRight(lead+strings.Join(lines, "\n"+strings.Repeat(" ", indent)), " ")
}

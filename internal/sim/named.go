package sim

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed scenarios
var shipped embed.FS

// order is that of Names: from the good paths to the bad.
var order = []string{"lan", "datacentre", "wifi", "lte", "satellite", "lossy", "bufferbloat", "reorder"}

// Names lists the scenarios that come with the package.
func Names() []string { return slices.Clone(order) }

// Named is a scenario that comes with the package.
func Named(name string) (*Scenario, error) {
	text, err := NamedText(name)
	if err != nil {
		return nil, err
	}
	return Parse(name, text)
}

// NamedText is the text of a scenario that comes with the package.
func NamedText(name string) (string, error) {
	if !slices.Contains(order, name) {
		return "", fmt.Errorf("there is no scenario %q: want one of %s, or a file", name, strings.Join(order, ", "))
	}
	text, err := shipped.ReadFile("scenarios/" + name + ".txt")
	return string(text), err
}

// Summary is what the first lines of a scenario's text say about it.
func Summary(text string) string {
	var said []string
	for line := range strings.Lines(text) {
		comment, is := strings.CutPrefix(line, "#")
		if !is {
			break
		}
		said = append(said, strings.TrimSpace(comment))
	}
	return strings.Join(said, " ")
}

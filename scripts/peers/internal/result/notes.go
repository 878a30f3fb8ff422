package result

import (
	"fmt"
	"strings"
)

// Notes say what a reader must know of the measurements. Those of zero that failed count as 0.
func Notes(lines []Line, zero string) string {
	var failed, noisy, dropped int
	var samples []string
	for i := range lines {
		l := &lines[i]
		if !l.OK() {
			failed++
			samples = append(samples, fmt.Sprintf("- %s, %s, loss %s, %s:%d, round %d: %s",
				l.Label, l.Path, l.Loss, l.Mode, l.Conns, l.Round, l.ErrSample))
		}
		if l.Foreign >= Noisy {
			noisy++
		}
		if l.Dropped() > 0 {
			dropped++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d measurements; in %d of them others used %.0f %% of the cores or more, in %d an interface on the way dropped packets that nobody asked it to drop, %d failed",
		len(lines), noisy, Noisy*100, dropped, failed)
	if failed == 0 {
		b.WriteString(".\n")
		return b.String()
	}
	fmt.Fprintf(&b, " (those of %s count as 0):\n\n%s\n", zero, strings.Join(samples, "\n"))
	return b.String()
}

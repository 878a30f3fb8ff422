package sim

import (
	"io/fs"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/race"
)

// Every scenario that comes with the package has a line about it, runs, and delivers.
func TestNamedScenariosRun(t *testing.T) {
	files, err := fs.Glob(shipped, "scenarios/*.txt")
	if err != nil || len(files) != len(Names()) {
		t.Errorf("%d files for %d names, %v", len(files), len(Names()), err)
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := NamedText(name)
			if err != nil {
				t.Fatal(err)
			}
			if Summary(text) == "" {
				t.Error("nothing says what it is")
			}
			sc, err := Named(name)
			if err != nil {
				t.Fatal(err)
			}
			if race.Enabled {
				sc.Time = 4 * time.Second // twenty times slower, and one goroutine
			}
			rep, err := Run(sc, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range rep.Flows {
				if f.Delivered == 0 || f.Error != "" || f.Goodput == 0 {
					t.Errorf("flow %d: %+v", f.Flow, f)
				}
			}
		})
	}
}

func TestAnUnknownScenarioNamesTheKnown(t *testing.T) {
	_, err := Named("lan2")
	want := `there is no scenario "lan2": want one of lan, datacentre, wifi, lte, satellite, lossy, bufferbloat, reorder, or a file`
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

package rules

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// module is the path in front of all packages of the house.
const module = "github.com/a644562b/portico/"

// source is what the rules know of one file.
type source struct {
	name    string   // path from the top of the repository, with slashes
	imports []string // those of this module without its path: "tcp", "link/tun"
	clocks  []string // functions of package time that it uses and that read or follow a clock
	lines   int
}

// room is the directory of the file, which is the package's path in the module.
func (s *source) room() string { return path.Dir(s.name) }

func (s *source) isTest() bool { return strings.HasSuffix(s.name, "_test.go") }

// in reports whether the file lies in one of the rooms or below one.
func (s *source) in(rooms ...string) bool { return within(s.room(), rooms...) }

// within reports whether p is one of the paths or below one.
func within(p string, paths ...string) bool {
	return slices.ContainsFunc(paths, func(q string) bool {
		return p == q || strings.HasPrefix(p, q+"/")
	})
}

// load reads all Go files of the module at root, and of no other inside it.
func load(root string) ([]source, error) {
	var all []source
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if file != root && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || isModule(file)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		s, err := read(filepath.ToSlash(rel), text)
		all = append(all, s)
		return err
	})
	return all, err
}

// isModule reports whether dir is the top of a module of its own, to which the go command
// does not descend either.
func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// read takes from one file what the rules want to know.
func read(name string, text []byte) (source, error) {
	s := source{name: name, lines: strings.Count(string(text), "\n")}
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		return s, err
	}
	timeName := ""
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		s.imports = append(s.imports, strings.TrimPrefix(p, module))
		if p == "time" {
			timeName = "time"
			if spec.Name != nil {
				timeName = spec.Name.Name
			}
		}
	}
	s.clocks = clocks(f, timeName)
	return s, nil
}

// clockFuncs are the functions of package time that read a clock or wait for one.
var clockFuncs = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}

// clocks lists the uses of clockFuncs in a file that calls package time timeName.
func clocks(f *ast.File, timeName string) []string {
	if timeName == "." {
		return []string{`import . "time"`} // which would hide them from us
	}
	var used []string
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || timeName == "" {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == timeName && slices.Contains(clockFuncs, sel.Sel.Name) {
			used = append(used, "time."+sel.Sel.Name)
		}
		return true
	})
	return used
}

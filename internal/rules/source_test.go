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

	declared []string // functions, methods, types, variables and constants of the package
	literals []string // the strings of a test file
	tag      string   // what stands behind //go:build
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
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution|parser.ParseComments)
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
	s.declared = declared(f)
	if s.isTest() {
		s.literals = literals(f)
	}
	s.tag = tag(f)
	return s, nil
}

// declared lists what a file declares for its package; methods by their own name, and
// by that of their type in front.
func declared(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names = append(names, d.Name.Name)
			if d.Recv != nil && len(d.Recv.List) == 1 {
				names = append(names, receiver(d.Recv.List[0].Type)+"."+d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, spec.Name.Name)
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// receiver is the name of the type of a method.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// literals lists the strings that a file spells out.
func literals(f *ast.File) []string {
	var list []string
	ast.Inspect(f, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil {
				list = append(list, s)
			}
		}
		return true
	})
	return list
}

// tag is what a file says behind //go:build.
func tag(f *ast.File) string {
	for _, group := range f.Comments {
		if group.Pos() > f.Package {
			break
		}
		for _, c := range group.List {
			if t, ok := strings.CutPrefix(c.Text, "//go:build "); ok {
				return t
			}
		}
	}
	return ""
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

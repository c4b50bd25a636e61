package humanhours_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The rules of the house, each kept by a test.

const module = "github.com/humanhours/humanhours-go"

// source is one Go file of the repository.
type source struct {
	path    string // from the root, with slashes
	dir     string // "." for the root
	test    bool
	file    *ast.File
	imports []string
}

// under reports whether the file is in one of the directories or below it.
func (s *source) under(dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return s.dir == dir || strings.HasPrefix(s.dir, dir+"/") })
}

// house is all the Go code of the repository, nested modules too.
type house struct {
	fset    *token.FileSet
	sources []*source
}

func (h *house) at(n ast.Node) string { return h.fset.Position(n.Pos()).String() }

func readHouse(t *testing.T) *house {
	t.Helper()
	h := &house{fset: token.NewFileSet()}
	walkRepository(t, func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		file, err := parser.ParseFile(h.fset, name, nil, parser.ParseComments)
		require.NoError(t, err)
		s := &source{path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), file: file}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			s.imports = append(s.imports, imported)
		}
		h.sources = append(h.sources, s)
	})
	require.NotEmpty(t, h.sources)
	return h
}

// walkRepository calls f for every file, hidden directories of tools left out.
func walkRepository(t *testing.T, f func(name string)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.Type().IsRegular():
			f(filepath.ToSlash(name))
		}
		return nil
	}))
}

func TestHouseRootCompilesInLittle(t *testing.T) {
	list := func(format string) []string {
		out, err := exec.Command("go", "list", "-deps", "-f", format, ".").Output()
		require.NoError(t, err)
		return strings.Fields(string(out))
	}
	assert.ElementsMatch(t, []string{"github.com/oklog/ulid/v2", "github.com/shopspring/decimal", module, module + "/internal/instant", module + "/internal/scan"},
		list("{{if not .Standard}}{{.ImportPath}}{{end}}"), "the root imports the standard library, decimal and ulid, and nothing of this module but how instants and JSON are read and written")
	assert.NotContains(t, list("{{.ImportPath}}"), "net/http", "a program that tracks in process carries no HTTP server")
}

func TestHouseImports(t *testing.T) {
	adapters := []string{"store/memory", "store/redis", "store/sqlite", "pricebook", "httpadapter"}
	for _, s := range readHouse(t).sources {
		for _, imported := range s.imports {
			local, ok := strings.CutPrefix(imported, module+"/")
			if ok && (local == "examples" || strings.HasPrefix(local, "examples/")) {
				assert.True(t, s.under("examples"), "%s imports %s: nothing imports the examples", s.path, imported)
			}
			if s.test {
				continue
			}
			if strings.HasPrefix(local, "internal/") || local == "docs" {
				ok = false // which everything may share, since they import nothing of ours
			}
			if s.under("internal") && !s.under("internal/redistest") {
				assert.True(t, standard(imported), "%s imports %s: internal packages import the standard library", s.path, imported)
			}
			for _, adapter := range adapters {
				if s.under(adapter) && ok {
					assert.True(t, slices.Contains([]string{"store", "store/rollup", "store/compact", adapter}, local) || strings.HasPrefix(local, adapter+"/"),
						"%s imports %s: an adapter imports the root and what is there for all stores, never another adapter", s.path, imported)
				}
			}
			if s.dir == "store" {
				assert.False(t, ok, "%s imports %s: what adapters share knows none of them", s.path, imported)
			}
			if s.under("store/storetest") {
				assert.True(t, standard(imported) || imported == module || imported == "github.com/shopspring/decimal",
					"%s imports %s: the suites bring no library into an adapter's tests", s.path, imported)
			}
		}
	}
}

// standard reports whether a package is of the standard library: its first element has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func TestHouseHasNoMutableState(t *testing.T) {
	h := readHouse(t)
	written := h.writtenNames()
	for _, s := range h.sources {
		if s.test || s.under("examples", "bench") {
			continue
		}
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				assert.False(t, d.Recv == nil && d.Name.Name == "init", "%s: no init", h.at(d))
			case *ast.GenDecl:
				if d.Tok != token.VAR {
					continue
				}
				for _, spec := range d.Specs {
					spec := spec.(*ast.ValueSpec)
					embedded := isEmbed(d.Doc) || isEmbed(spec.Doc)
					for i, name := range spec.Names {
						if name.Name == "_" {
							continue // a check that a type implements an interface
						}
						constant := embedded || i < len(spec.Values) && isConstant(spec.Values[i])
						assert.True(t, constant, "%s: %s may change while the program runs", h.at(name), name.Name)
						assert.NotContains(t, written, s.dir+" "+name.Name, "%s: %s is written to", h.at(name), name.Name)
					}
				}
			}
		}
	}
}

func isEmbed(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// isConstant reports whether an expression makes something that is like a constant as long as nobody writes to it: a
// table, or what one of these functions returns.
func isConstant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return true
	case *ast.CallExpr:
		fun := e.Fun
		if index, ok := fun.(*ast.IndexExpr); ok {
			fun = index.X
		}
		sel, ok := fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		pkg, ok := sel.X.(*ast.Ident)
		return ok && slices.Contains([]string{
			"errors.New", "fmt.Errorf", "regexp.MustCompile", "sync.OnceValue", "sync.OnceValues", "sync.OnceFunc", "time.Date",
			"decimal.New", "decimal.NewFromInt", "decimal.RequireFromString", "strings.NewReplacer",
		}, pkg.Name+"."+sel.Sel.Name)
	}
	return false
}

// writtenNames returns "directory name" of everything package-level that is assigned to, in whole or in part, or whose
// address is taken.
func (h *house) writtenNames() map[string]bool {
	written := map[string]bool{}
	for _, s := range h.sources {
		if s.test {
			continue
		}
		write := func(e ast.Expr) {
			if name := rootOf(e); name != nil && (name.Obj == nil || packageLevel(s.file, name)) {
				written[s.dir+" "+name.Name] = true
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, left := range n.Lhs {
						write(left)
					}
				}
			case *ast.IncDecStmt:
				write(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					write(n.X)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && slices.Contains([]string{"delete", "clear", "copy"}, f.Name) {
					write(n.Args[0])
				}
			}
			return true
		})
	}
	return written
}

// rootOf returns the variable that an expression such as x.f[i] is a part of.
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// packageLevel reports whether a name that was resolved within its file means something package-level there.
func packageLevel(file *ast.File, name *ast.Ident) bool {
	return file.Scope.Lookup(name.Name) == name.Obj
}

func TestHouseHasNoFloats(t *testing.T) {
	h := readHouse(t)
	forbidden := []string{"float32", "float64", "InexactFloat64", "Float64", "Float32", "NewFromFloat", "NewFromFloat32", "ParseFloat", "NewFromFloatWithExponent"}
	for _, s := range h.sources {
		if s.test || s.under("examples", "bench") || s.path == "store/storetest/bench.go" { // testing reports metrics as floats
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				assert.NotContains(t, forbidden, name.Name, "%s: money and hours never pass through a float", h.at(n))
			}
			return true
		})
	}
}

func TestHouseTestsDoNotSleep(t *testing.T) {
	h := readHouse(t)
	for _, s := range h.sources {
		if !s.test && !s.under("store/storetest") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "Sleep" {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			assert.False(t, ok && pkg.Name == "time", "%s: a test that sleeps is slow, and still fails on a busy day", h.at(n))
			return true
		})
	}
}

func TestHouseFilesNameNoMachine(t *testing.T) {
	// Written so that this file does not match itself.
	machine := regexp.MustCompile(`(^|[^\w.])/([t]mp/[a-z]|[w]ork/|[r]oot/|[f]arm/|[h]ome/[a-z]|[U]sers/[A-Za-z])`)
	walkRepository(t, func(name string) {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		if bytes.IndexByte(content, 0) >= 0 {
			return // a binary or a database
		}
		for i, line := range bytes.Split(content, []byte("\n")) {
			assert.False(t, machine.Match(line), "%s:%d: %s", name, i+1, line)
		}
	})
}

package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"
)

// floors are the packages of this module from the bottom up. Each may import those below its floor,
// and its own subpackages.
var floors = [][]string{
	{"syscalltab"},
	{"profile"},
	{"ptrace", "report"}, // an engine knows no output format, and what is printed may come from any engine
	{"cmd", "bench"},
}

// forTests are the packages that only tests may import, and each other.
var forTests = []string{"sysprof/syscalltab/needs", "sysprof/cmd/internal/drive", "sysprof/profile/stack/internal/bounded"}

// TestLayering reads all files, whatever system they are for.
func TestLayering(t *testing.T) {
	floorOf := func(pkg string) (top string, floor int) {
		top, _, _ = strings.Cut(pkg, "/")
		return top, slices.IndexFunc(floors, func(f []string) bool { return slices.Contains(f, top) })
	}
	eachFile(t, func(path string, file *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		if !slices.Contains(forTests, "sysprof/"+filepath.ToSlash(filepath.Dir(path))) {
			for _, imported := range imports(file) {
				if slices.Contains(forTests, imported) {
					t.Errorf("%s imports %s, which is for tests", path, imported)
				}
			}
		}
		here, floor := floorOf(filepath.ToSlash(filepath.Dir(path)))
		if floor < 0 {
			t.Errorf("%s: package %s is on no floor: name it in floors, or put it into a package that is there", path, here)
		}
		for _, imported := range imports(file) {
			pkg, ours := strings.CutPrefix(imported, "sysprof/")
			if !ours {
				continue
			}
			there, below := floorOf(pkg)
			switch {
			case here == there:
			case below >= floor:
				t.Errorf("%s imports %s, which is not below it", path, imported)
			}
		}
	})
}

// TestUnsafeHasItsFiles finds unsafe, and system calls by number, outside of the files for them.
func TestUnsafeHasItsFiles(t *testing.T) {
	raw := []string{"Syscall", "Syscall6", "RawSyscall", "RawSyscall6", "SyscallNoError", "RawSyscallNoError"}
	eachFile(t, func(path string, file *ast.File) {
		name := filepath.Base(path)
		if strings.HasSuffix(name, "_unsafe.go") || strings.Contains(name, "_unsafe_") || strings.HasSuffix(name, "_test.go") {
			return
		}
		if slices.Contains(imports(file), "unsafe") {
			t.Errorf("%s imports unsafe; only files named *_unsafe.go or *_unsafe_ARCH.go may", path)
		}
		if strings.HasPrefix(filepath.ToSlash(path), "bench/") {
			return // it makes calls to measure them
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(raw, sel.Sel.Name) {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && (pkg.Name == "unix" || pkg.Name == "syscall") {
				t.Errorf("%s calls %s.%s; only files named *_unsafe.go or *_unsafe_ARCH.go may", path, pkg.Name, sel.Sel.Name)
			}
			return true
		})
	})
}

// eachFile calls f with every Go file of the module and its path from there.
func eachFile(t *testing.T, f func(path string, file *ast.File)) {
	t.Helper()
	const root = "../.."
	files := 0
	drive.Check(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && path != root && (name[0] == '.' || name == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files++
		f(rel, file)
		return err
	}))
	if files < 50 {
		t.Errorf("only %d files were read", files)
	}
}

func imports(file *ast.File) (paths []string) {
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

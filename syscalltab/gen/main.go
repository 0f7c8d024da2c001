// Gen writes syscalltab's z*_syscalls.go from golang.org/x/sys/unix's zsysnum_linux_*.go, in the
// version that go.mod names. tables.go says where and why the two differ.
//
//	go generate ./syscalltab
//	go run ./syscalltab/gen -check    # write nothing; fail when a file is not what it should be
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stderr))
}

func run(args []string, stderr io.Writer) int {
	fs := flag.NewFlagSet("gen", flag.ContinueOnError)
	fs.SetOutput(stderr)
	check := fs.Bool("check", false, "write nothing; fail when a file is not what it should be")
	dir := fs.String("dir", "", "`folder` of the tables (default: syscalltab in the main module)")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if err := generate(*dir, *check); err != nil {
		fmt.Fprintln(stderr, "gen:", err)
		return 1
	}
	return 0
}

func generate(dir string, check bool) error {
	if dir == "" {
		mod, err := output("go", "env", "GOMOD")
		if err != nil {
			return err
		}
		dir = filepath.Join(filepath.Dir(mod), "syscalltab")
	}
	files, err := render()
	if err != nil {
		return err
	}
	for name, want := range files {
		path := filepath.Join(dir, name)
		if !check {
			err = errors.Join(err, os.WriteFile(path, want, 0o644))
			continue
		}
		have, rerr := os.ReadFile(path)
		switch {
		case rerr != nil:
			err = errors.Join(err, rerr)
		case !bytes.Equal(have, want):
			err = errors.Join(err, fmt.Errorf("%s is stale: run go generate ./syscalltab", path))
		}
	}
	return err
}

// render makes all files, by name.
func render() (map[string][]byte, error) {
	xsys, err := output("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys")
	if err != nil {
		return nil, err
	}
	if xsys == "" {
		return nil, errors.New("golang.org/x/sys is not on this machine: run go mod download")
	}
	files := make(map[string][]byte)
	for _, t := range all {
		src := "zsysnum_linux_" + t.goos + ".go"
		code, err := os.ReadFile(filepath.Join(xsys, "unix", src))
		if err != nil {
			return nil, err
		}
		names, err := t.build(code)
		if err != nil {
			return nil, fmt.Errorf("%s from %s: %w", t.vr, src, err)
		}
		out, err := t.print(names, src)
		if err != nil {
			return nil, err
		}
		files["z"+t.file+"_syscalls.go"] = out
	}
	return files, nil
}

// build makes the table, "" in the gaps, from an x/sys file.
func (t table) build(code []byte) ([]string, error) {
	consts, err := constants(code)
	if err != nil {
		return nil, err
	}
	var names []string
	used := make(map[string]bool)
	for _, c := range consts {
		if t.drop[c.name] != "" {
			used[c.name] = true
			continue
		}
		name := strings.ToLower(strings.TrimPrefix(c.name, "SYS_"))
		if n := t.names[c.name]; n != "" {
			used[c.name] = true
			name = n
		}
		if names, err = put(names, entry{c.index, name}); err != nil {
			return nil, err
		}
	}
	for _, m := range []map[string]string{t.drop, t.names} {
		for c := range m {
			if !used[c] {
				return nil, fmt.Errorf("x/sys has no %s any more: take it out of gen/tables.go", c)
			}
		}
	}
	if t.x32 {
		if names, err = toX32(names); err != nil {
			return nil, err
		}
	}
	for _, e := range t.add {
		if names, err = put(names, e); err != nil {
			return nil, fmt.Errorf("gen/tables.go: %w", err)
		}
	}
	seen := make(map[string]int)
	for i, name := range names {
		isSubcall := t.file == "386" && i >= subcallIndex
		if j, ok := seen[name]; ok && name != "" && !isSubcall {
			return nil, fmt.Errorf("%s is both %d and %d", name, j, i)
		}
		seen[name] = i
	}
	return names, nil
}

// toX32 makes x32's table from amd64's.
func toX32(names []string) ([]string, error) {
	names = slices.Clone(names)
	for _, nr := range x32Gone {
		names[nr] = ""
	}
	for _, nr := range x32Not {
		if names[nr] == "" {
			return nil, fmt.Errorf("x32: amd64 has no call %d", nr)
		}
		names[nr] += "#64"
	}
	var err error
	for i, name := range x32Own {
		if names, err = put(names, entry{x32Base + i, name}); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// put sets a name, in a gap only. Numbers above 1000 would be no index: the bit sets end before it.
func put(names []string, e entry) ([]string, error) {
	if e.index < 0 || e.index >= 1000 {
		return nil, fmt.Errorf("%s: %d is no index of a table", e.name, e.index)
	}
	for len(names) <= e.index {
		names = append(names, "")
	}
	if names[e.index] != "" {
		return nil, fmt.Errorf("%d is both %s and %s", e.index, names[e.index], e.name)
	}
	names[e.index] = e.name
	return names, nil
}

// constants are the SYS_ constants of an x/sys file, in order.
func constants(code []byte) ([]entry, error) {
	f, err := parser.ParseFile(token.NewFileSet(), "", code, 0)
	if err != nil {
		return nil, err
	}
	var consts []entry
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if len(v.Names) != 1 || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "SYS_") {
				return nil, fmt.Errorf("not a SYS_ constant: %v", v.Names)
			}
			lit, ok := v.Values[0].(*ast.BasicLit)
			if !ok {
				return nil, fmt.Errorf("%s is not a plain number", v.Names[0].Name)
			}
			n, err := strconv.Atoi(lit.Value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.Names[0].Name, err)
			}
			consts = append(consts, entry{n, v.Names[0].Name})
		}
	}
	if len(consts) < 300 {
		return nil, fmt.Errorf("only %d calls found", len(consts))
	}
	return consts, nil
}

func (t table) print(names []string, src string) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by syscalltab/gen from golang.org/x/sys/unix/%s. DO NOT EDIT.\n\n", src)
	fmt.Fprintf(&b, "package syscalltab\n\n// %s: system calls of %s.\nvar %s = [...]string{\n", t.vr, t.doc, t.vr)
	for i, name := range names {
		if name != "" {
			fmt.Fprintf(&b, "%d: %q,\n", i, name)
		}
	}
	b.WriteString("}\n")
	return format.Source(b.Bytes())
}

// output runs a command and gives its output without white space around it.
func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

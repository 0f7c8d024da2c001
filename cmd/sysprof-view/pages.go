package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"
)

// show serves pprof's pages of a profile until the context ends.
func show(ctx context.Context, p *profile.Profile, name string, stdout, stderr io.Writer) error {
	if _, err := exec.LookPath("dot"); err != nil {
		say(stderr, "dot is not there, which draws the page Graph (apt-get install graphviz); all others work")
	}
	if _, err := os.UserConfigDir(); err != nil {
		// pprof keeps views that somebody saves there, and does not begin without it. Nothing is found there, nor saved.
		os.Setenv("XDG_CONFIG_HOME", os.DevNull)
	}
	return driver.PProf(&driver.Options{
		Flagset:    &flags{source: name},
		Fetch:      parsed{p},
		Sym:        noNames{},
		Obj:        noPrograms{},
		UI:         messages{stderr},
		HTTPServer: func(args *driver.HTTPServerArgs) error { return serve(ctx, args.Handlers, name, stdout, stderr) },
	})
}

// flags are pprof's command line: all flags have the values that pprof gives them, but for those that make it serve
// pages.
type flags struct{ source string }

func (f *flags) Bool(name string, def bool, _ string) *bool {
	def = def || name == "no_browser"
	return &def
}

func (f *flags) String(name, def, _ string) *string {
	if name == "http" {
		def = "127.0.0.1:0" // which serve does not heed
	}
	return &def
}

func (f *flags) Int(_ string, def int, _ string) *int             { return &def }
func (f *flags) Float64(_ string, def float64, _ string) *float64 { return &def }
func (f *flags) StringList(_, _, _ string) *[]*string             { return new([]*string) }
func (f *flags) ExtraUsage() string                               { return "" }
func (f *flags) AddExtraUsage(string)                             {}
func (f *flags) Parse(func()) []string                            { return []string{f.source} }

// parsed is a profile that has been read already.
type parsed struct{ p *profile.Profile }

func (f parsed) Fetch(string, time.Duration, time.Duration) (*profile.Profile, string, error) {
	return f.p, "", nil
}

// noNames looks up no names.
type noNames struct{}

func (noNames) Symbolize(string, driver.MappingSources, *profile.Profile) error { return nil }

// noPrograms opens no programs.
type noPrograms struct{}

var errNoPrograms = errors.New("programs are not opened")

func (noPrograms) Open(string, uint64, uint64, uint64, string) (driver.ObjFile, error) {
	return nil, errNoPrograms
}

func (noPrograms) Disasm(string, uint64, uint64, bool) ([]driver.Inst, error) {
	return nil, errNoPrograms
}

// messages are what pprof has to say.
type messages struct{ stderr io.Writer }

func (m messages) PrintErr(args ...any) {
	text := strings.TrimSpace(fmt.Sprint(args...))
	say(m.stderr, lineBreaks.ReplaceAllString(text, " "))
}

func (messages) Print(...any)                        {} // where it serves, which serve says
func (messages) ReadLine(string) (string, error)     { return "", io.EOF }
func (messages) IsTerminal() bool                    { return false }
func (messages) WantBrowser() bool                   { return false }
func (messages) SetAutoComplete(func(string) string) {}

var lineBreaks = regexp.MustCompile(`\s*\n\s*`)

package symbol

import (
	"slices"
	"strconv"
	"strings"
)

// Names in perf maps. Some programs put more than a name there, in a form of their own: where the function is, and how
// far its code is optimized. The same function has several such names in one run, which are one function here.

// perfFrame makes a frame of a name in a perf map.
func (s *Symbolizer) perfFrame(name string) Frame {
	f, ok := pythonName(name)
	if !ok {
		f, ok = v8Name(name)
	}
	if !ok {
		name = withoutTier(name)
		f = Frame{Function: s.demangle(name), SystemName: name}
	}
	f.Function, f.SystemName, f.File = s.intern(f.Function), s.intern(f.SystemName), s.intern(f.File)
	return f
}

// pythonName reads "py::QUALIFIED.NAME:FILE", as CPython writes it since 3.12 (Objects/perf_trampoline.c).
func pythonName(name string) (f Frame, ok bool) {
	rest, ok := strings.CutPrefix(name, "py::")
	if !ok {
		return f, false
	}
	function, file, ok := strings.Cut(rest, ":")
	if !ok || function == "" || file == "" {
		return f, false
	}
	return Frame{Function: function, SystemName: function, File: file}, true
}

// What V8 writes before a function of the program (src/logging/log.cc, ComputeMarker; the kinds of code of
// src/objects/code-kind.h and, before 2021, of src/logging/code-events.h): a kind, a colon, and how the code is executed.
var v8Kinds = []string{"JS", "LazyCompile", "Function", "Script", "Eval"}

const v8Tiers = "~^*+'?" // interpreted, baseline, optimized, Maglev; to be left by OSR; not known

// v8Name reads "KIND:TIER NAME FILE:LINE:COLUMN" with nothing between TIER and NAME. The name may be empty. Before it,
// there may be "get" or "set", and a blank.
func v8Name(name string) (f Frame, ok bool) {
	kind, rest, ok := strings.Cut(name, ":")
	if !ok || !slices.Contains(v8Kinds, kind) {
		return f, false
	}
	function := strings.TrimLeft(rest, v8Tiers)
	if function == rest && kind != "Script" { // "Function:" alone may be anyone's
		return f, false
	}
	rest, line, ok := cutPosition(function)
	if !ok {
		function = strings.TrimSpace(function)
		if function == "" {
			return f, false
		}
		return Frame{Function: function, SystemName: function}, true
	}
	function, file := cutFile(rest)
	if file == "" {
		return f, false
	}
	if function == "" {
		function = "(anonymous)" // as V8's own profiler has it
	}
	return Frame{Function: function, SystemName: function, File: strings.TrimPrefix(file, "file://"), Line: line, StartLine: line}, true
}

// cutPosition splits off ":LINE:COLUMN", or ":LINE" alone, as it was before 2017.
func cutPosition(s string) (rest string, line int, ok bool) {
	rest, last, ok := cutNumber(s)
	if !ok {
		return s, 0, false
	}
	if before, line, ok := cutNumber(rest); ok {
		return before, line, true
	}
	return rest, last, true
}

func cutNumber(s string) (rest string, n int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0, false
	}
	v, err := strconv.ParseUint(s[i+1:], 10, 31)
	return s[:i], int(v), err == nil
}

// fileBeginnings are those of files' names: a function's name has no blank before any of these.
var fileBeginnings = []string{"/", "file:", "node:", "http:", "https:"}

// cutFile splits a function's name from a file's. Either may have blanks in it.
func cutFile(s string) (function, file string) {
	at := strings.LastIndexByte(s, ' ')
	for _, begin := range fileBeginnings {
		if i := strings.Index(s, " "+begin); i >= 0 && i < at {
			at = i
		}
	}
	if at < 0 {
		return "", s
	}
	return strings.TrimSpace(s[:at]), s[at+1:]
}

// The tiers of .NET's code stand in brackets behind its names (src/coreclr/vm/prepmethod and perfmap.cpp).
var dotnetTiers = []string{
	"PreJIT", "ReadyToRun", "MinOptJitted", "Optimized", "QuickJitted", "OptimizedTier1", "OptimizedTier1OSR",
	"InstrumentedTier0", "InstrumentedTier1",
}

// withoutTier leaves out how far a method of .NET is optimized.
func withoutTier(name string) string {
	i := strings.LastIndexByte(name, '[')
	if i <= 0 || !strings.HasSuffix(name, "]") || !slices.Contains(dotnetTiers, name[i+1:len(name)-1]) {
		return name
	}
	return name[:i]
}

package symbol

import (
	"strings"
	"testing"
)

// TestPerfNames has names as programs write them: CPython 3.12, node 10 to 22, .NET 8, OpenJDK 17.
func TestPerfNames(t *testing.T) {
	s := New(Options{})
	for name, want := range map[string]Frame{
		"py::work:/srv/app.py":                              {Function: "work", File: "/srv/app.py"},
		"py::Server.run.<locals>.<lambda>:/srv/my app/x.py": {Function: "Server.run.<locals>.<lambda>", File: "/srv/my app/x.py"},
		"py::<module>:<frozen importlib._bootstrap>":        {Function: "<module>", File: "<frozen importlib._bootstrap>"},
		"py::":                                               {Function: "py::"},
		"py::x":                                              {Function: "py::x"},
		"JS:~work /srv/app.js:10:5":                          {Function: "work", File: "/srv/app.js", Line: 10},
		"JS:^work /srv/app.js:10:5":                          {Function: "work", File: "/srv/app.js", Line: 10},
		"JS:+work /srv/app.js:10:5":                          {Function: "work", File: "/srv/app.js", Line: 10},
		"JS:*work /srv/app.js:10:5":                          {Function: "work", File: "/srv/app.js", Line: 10},
		"JS:*'work /srv/app.js:10:5":                         {Function: "work", File: "/srv/app.js", Line: 10},
		"LazyCompile:*work /srv/app.js:10":                   {Function: "work", File: "/srv/app.js", Line: 10},
		"LazyCompile:~ /srv/app.js:1:11":                     {Function: "(anonymous)", File: "/srv/app.js", Line: 1},
		"Script:~ file:///srv/app.mjs:1:1":                   {Function: "(anonymous)", File: "/srv/app.mjs", Line: 1},
		"Script:/srv/app.js:1:1":                             {Function: "(anonymous)", File: "/srv/app.js", Line: 1},
		"Eval:~ evalmachine.<anonymous>:3:1":                 {Function: "(anonymous)", File: "evalmachine.<anonymous>", Line: 3},
		"JS:~get stdout node:internal/bootstrap/node:5:9":    {Function: "get stdout", File: "node:internal/bootstrap/node", Line: 5},
		"JS:*run /srv/my app/a b.js:7:3":                     {Function: "run", File: "/srv/my app/a b.js", Line: 7},
		"JS:~set x [eval]:2:1":                               {Function: "set x", File: "[eval]", Line: 2},
		"JS:~work":                                           {Function: "work"},
		"JS:~":                                               {Function: "JS:~"},
		"Builtin:ArrayMap":                                   {Function: "Builtin:ArrayMap"},
		"BytecodeHandler:Ldar":                               {Function: "BytecodeHandler:Ldar"},
		"RegExp:a:1:2":                                       {Function: "RegExp:a:1:2"},
		"Function:of somebody:1:2":                           {Function: "Function:of somebody:1:2"},
		"void [app] Program::Main(string[])[OptimizedTier1]": {Function: "void [app] Program::Main(string[])"},
		"void [app] Program::Main(string[])[QuickJitted]":    {Function: "void [app] Program::Main(string[])"},
		"int[] Lists.all(int[])":                             {Function: "int[] Lists.all(int[])"},
		"x[Other]":                                           {Function: "x[Other]"},
		"[Optimized]":                                        {Function: "[Optimized]"},
		"Interpreter":                                        {Function: "Interpreter"},
	} {
		want.SystemName, want.StartLine = want.Function, want.Line
		if got := s.perfFrame(name); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

// TestTiersAreOneFunction: code that was made anew, better optimized, is of the same function.
func TestTiersAreOneFunction(t *testing.T) {
	const text = "1000 40 JS:~run /srv/app.js:10:1\n1040 40 JS:^run /srv/app.js:10:1\n1080 40 JS:*run /srv/app.js:10:1\n" +
		"2000 40 JS:*run /srv/app.js:20:1\n"
	got := New(Options{}).perfMap(strings.NewReader(text), []uint64{0x1000, 0x1050, 0x10bf, 0x2000})
	if got[0] != got[1] || got[1] != got[2] || got[0].Function != "run" {
		t.Errorf("%+v", got)
	}
	if got[3] == got[0] {
		t.Error("another function of that name is taken for the same")
	}
}

package main

import (
	"errors"
	"fmt"

	"github.com/pborman/getopt/v2"

	"sysprof/syscalltab/suggest"
)

// refusal is an option of strace's that sysprof does not have, with what serves instead.
type refusal struct{ instead string }

func (r *refusal) Error() string { return "is strace's and not in sysprof: " + r.instead }

// What stands in for the options that say how strace prints single calls.
const (
	noLog    = "it prints summaries, not single calls; use strace for those"
	noStacks = "stacks are in the profile that --pprof FILE writes"
)

// refusedOption is an option that is refused, with what serves instead.
type refusedOption struct {
	short   rune
	long    string
	instead string
}

// refused are strace 7.2's options (src/strace.c, longopts) that sysprof does not have.
var refused = []refusedOption{
	{0, "columns", noLog},
	{'b', "detach-on", "use --no-follow to leave out children"},
	{'C', "summary", noLog + ", with -c for the summary here"},
	{'d', "debug", "there is no debug output"},
	{'D', "daemonize", "the command is always sysprof's child; run sysprof in the background with &"},
	{0, "daemonised", "the command is always sysprof's child; run sysprof in the background with &"},
	{0, "daemonized", "the command is always sysprof's child; run sysprof in the background with &"},
	{'F', "", "use -f, which is the default"},
	{0, "output-separately", "use -p on one process at a time"},
	{0, "instruction-pointer", noLog},
	{'I', "interruptible", "signals that end it always detach first; a launched command decides itself"},
	{'k', "stack-trace", noStacks},
	{0, "stack-traces", noStacks},
	{0, "stack-trace-frame-limit", "use --max-depth with --pprof"},
	{0, "syscall-limit", "use --duration"},
	{'n', "syscall-number", noLog},
	{'N', "arg-names", noLog},
	{'r', "relative-timestamps", noLog},
	{'s', "string-limit", noLog},
	{'t', "", noLog},
	{0, "absolute-timestamps", noLog},
	{0, "timestamps", noLog},
	{'T', "syscall-times", "-c has the times"},
	{0, "no-abbrev", noLog},
	{'x', "", noLog},
	{0, "strings-in-hex", noLog},
	{'X', "const-print-style", noLog},
	{'y', "", noLog},
	{'Y', "", noLog},
	{0, "pidns-translation", noLog},
	{0, "tips", "see sysprof --help"},
	{0, "always-show-pid", noLog},
	{0, "color", noLog},
	{0, "trace-fds", "choose calls with -e trace=%desc"},
	{0, "trace-fd", "choose calls with -e trace=%desc"},
	{0, "abbrev", noLog},
	{0, "signals", noLog},
	{0, "signal", noLog},
	{0, "read", noLog},
	{0, "write", noLog},
	{0, "fault", "it changes nothing in the program; use strace to inject"},
	{0, "inject", "it changes nothing in the program; use strace to inject"},
	{0, "kvm", noLog},
	{0, "namespace", noLog},
	{0, "decode-fds", noLog},
	{0, "decode-fd", noLog},
	{0, "decode-pids", noLog},
	{0, "secontext", noLog},
}

// refusedQualifiers are those of strace's -e.
var refusedQualifiers = map[string]string{
	"abbrev": noLog, "a": noLog,
	"verbose": noLog, "v": noLog,
	"raw": noLog, "x": noLog,
	"signal": noLog, "signals": noLog, "s": noLog,
	"read": noLog, "reads": noLog, "r": noLog,
	"write": noLog, "writes": noLog, "w": noLog,
	"fault": "it changes nothing in the program; use strace to inject", "inject": "it changes nothing in the program; use strace to inject",
	"kvm": noLog, "namespace": noLog,
	"decode-fds": noLog, "decode-fd": noLog, "decode-pids": noLog,
	"trace-fds": "choose calls with -e trace=%desc", "trace-fd": "choose calls with -e trace=%desc",
	"fd": "choose calls with -e trace=%desc", "fds": "choose calls with -e trace=%desc",
	"secontext": noLog,
}

// instead returns what serves instead of an option that is refused, "" if it is none. They are not declared with
// the others: for each option that is, getopt walks up the stack, and only who has used one of these wants to know.
func instead(name string) string {
	for _, r := range refused {
		if name == "-"+string(r.short) || name == "--"+r.long {
			return r.instead
		}
	}
	return ""
}

// explain turns the parser's error into ours.
func (d declarations) explain(err error) error {
	var e *getopt.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.ErrorCode {
	case getopt.UnknownOption:
		if instead := instead(e.Name); instead != "" {
			return fmt.Errorf("%s %w", e.Name, &refusal{instead})
		}
		return fmt.Errorf("unknown option %s%s; see sysprof --help", e.Name, suggest.DidYouMean(e.Name, d.longNames()))
	case getopt.MissingParameter:
		return fmt.Errorf("%s needs an argument; see sysprof --help", e.Name)
	case getopt.Invalid:
		return fmt.Errorf("%s %w", e.Name, e.Err)
	}
	return err
}

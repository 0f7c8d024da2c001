package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

const helpText = `Usage: sysprof [OPTIONS] [--] CMD [ARG...]
       sysprof [OPTIONS] -p PID[,PID...] | --name=NAME | --cgroup=PATH
       sysprof [OPTIONS] -a [CMD [ARG...]]

Counts and times the system calls of a command, or of running processes, with all of
their threads and children. Writes a table to stderr, and under it what the tracing cost,
which has been taken off the times.

What to trace:
  -p, --attach=PID[,PID...]     attach to these processes; may be repeated
      --tree                    with -p: and to all that descend from them now
      --name=NAME|/REGEX/       attach to all processes that are called so: comm (as ps -e and
                                pgrep have it), or the last part of the first argument or of
                                the program's path; and to those that come during the run
      --cgroup=PATH|ID          attach to all processes of this cgroup (v1 or v2) and of those
                                below it, or of the container whose id begins so (12 digits
                                or more); and to those that enter it during the run
  -a, --all                     all processes, until ^C or the end of CMD; counted in the kernel
      --engine=ptrace|kernel|auto|both
                                how calls are seen: with ptrace, which stops threads and needs
                                no rights (default); by counting in the kernel, which stops
                                nobody and takes root, or CAP_BPF and CAP_PERFMON; in the
                                kernel where that can be done, else with ptrace; or with both,
                                to see whether they agree
      --timed=1/N               with --engine=kernel: time 1 in N, drawn at random, of calls
                                that are frequent and short; counts stay exact
  -u, --user=NAME|UID:GID       run the command as this user, with its groups
  -E, --env=VAR[=VAL]           set, or without =VAL unset, VAR for the command
      --argv0=NAME              pass NAME to the command as its own name
  -f, --follow-forks            trace new threads and children too (default)
      --no-follow               only the command itself, only the thread that -p names
      --duration=TIME           stop after this time (10s, 1m30s); whatever was traced
                                goes on, and a launched command is waited for
      --cpu=auto|off|N          pin a thread that is bound by its calls, and the tracer, to
                                one CPU (default), to CPU N, or nothing to any
      --kill-on-exit            kill the command when sysprof is gone, however it went

What to count:
  -e, --trace=SET               only these calls: names, classes (%file, %network, ...),
                                /regex, numbers, read@32; a leading ! means all others
  -P, --trace-path=PATH         only calls that are given the path of this file, or of one below
                                this directory, or a descriptor of it; may be repeated
      --status=SET, -e status=SET
                                only calls with these outcomes: successful, failed,
                                unfinished, detached
      --no-seccomp              stop the command at all of its calls; normally a filter in the
                                kernel leaves out those that -e leaves out (--seccomp-bpf).
                                A filtered process cannot be detached: sysprof stays until
                                it ends, and kill -9 sysprof kills it
      --only=FIELD=VALUE        only calls whose field (see --by) has this value, in which * is
                                anything: comm=postgres, fd=/var/*; may be repeated
  -z, --successful-only         only calls that succeeded
  -Z, --failed-only             only calls that failed

What to write:
  -c, --summary-only            the table of strace -c, instead of the one for people
  -w, --summary-wall-clock      accepted; times are wall-clock times as it is
  -S, --summary-sort-by=KEY     sort by total, cpu, off-cpu, calls, errors, mean, p50, p99,
                                max, call or none; or by strace's words for these:
                                time-percent, total-time, min-time, max-time, avg-time,
                                name, wall-total, wall-min, wall-max, wall-avg
  -U, --summary-columns=LIST    with -c: show these columns, in this order
      --by=FIELD[,FIELD]        tell calls apart by pid, tid, comm, thread_name, errno, fd (the
                                file, pipe or socket), cgroup (the container), state, too: a
                                table of all groups and one of each; all formats have them
      --top=N                   with --by: tables of the N largest groups (10), and of the others
      --histogram[=SET]         draw how long all calls, or those of SET, took
      --errors                  a table of how often calls failed with which errno
      --time=cpu                measure CPU time, too; with -c, show it as the time
      --raw                     leave in the times what tracing adds to them
      --no-controls             measure what tracing adds before the run only, not during it
  -O, --summary-syscall-overhead=TIME
                                take TIME (in us, or with a unit) off each call instead of
                                what is measured
  -o, --output=FILE             write to FILE, or to a shell command: -o '|CMD'; here and
                                below, a FILE of - is stdout
  -A, --output-append-mode      append to FILE
  -q, --quiet                   the table alone, without the lines under it
  -v, --verbose                 all there is to say of what tracing cost, in these lines
  -i, --interval=TIME           during the run, too: a table for each TIME (1s, 500ms), headed
                                with when, how long, and calls a second; an object a line
                                with --json, the last one of the whole run
      --slower=TIME[,SET]       a line for each call, of SET, that takes as long as that, and
                                one while it hangs, with its stack if there is --pprof or
                                --stacks; no more than 100 a second
      --json=FILE               write everything to FILE, too
      --csv=FILE                write a line a call to FILE, too
      --html=FILE               write a page for a browser to FILE, too: the table, distributions,
                                latencies over time and, with --pprof, a flame graph
      --pprof=FILE              write a profile with stacks for go tool pprof to FILE, too;
                                with --engine=kernel of calls that are drawn at random
      --stacks=off|fp|full      with --pprof: none, by frame pointers, or whole (default)
      --max-depth=N             with --pprof: keep N frames of a stack (default 127), half of
                                them the outermost ones
      --labels=LIST             with --pprof: tell samples apart by pid, tid, comm (of the
                                process), thread_name, errno, latency, fd (the file, pipe
                                or socket), cgroup, state (computing, waiting, unfinished;
                                always)
      --max-samples=N           with --pprof: keep the N largest samples (16000), and add up
                                the others for each call
      --debuginfod              with --pprof: fetch debug files with debuginfod-find
      --from-json=FILE          show a run that was saved with --json, on stdout; - is stdin
      --against=FILE            with --from-json: how that run differs from an older one; both
                                take several runs, with commas between them or again and
                                again; ~ may be chance
      --fail-on=RULES           with --against: exit with 1 if a call has changed by more than
                                p99:+20%, rate:-10%, count(read,%network):+0%, ...; of total,
                                count, rate, mean, p50, p99; what may be chance never fails
      --view=FILE               show a profile in a browser, until ^C, at an address that is
                                printed; - is stdin

While it goes on:
      --live                    show it on the whole terminal: rates, shares, p50, p99, the last
                                minute; keys sort, group, filter, pause and open a row (? is
                                help, q ends it). Takes the program sysprof-live. What a
                                command writes to the terminal is shown at the end

What tracing costs:
      --bench=N                 run the command N times alone, under sysprof with the other
                                options, and under strace and perf trace if they are there;
                                write to stdout how long each took, and how certain that is.
                                What the command writes is thrown away; it reads stdin if
                                that is a file

  -h, --help                    this text
  -V, --version                 the version
      --completions=SHELL       the script by which bash, fish or zsh completes options

SIGUSR1 makes it write the table so far. SIGINT, SIGTERM, SIGHUP and SIGQUIT end it when
it is attached; a launched command gets them instead and decides. After the run they end
the search for names and whatever is being written. SIGTSTP (^Z) stops it when all that
it traces has stopped.

Exit status: the command's own; 126 or 127 if it could not be executed or found; when it
only attaches, 0; 1 if sysprof failed, 2 for bad usage. It dies of the signal that the command
died of, or that ended it. An output that could not be written makes 1 of 0.

In a locale that is not UTF-8 (LC_ALL, LC_CTYPE, LANG) what people read is ASCII.
`

// versionLine says which sysprof this is.
func versionLine() string {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return fmt.Sprintf("sysprof %s %s/%s %s", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

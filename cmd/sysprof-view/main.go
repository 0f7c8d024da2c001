// Command sysprof-view shows a profile in pprof format with pprof's own pages (flame graph, graph, top, peek, source), for
// whoever has a browser and no Go. It is what sysprof --view runs.
//
// It is a program of its own because these pages come with an HTTP server, that is with package net, which sysprof cannot
// have: that needs cgo where there is a C compiler (see cmd/sysprof/internal/origin). Besides, sysprof would be twice as big
// and would start later, since all of it has to be initialized before main.
//
// A profile may come from anywhere. So nothing but the profile decides what is shown: no program that it names is opened, no
// debugging tool is run on one, and names that are not in it are not looked up. What the pages do open are the source files
// that it names, when somebody asks for them. Only who knows the address can read the pages, since it has a random part:
// other users of the machine can connect to the port, too, and so can pages of others in the same browser.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"sysprof/report"
)

const usage = `Usage: sysprof-view FILE

Shows a profile, such as sysprof --pprof writes, in a browser: it prints an address on
this machine and serves pprof's pages there until ^C or SIGTERM. - is standard input.
`

// The exit statuses besides 0.
const (
	statusFailure = 1
	statusUsage   = 2
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if !signal.Ignored(sig) { // as it is in the background of a script, whose ^C is not meant for it
			signal.Notify(ended, sig)
		}
	}
	go func() {
		<-ended
		signal.Stop(ended) // the next one ends it at once
		cancel()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
		io.WriteString(stdout, usage)
		return 0
	}
	if len(args) > 1 && args[0] == "--" {
		args = args[1:]
	} else if len(args) == 1 && len(args[0]) > 1 && args[0][0] == '-' {
		say(stderr, "unknown option "+args[0]+"; see sysprof-view --help")
		return statusUsage
	}
	if len(args) != 1 {
		say(stderr, "it shows one profile: sysprof-view FILE")
		return statusUsage
	}
	p, err := readProfile(args[0], stdin)
	if err == nil {
		err = show(ctx, p, nameOf(args[0]), stdout, stderr)
	}
	if err != nil {
		say(stderr, err.Error())
		return statusFailure
	}
	return 0
}

// say writes a message as one line, whatever is in the names that it quotes. They are those of sysprof, as whose option
// this program is run.
func say(stderr io.Writer, message string) {
	fmt.Fprintln(stderr, report.Printable("sysprof: "+message))
}

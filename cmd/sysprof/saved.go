package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/pborman/getopt/v2"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/report/page"
)

// ofSaved are the options that go with --from-json, by their long names, or their short ones if they have none. All
// others say how to run something.
var ofSaved = []string{
	"from-json", "against", "fail-on", "e", "trace", "status", "successful-only", "failed-only", "failing-only",
	"summary-only", "summary-wall-clock", "summary-sort-by", "summary-columns", "histogram", "errors", "time",
	"output", "output-append-mode", "quiet", "silent", "silence", "verbose", "json", "csv", "top", "html",
}

// checkSaved finds what is wrong with the options for a run that is over.
func (o *options) checkSaved(d declarations) error {
	if len(o.command) > 0 || o.attaches() {
		return errors.New("--from-json shows a saved run; it traces nothing, so leave out the command and -p")
	}
	var cannot string
	d.set.Visit(func(opt getopt.Option) {
		name, shown := opt.LongName(), "--"+opt.LongName()
		if name == "" {
			name, shown = opt.ShortName(), "-"+opt.ShortName()
		}
		if !slices.Contains(ofSaved, name) {
			cannot = shown
		}
	})
	outcomes := o.statuses & (session.Successful | session.Failed)
	switch {
	case cannot != "":
		return fmt.Errorf("%s says how to run something, and --from-json shows a run that is over; leave one of them out", cannot)
	case outcomes != session.Successful|session.Failed && outcomes != 0 && (o.outputs.CPU || o.outputs.JSON != "" || o.outputs.CSV != ""):
		return errors.New("a saved run has CPU time, hold and raw latencies of calls whatever their outcome; leave out -z, -Z and --status, or --time=cpu, --json and --csv")
	}
	if err := o.checkAgainst(d); err != nil {
		return err
	}
	return o.checkTables()
}

// showSaved writes the tables of a run that was saved with --json, and says how to end.
func (p *process) showSaved(opt *options) (ending, error) {
	snapshot, meta, err := session.ReadSaved(opt.fromJSON[0], p.stdin)
	if err != nil {
		return ending{}, err
	}
	opt.outputs.ToStdout = true
	files, err := opt.outputs.Open(p.streams())
	if err != nil {
		return ending{}, err
	}
	ctx := context.Background() // signals end it as they end any program
	chosen := session.Choose(snapshot, opt.trace, opt.statuses)
	overTime := meta.OverTime
	if chosen != snapshot { // it has all calls, whatever their outcome
		overTime, meta.OverTime = nil, nil
	}
	if snapshot.Groups != nil && chosen.Groups == nil {
		p.messages.say(errors.New("of some groups of this saved run it is not known how calls failed: groups are left out"))
	}
	err = errors.Join(files.Write(ctx, chosen, meta), files.WritePage(ctx, page.Page{Snapshot: chosen, Meta: meta, Timeline: overTime}))
	return endingOfSaved(errors.Join(err, files.Close(ctx)), ending{})
}

// endingOfSaved is how sysprof ends when what was asked of saved runs has been written, or failed with an error that has been
// said.
func endingOfSaved(err error, written ending) (ending, error) {
	switch {
	case errors.Is(err, syscall.EPIPE):
		return ending{signal: syscall.SIGPIPE}, nil
	case err != nil: // it has been said
		return ending{status: statusFailure}, nil
	}
	return written, nil
}

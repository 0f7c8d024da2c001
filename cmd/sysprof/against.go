package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/profile/changes"
	"sysprof/report"
)

// against says what saved runs are compared with.
type against struct {
	files []string // of older runs
	rules []changes.Rule
}

// given reports whether there is anything about a comparison.
func (a *against) given() bool { return len(a.files) > 0 || len(a.rules) > 0 }

// failOn takes the argument of --fail-on.
func (a *against) failOn(list string) error {
	rules, err := changes.ParseRules(list)
	a.rules = append(a.rules, rules...)
	return err
}

// notOfAgainst are the options that go with --from-json but not with --against, by their long names.
var notOfAgainst = []string{
	"summary-only", "summary-sort-by", "summary-columns", "histogram", "errors", "time", "verbose", "html",
}

// maxRuns is how many runs are compared at most, on each side.
const maxRuns = 1000

// checkAgainst finds what is wrong with the options for a comparison.
func (o *options) checkAgainst(d declarations) error {
	switch a := &o.against; {
	case len(a.files) == 0 && len(a.rules) > 0:
		return errors.New("--fail-on compares runs: add --against FILE")
	case len(a.files) == 0 && len(o.fromJSON) > 1:
		return errors.New("--from-json takes several runs only to compare them: add --against FILE")
	case len(a.files) == 0:
		return nil
	}
	for _, name := range notOfAgainst {
		if d.set.IsSet(name) {
			return fmt.Errorf("--%s does not go with --against, which has a table of its own", name)
		}
	}
	o.fromJSON, o.against.files = savedFiles(o.fromJSON), savedFiles(o.against.files)
	if len(o.fromJSON) > maxRuns || len(o.against.files) > maxRuns {
		return fmt.Errorf("there are more than %d runs on a side", maxRuns)
	}
	inputs := 0
	for _, list := range [][]string{o.fromJSON, o.against.files} {
		for _, name := range list {
			switch name {
			case "":
				return fmt.Errorf("--from-json %s --against %s: the name of a file is missing beside a comma", strings.Join(o.fromJSON, ","), strings.Join(o.against.files, ","))
			case "-":
				inputs++
			}
		}
	}
	if inputs > 1 {
		return errors.New("standard input (-) can be read only once")
	}
	return nil
}

// savedFiles splits lists at commas. What is the name of a file as it is, with commas in it, is taken so.
func savedFiles(lists []string) (files []string) {
	for _, list := range lists {
		if _, err := os.Stat(list); err == nil {
			files = append(files, list)
			continue
		}
		files = append(files, strings.Split(list, ",")...)
	}
	return files
}

// showDifference writes how saved runs differ from older ones, and fails if they differ more than they may.
func (p *process) showDifference(opt *options) (ending, error) {
	difference, err := p.difference(opt)
	if err != nil {
		return ending{}, err
	}
	opt.outputs.ToStdout = true
	files, err := opt.outputs.Open(p.streams())
	if err != nil {
		return ending{}, err
	}
	ctx := context.Background() // signals end it as they end any program
	err = errors.Join(files.WriteDifference(ctx, difference), files.Close(ctx))
	var end ending
	for i := range opt.against.rules {
		if violation := difference.Violation(&opt.against.rules[i]); violation != "" {
			end.status = statusFailure
			p.messages.say(errors.New("--fail-on: " + violation))
		}
	}
	return endingOfSaved(err, end)
}

// difference reads the runs and compares them.
func (p *process) difference(opt *options) (*report.Difference, error) {
	news, of, err := p.readSide(opt, opt.fromJSON)
	if err != nil {
		return nil, err
	}
	olds, before, err := p.readSide(opt, opt.against.files)
	if err != nil {
		return nil, err
	}
	return report.DifferenceOf(news, olds, of, before), nil
}

// readSide reads the runs of one side, one after the other.
func (p *process) readSide(opt *options, files []string) (*changes.Side, report.DifferenceSide, error) {
	side, what := new(changes.Side), report.DifferenceSide{Files: files}
	for _, file := range files {
		snapshot, meta, err := session.ReadSaved(file, p.stdin)
		if err != nil {
			return nil, what, err
		}
		snapshot = session.Choose(snapshot, opt.trace, opt.statuses)
		side.Add(snapshot, meta.Duration)
		what.Metas = append(what.Metas, meta)
		what.Sources = append(what.Sources, report.SourceOf(snapshot))
	}
	return side, what, nil
}

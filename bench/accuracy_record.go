package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/cost/recording"
	"sysprof/ptrace"
	"sysprof/report"
	"sysprof/syscalltab"
)

// recordName is the name of the observer that records runs (package recording). It traces as sysprof does, and
// what it says of them is what the model of this tree makes of it.
const recordName = "recorded"

// recorderWords returns the command of a recorder, which writes to the file and to kit.json.
func (kit *accuracyKit) recorderWords() []string {
	return []string{kit.k.self, "helper-record", kit.recorded(), kit.json}
}

// recorded is the file of the last recording.
func (kit *accuracyKit) recorded() string { return filepath.Join(kit.dir, "recording") }

// keepRecording adds the truth to the last recording, and puts it where the user wants it.
func (kit *accuracyKit) keepRecording(condition string, round int, what string, add func(*recording.Run)) error {
	if kit.record == "" {
		return nil
	}
	r, err := recording.Read(kit.recorded())
	if err != nil {
		return err
	}
	r.Condition = condition
	add(r)
	name := fmt.Sprintf("%s-%d.json.gz", strings.ReplaceAll(condition+what, "/", "-"), round)
	return r.Write(filepath.Join(kit.record, strings.ReplaceAll(name, " ", "-")))
}

// addTruth adds what the calls of a run took untraced.
func (kit *accuracyKit) addTruth(r *recording.Run, steps []step, threads int, before, after callTimings) {
	s := r.Replay(r.Model)
	for _, of := range steps {
		for _, k := range of.kinds {
			for i := range s.Rows {
				row := &s.Rows[i]
				if slices.Contains(k.names, row.ABI.Name(row.Nr)) && row.Calls >= uint64(of.count(kit.calls, threads)) {
					r.Truth = append(r.Truth, recording.Truth{Kind: k.name, ABI: row.ABI, Nr: row.Nr,
						Before: recording.Figures(before[k.name]), After: recording.Figures(after[k.name])})
				}
			}
		}
	}
}

// enoughCalls is how many calls of a program tell how long most of them take.
const enoughCalls = 100

// counted runs the program while its calls are counted in the kernel, which stops nobody and adds some 0.1 µs to each. It
// returns what the frequent ones took, as before. Where nothing can be counted so it returns nothing.
func (r *programRun) counted(ctx context.Context) (list []recording.Truth, err error) {
	words := append([]string{r.kit.k.sysprof, "--engine=kernel"}, r.kit.sysprofWords("", "--")[1:]...)
	if _, err := r.run(ctx, words); err != nil {
		return nil, nil
	}
	text, err := os.ReadFile(r.kit.json)
	if err != nil {
		return nil, err
	}
	var said sysprofJSON
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	for _, row := range said.Rows {
		if row.Calls >= enoughCalls {
			list = append(list, recording.Truth{Kind: row.Name, ABI: syscalltab.Native()[0], Nr: row.Nr,
				Before: recording.Figures{P50: row.Latency.P50Ns, Mean: row.Latency.MeanNs}})
		}
	}
	return list, nil
}

// truthOf is what calls took in two runs.
func truthOf(before, after []recording.Truth) (list []recording.Truth) {
	for _, t := range before {
		for _, a := range after {
			if t.ABI == a.ABI && t.Nr == a.Nr {
				t.After = a.Before
				list = append(list, t)
			}
		}
	}
	return list
}

// recordHelper traces a command, and records that.
func recordHelper(args []string, _ io.Reader, _, stderr io.Writer) int {
	if len(args) < 3 {
		fmt.Fprintln(stderr, "bench: want two files and a command")
		return statusUsage
	}
	if err := record(args[0], args[1], args[2:]); err != nil {
		fmt.Fprintf(stderr, "bench: record: %v\n", err)
		return statusFailure
	}
	return statusOK
}

func record(to, table string, words []string) error {
	path, err := exec.LookPath(words[0])
	if err != nil {
		return err
	}
	debug.SetGCPercent(-1) // what is kept is no garbage, and a collection would hold tracees up that sysprof has none for
	sink := &recordingSink{counted: profile.New()}
	sink.run.Events.Grow(1 << 18)
	calibrator := cost.NewCalibrator(ptrace.CalibrationCall)
	tracer, err := ptrace.Start(ptrace.Options{
		Command: &ptrace.Command{Path: path, Args: words, Env: os.Environ()}, Follow: true,
		Sink: sink, Calibration: calibrator, Controls: ptrace.ControlsAuto,
		Calibrated: func(of []*ptrace.Calibration) { sink.run.Model = calibrator.Finish(untracedCalls(of)) },
	})
	if err != nil {
		return err
	}
	result, err := tracer.Wait()
	if err != nil {
		return err
	}
	if result.Command.ExitStatus() != 0 {
		return errors.New("the command failed")
	}
	r := &sink.run
	r.WallNs, r.CPUs = int64(tracer.Progress().Elapsed), runtime.NumCPU()
	if err := r.Write(to); err != nil {
		return err
	}
	file, err := os.Create(table)
	if err != nil {
		return err
	}
	defer file.Close()
	return report.WriteJSON(file, r.Replay(r.Model), report.Meta{})
}

// untracedCalls is how long the calls of the calibrations took untraced.
func untracedCalls(calibrations []*ptrace.Calibration) (all []cost.Untraced) {
	for _, c := range calibrations {
		all = append(all, cost.Untraced{CrossCPU: c.CrossCPU, Calls: c.BatchCalls, BatchNs: c.UntracedNs})
	}
	return all
}

// recordingSink takes what a tracer with one thread sees.
type recordingSink struct {
	run     recording.Run
	counted *profile.Profile
}

func (s *recordingSink) Feed() profile.Feeder {
	return s.run.Feed(&counting{sink: s, shard: s.counted.Shard()})
}
func (s *recordingSink) Counted(*profile.Raw)       {}
func (s *recordingSink) InFlight(*profile.InFlight) {}
func (s *recordingSink) Ended(int32, int32)         {}

// counting does with calls what sysprof does, so that they find the caches as they do there.
type counting struct {
	sink   *recordingSink
	shard  *profile.Shard
	stream *cost.Stream
}

func (c *counting) Call(call *profile.Call) {
	if c.stream == nil {
		c.stream = c.sink.run.Model.NewStream()
	}
	c.stream.Call(call)
	c.shard.Add(call)
}

func (c *counting) Control(control *profile.Control) {
	if c.stream != nil {
		c.shard.Control(control.Condition(), c.stream.Control(control))
	}
}

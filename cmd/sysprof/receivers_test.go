package main_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sysprof/cmd/internal/drive"

	pprof "github.com/google/pprof/profile"
)

// The limits of who receives profiles: Pyroscope's in pkg/validation/limits.go (RegisterFlags), where each has a flag of the
// name that stands behind it.
const (
	maxProfileBytes = 4 << 20 // validation.max-profile-size-bytes, uncompressed
	maxSamples      = 16_000  // validation.max-profile-stacktrace-samples
	maxSampleLabels = 100     // validation.max-profile-stacktrace-sample-labels
	maxDepth        = 1_000   // validation.max-profile-stacktrace-depth
	maxSymbolBytes  = 65_535  // validation.max-profile-symbol-value-length
	maxNameBytes    = 1_024   // validation.max-length-label-name
	maxValueBytes   = 2_048   // validation.max-length-label-value
	maxLabelNames   = 30      // validation.max-label-names-per-series
)

// labelName is what Prometheus takes for one (prometheus/common, model/labels.go: LabelName.IsValidLegacy), which Pyroscope
// asks in pkg/validation/validate.go (ValidateLabels), and Parca in pkg/normalizer/normalizer.go (NormalizeWriteRawRequest).
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// receivable demands that a profile is taken as it is by Pyroscope and by Parca.
func receivable(t *testing.T, file string) *pprof.Profile {
	t.Helper()
	compressed, err := gzip.NewReader(bytes.NewReader([]byte(drive.Read(file))))
	drive.Check(t, err)
	data, err := io.ReadAll(compressed)
	drive.Check(t, err)
	p, err := pprof.ParseData(data)
	drive.Check(t, err)
	if len(data) > maxProfileBytes || len(p.Sample) > maxSamples {
		t.Errorf("%d bytes, %d samples", len(data), len(p.Sample))
	}
	text := func(what, s string, most int) {
		t.Helper()
		if len(s) > most || !utf8.ValidString(s) { // a string of proto3
			t.Errorf("%s: %d bytes, %.100q", what, len(s), s)
		}
	}
	for _, c := range p.Comments {
		text("a comment", c, maxSymbolBytes)
	}
	for _, s := range p.Sample {
		if len(s.Location) > maxDepth || len(s.Location) == 0 || len(s.Label)+len(s.NumLabel) > min(maxSampleLabels, maxLabelNames) || len(s.Value) != len(p.SampleType) {
			t.Errorf("a sample with %d locations, %d labels and %d values", len(s.Location), len(s.Label)+len(s.NumLabel), len(s.Value))
		}
		for name, values := range s.Label {
			if _, number := s.NumLabel[name]; !labelName.MatchString(name) || len(name) > maxNameBytes || len(values) != 1 || values[0] == "" || number {
				t.Errorf("a label %.100q: %q", name, values)
			}
			text("a label", values[0], maxValueBytes)
		}
		for name, values := range s.NumLabel {
			if !labelName.MatchString(name) || len(values) != 1 {
				t.Errorf("a label %.100q: %v", name, values)
			}
		}
	}

	// Parca's pkg/normalizer/validate.go (ValidatePprofProfile): ids are those of places in lists, and it asks the period type,
	// without looking whether there is one. Types are parts of a name with colons between (pkg/parcacol, QueryToFilterExprs).
	for i, m := range p.Mapping {
		if m.ID != uint64(i+1) {
			t.Errorf("mapping %d has the id %d", i+1, m.ID)
		}
		text("a mapping", m.File, maxSymbolBytes)
	}
	for i, f := range p.Function {
		if f.ID != uint64(i+1) {
			t.Errorf("function %d has the id %d", i+1, f.ID)
		}
		text("a function", f.Name, maxSymbolBytes)
		text("a function", f.SystemName, maxSymbolBytes)
		text("a file", f.Filename, maxSymbolBytes)
	}
	for i, l := range p.Location {
		if l.ID != uint64(i+1) {
			t.Errorf("location %d has the id %d", i+1, l.ID)
		}
	}
	if p.PeriodType == nil {
		t.Fatal("there is no period type")
	}
	for _, v := range append(p.SampleType, p.PeriodType) {
		if !labelName.MatchString(v.Type) || !labelName.MatchString(v.Unit) {
			t.Errorf("a type %s/%s", v.Type, v.Unit)
		}
	}
	return p
}

// manyC asks for files of its own names, one after the other, and for one of them often.
const manyC = `
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv) {
	char path[4096], folder[251];
	int files = atoi(argv[2]);
	prctl(PR_SET_NAME, "a\n\xff\xfe\033[2J");
	memset(folder, 'f', 250);
	folder[250] = 0;
	if (argc < 3 || chdir(argv[1])) abort();
	for (int i = 0; i < 12; i++) if (mkdir(folder, 0700) || chdir(folder)) abort(); /* longer than a label may be */
	for (int i = 0; i < files; i++) {
		snprintf(path, sizeof path, "%s/\xff%d", i % 100 ? argv[1] : ".", i);
		int fd = open(path, O_RDWR | O_CREAT, 0600);
		if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd)) abort();
		if (i == files / 2) for (int n = 0; n < 2000; n++) if (pwrite(fd, "x", 1, 0) != 1) abort();
		close(fd);
		unlink(path);
	}
	return 0;
}
`

// TestProfilesAreReceivable, with all labels, of a program with more of everything than they take, and odd names.
func TestProfilesAreReceivable(t *testing.T) {
	program := compile(t, manyC)
	labels := "--labels=pid,tid,comm,thread_name,errno,latency,fd"
	for _, one := range []struct {
		files, most int
		flags       []string
	}{{20, maxSamples, nil}, {600, 100, []string{"--max-samples=100"}}} {
		file, table := filepath.Join(t.TempDir(), "profile"), filepath.Join(t.TempDir(), "table")
		flags := slices.Concat(drive.CountColumns, []string{"-o", table, "--pprof", file, labels}, one.flags, []string{program, t.TempDir(), fmt.Sprint(one.files)})
		drive.Succeed(t, drive.Plain(t, flags...))
		p := receivable(t, file)
		perCall, often, others := map[string]int64{}, int64(0), int64(0)
		long := false
		for _, s := range p.Sample {
			names := drive.Frames(s)
			if !isUnfinished(s) {
				perCall[strings.TrimPrefix(names[0], "sys_")] += s.Value[0]
			}
			for _, path := range s.Label["fd"] {
				if names[0] == "sys_pwrite64" && strings.HasSuffix(path, fmt.Sprintf("%d", one.files/2)) {
					often += s.Value[0]
				}
				long = long || len(path) > maxValueBytes-10 && strings.HasPrefix(path, "[…]")
			}
			if slices.Contains(names, "[others]") {
				others += s.Value[0]
				if len(s.NumLabel) > 0 || len(s.Label) > 1 {
					t.Errorf("%v has the labels %v, %v", names, s.Label, s.NumLabel)
				}
			}
		}
		for name, want := range drive.ParseCounts(t, drive.Read(table)) {
			if got := perCall[name]; got != int64(want.Calls) {
				t.Errorf("%d calls of %s in the profile, %d in the table", got, name, want.Calls)
			}
		}
		if often < 1_800 || often > 2_000 { // some took a time of their own
			t.Errorf("%d of 2,000 calls are those of the file that is written to often", often)
		}
		says := func(text string) bool {
			return strings.Contains(text, "[others]") && strings.Contains(text, "--max-samples")
		}
		if folded := one.files > one.most; len(p.Sample) > one.most || folded != (others > 0) || folded != says(drive.Read(table)) || folded != slices.ContainsFunc(p.Comments, says) {
			t.Errorf("%d samples, %d calls of others; comments %q; the table says\n%s", len(p.Sample), others, p.Comments, drive.Read(table))
		}
		if !long {
			t.Error("no path was too long")
		}
	}
}

// TestProfileOnStdout can be piped into what reads profiles.
func TestProfileOnStdout(t *testing.T) {
	out := drive.Succeed(t, drive.Plain(t, "-q", "-o", "/dev/null", "--pprof", "-", "true"))
	p, err := pprof.Parse(strings.NewReader(out))
	drive.Check(t, err)
	if drive.MadeBy(p, "sys_execve", "sys_execve", 0) != 1 {
		t.Errorf("%d samples", len(p.Sample))
	}
}

// TestMergedProfilesHaveTheCommentsOfOne, as far as their runs were alike.
func TestMergedProfilesHaveTheCommentsOfOne(t *testing.T) {
	var files []string
	lines := 0
	for range 3 {
		file := filepath.Join(t.TempDir(), "profile")
		drive.Succeed(t, drive.Plain(t, "-q", "-o", "/dev/null", "-O", "5", "--pprof", file, "true"))
		files = append(files, file)
		lines = max(lines, len(drive.ParseProfile(t, file).Comments))
	}
	merged := filepath.Join(t.TempDir(), "merged")
	goPprof(t, slices.Concat([]string{"-proto", "-output", merged}, files)...)
	_, err := os.Stat(merged)
	drive.Check(t, err)
	const differing = 4 // what tracing cost, and warnings, may differ
	if got := drive.ParseProfile(t, merged).Comments; len(got) > lines+differing || got[1] != "true" {
		t.Errorf("%q", got)
	}
}

package main

import (
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/google/pprof/profile"

	"sysprof/report"
)

// longest is how many bytes of a string are shown. dot refuses more than 16,384 (YY_BUF_SIZE of its scanner), and pprof
// gives it two names in one string.
const longest = 4_000

// unquoted takes the place of what ends a string in dot's language. pprof quotes names of functions and comments there, but
// nothing else: a file could have attributes of its own drawn, such as a link that is a script.
var unquoted = strings.NewReplacer(`"`, "”", `\`, "＼")

// tame makes all strings of a profile such that the pages, and dot, can take them: it is the programs that were profiled,
// or whoever made the file, that choose them.
func tame(p *profile.Profile) {
	for i := range p.Comments {
		p.Comments[i] = tamed(p.Comments[i])
	}
	for _, f := range p.Function {
		f.Name, f.SystemName, f.Filename = tamed(f.Name), tamed(f.SystemName), tamedWord(f.Filename)
	}
	for _, m := range p.Mapping {
		m.File, m.BuildID = tamedWord(m.File), tamedWord(m.BuildID)
	}
	types := p.SampleType
	if p.PeriodType != nil {
		types = append(types[:len(types):len(types)], p.PeriodType)
	}
	for _, t := range types {
		t.Type, t.Unit = tamedWord(t.Type), tamedWord(t.Unit)
	}
	p.DefaultSampleType = tamedWord(p.DefaultSampleType)
	if tamedWord(p.DocURL) != p.DocURL {
		p.DocURL = ""
	}
	for _, s := range p.Sample {
		s.Label = tamedLabels(s.Label, tamedWord)
		s.NumLabel = tamedLabels(s.NumLabel, nil)
		s.NumUnit = tamedLabels(s.NumUnit, tamedWord)
	}
}

// tamedLabels is tame for labels, of which value makes a value tame, if they need it. Hardly any do, and there are some of
// each sample, so that a copy of them all would take longer than anything else.
func tamedLabels[V any](labels map[string][]V, value func(V) V) map[string][]V {
	tame := true
	for name, values := range labels {
		tame = tame && tamedWord(name) == name
		for i := range values {
			if value != nil {
				values[i] = value(values[i])
			}
		}
	}
	if tame {
		return labels
	}
	out := make(map[string][]V, len(labels))
	for name, values := range labels {
		name = tamedWord(name)
		out[name] = append(out[name], values...)
	}
	return out
}

// tamedWord is tamed for what pprof does not quote.
func tamedWord(s string) string {
	if isTame(s) {
		return s
	}
	return unquoted.Replace(tamed(s))
}

// isTame tells of nearly all strings, and without a copy, that they are tame.
func isTame(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(s) <= longest
}

// tamed is a string without control characters and of no more than so many bytes. Different ones remain different, or
// pprof would take two functions for one.
func tamed(s string) string {
	if isTame(s) {
		return s
	}
	if len(s) > longest {
		s = fmt.Sprintf("%s… (%d bytes, %08x)", strings.ToValidUTF8(s[:longest-100], ""), len(s), crc32.ChecksumIEEE([]byte(s)))
	}
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = report.Printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

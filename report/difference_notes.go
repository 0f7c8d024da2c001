package report

import (
	"fmt"
	"slices"
	"strings"

	"sysprof/profile/trials"
)

// notes are the sentences under the table of a difference, a line each.
func (d *Difference) notes() string {
	var out strings.Builder
	for _, sentence := range append([]string{d.method(), d.lengths(), d.groupsNote()}, d.unlike()...) {
		if sentence != "" {
			out.WriteString(Printable(sentence) + "\n")
		}
	}
	return out.String()
}

// method says how it was found out what is noise.
func (d *Difference) method() string {
	news, olds := len(d.New.Files), len(d.Old.Files)
	if min(news, olds) >= trials.EnoughForRatio {
		return fmt.Sprintf("%s against %d: medians, with intervals that have the true change in them with %.3g %%; %s may be chance",
			plural(uint64(news), "run"), olds, 100*trials.RatioLevel(news, olds), trials.Noise)
	}
	uncertain := humanNs(d.New.UncertainNs)
	if before := humanNs(d.Old.UncertainNs); before != uncertain {
		uncertain += ", was " + before
	}
	return fmt.Sprintf("%s against %d: judged by how the calls of each run vary and by how uncertain latencies are (%s; at least 5 %%); %s may be chance; from %d runs a side on it is judged by how runs vary",
		plural(uint64(news), "run"), olds, uncertain, trials.Noise, trials.EnoughForRatio)
}

// lengths says that the runs were not of the same length.
func (d *Difference) lengths() string {
	if !d.lengthsDiffer() {
		return ""
	}
	return fmt.Sprintf("the runs took %s, and %s before: calls/s is by how much the number of calls a second has changed",
		humanTime(d.New.DurationNs), humanTime(d.Old.DurationNs))
}

// unlike says in what the sides were not run alike.
func (d *Difference) unlike() (list []string) {
	var unlike []string
	for _, of := range []struct {
		what string
		get  func(*Meta) string
	}{
		{"command", func(m *Meta) string { return strings.Join(m.Command, " ") }},
		{"sysprof", func(m *Meta) string { return m.Version }},
		{"host", func(m *Meta) string { return m.Host }},
		{"kernel", func(m *Meta) string { return m.Kernel }},
		{"machine", func(m *Meta) string { return m.Arch }},
		{"CPUs", func(m *Meta) string {
			if m.CPUs == 0 {
				return ""
			}
			return fmt.Sprint(m.CPUs)
		}},
	} {
		unlike = appendUnlike(unlike, of.what, d.New.each(of.get), d.Old.each(of.get))
	}
	unlike = appendUnlike(unlike, "latencies", d.New.Sources, d.Old.Sources)
	if len(unlike) == 0 {
		return nil
	}
	return []string{"not alike: " + strings.Join(unlike, "; ")}
}

// each lists what get gets of each run.
func (s *DifferenceSide) each(get func(*Meta) string) (list []string) {
	for i := range s.Metas {
		list = append(list, get(&s.Metas[i]))
	}
	return list
}

// appendUnlike says that something is not the same in all runs, nothing if it is, or is not known.
func appendUnlike(list []string, what string, news, olds []string) []string {
	of, before := distinct(news), distinct(olds)
	if len(of) == 0 || len(before) == 0 || len(of) == 1 && slices.Equal(of, before) {
		return list
	}
	return append(list, fmt.Sprintf("%s: %s (was %s)", what, several(of), several(before)))
}

// distinct lists what is known, each once.
func distinct(all []string) []string {
	all = slices.DeleteFunc(slices.Sorted(slices.Values(all)), func(s string) bool { return s == "" })
	return slices.Compact(all)
}

// several quotes some of a list, each shortened.
func several(list []string) string {
	const most = 2
	var some []string
	for _, s := range list[:min(len(list), most)] {
		some = append(some, shortened(s))
	}
	if more := len(list) - most; more > 0 {
		some = append(some, fmt.Sprintf("%d more", more))
	}
	return strings.Join(some, ", ")
}

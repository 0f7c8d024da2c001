package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"sysprof/profile/label"
)

// groupOptions are the options about whose calls they are.
type groupOptions struct {
	by  string // fields that groups are told apart by; "": there are no groups
	top int    // of groups in tables; 0: not said

	only []string // conditions that calls have to meet
}

func (o *options) declareGroups(d declarations) {
	d.arg(0, "by", o.groups.chooseBy)
	d.arg(0, "top", o.groups.chooseTop)
	d.arg(0, "only", o.groups.chooseOnly)
}

// chooseBy takes the argument of --by.
func (g *groupOptions) chooseBy(list string) error {
	if g.by != "" {
		list = g.by + "," + list
	}
	g.by = list
	_, err := label.None().Group(list)
	return err
}

// chooseTop takes the argument of --top.
func (g *groupOptions) chooseTop(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is no number of groups; want one from 1 on", s)
	}
	g.top = n
	return nil
}

// chooseOnly takes the argument of --only.
func (g *groupOptions) chooseOnly(condition string) error {
	g.only = append(g.only, condition)
	_, err := label.None().Only(g.only)
	return err
}

// check finds what is wrong with them taken together.
func (g *groupOptions) check() error {
	if g.top > 0 && g.by == "" {
		return errors.New("--top says how many groups are shown, and there are none; add --by FIELD")
	}
	return nil
}

// unaddable names a field that only single calls have; "": there is none among those that were asked for.
func (g *groupOptions) unaddable() string {
	p := label.None()
	if g.by != "" {
		p.Group(g.by)
	}
	p.Only(g.only)
	return p.Unaddable()
}

// shown is how many groups are shown.
func (g *groupOptions) shown() int {
	const usual = 10
	return cmp.Or(g.top, usual)
}

// projection is what is asked of each call: what samples are told apart by, besides their stacks, what groups are, and which calls
// are counted; nil if there is nothing of these. The state of samples is always among it, since a profile without it could not tell
// calls that have not returned from those that have.
func (o *options) projection() (p *label.Projection, groups *label.Grouping, only *label.Only) {
	// All of it has been checked.
	if o.outputs.Pprof != "" {
		list := label.State
		if o.labels != "" {
			list += "," + o.labels
		}
		p, _ = label.Parse(list)
	}
	if p == nil && (o.groups.by != "" || len(o.groups.only) > 0) {
		p = label.None()
	}
	if o.groups.by != "" {
		groups, _ = p.Group(o.groups.by)
	}
	if len(o.groups.only) > 0 {
		only, _ = p.Only(o.groups.only)
	}
	return p, groups, only
}

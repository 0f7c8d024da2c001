package changes

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"sysprof/syscalltab"
	"sysprof/syscalltab/suggest"
)

// Rule is a change that is not to be.
type Rule struct {
	Text   string // that it was read from
	Metric Metric
	Calls  *syscalltab.Set // of which calls; nil: of any
	Share  float64         // more than this share of what it was; below 0: less by more than that
}

// maxRules is more than anybody writes.
const maxRules = 1000

// ParseRules reads rules with commas between them: a metric, in parentheses what calls it is about as -e trace= takes them,
// a colon, and by how much it may change: "p99:+20%", "count(read,%network):+0%", "rate:-10%".
func ParseRules(list string) (rules []Rule, err error) {
	for rest := list; ; {
		text, set, threshold, more, found, err := cutRule(rest)
		if err != nil {
			return nil, err
		}
		r, err := parseRule(text, set, threshold)
		if err != nil {
			return nil, err
		}
		if rules = append(rules, r); len(rules) > maxRules {
			return nil, fmt.Errorf("there are more than %d rules", maxRules)
		}
		if !found {
			return rules, nil
		}
		rest = more
	}
}

// cutRule cuts the first rule off. A set may have commas, colons and parentheses in it, and ends where one is followed by a colon.
func cutRule(list string) (text, set, threshold, more string, found bool, err error) {
	before, _, _ := strings.Cut(list, ",")
	name, _, hasColon := strings.Cut(before, ":")
	if open := strings.IndexByte(list, '('); open >= 0 && (!hasColon || open < len(name)) && open < max(len(before), 1) {
		end := strings.Index(list[open:], "):")
		if end < 0 {
			return "", "", "", "", false, fmt.Errorf("%q: want the calls as in p99(read,write):+20%%", list)
		}
		end += open
		threshold, more, found = strings.Cut(list[end+2:], ",")
		return list[:end+2] + threshold, list[open+1 : end], threshold, more, found, nil
	}
	text, more, found = strings.Cut(list, ",")
	_, threshold, ok := strings.Cut(text, ":")
	if !ok {
		return "", "", "", "", false, fmt.Errorf("%q is not a rule; want one like p99:+20%%", text)
	}
	return text, "", threshold, more, found, nil
}

// parseRule reads one rule that has been cut into its parts.
func parseRule(text, set, threshold string) (r Rule, err error) {
	name := text[:strings.IndexAny(text, "(:")]
	r.Text = text
	var ok bool
	if r.Metric, ok = Named(name); !ok {
		return r, fmt.Errorf("unknown metric %q%s; there are %s", name, suggest.DidYouMean(name, Names()), strings.Join(Names(), ", "))
	}
	if strings.Contains(text[:len(text)-len(threshold)], "(") {
		if r.Calls, err = syscalltab.ParseSet(set, syscalltab.Native()...); err != nil {
			return r, fmt.Errorf("%q: %w", text, err)
		}
	}
	if r.Share, err = parseShare(threshold); err != nil {
		return r, fmt.Errorf("%q: %w", text, err)
	}
	return r, nil
}

// parseShare reads "+20%", "-10%", "20%".
func parseShare(s string) (float64, error) {
	number, ok := strings.CutSuffix(s, "%")
	if !ok {
		return 0, fmt.Errorf("%q is no change; want a percentage like +20%%", s)
	}
	number = strings.TrimRight(number, " ")
	if strings.ContainsAny(number, "_xXpP") { // Go's numbers, but nobody's percentages
		return 0, fmt.Errorf("%q is no change; want a percentage like +20%%", s)
	}
	percent, err := strconv.ParseFloat(number, 64)
	const most = 1e9
	switch {
	case err != nil || math.IsNaN(percent) || math.Abs(percent) > most:
		return 0, fmt.Errorf("%q is no change; want a percentage like +20%%", s)
	case percent <= -100:
		return 0, errors.New("nothing falls by more than 100 %")
	case percent == 0 && math.Signbit(percent):
		return math.Copysign(0, -1), nil
	}
	return percent / 100, nil
}

// Violations lists the rows that violate a rule, the worst first. A change that may be chance violates none, nor does one that
// has nothing to be compared with.
func (r *Rule) Violations(rows []Row) (found []*Row) {
	for i := range rows {
		row := &rows[i]
		c := &row.Change[r.Metric]
		if c.Noise || math.IsNaN(c.Ratio) || r.Calls != nil && !r.Calls.Has(row.ABI, row.Nr) {
			continue
		}
		if share := c.Ratio - 1; r.falls() && share < r.Share || !r.falls() && share > r.Share {
			found = append(found, row)
		}
	}
	worse := func(a, b *Row) int {
		x, y := a.Change[r.Metric].Ratio, b.Change[r.Metric].Ratio
		if r.falls() {
			x, y = y, x
		}
		return cmp.Compare(y, x)
	}
	slices.SortStableFunc(found, worse)
	return found
}

// falls says that the rule is about getting less.
func (r *Rule) falls() bool { return math.Signbit(r.Share) }

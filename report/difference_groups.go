package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"sysprof/profile/changes"
)

// writeGroups prints how groups have changed, by a function that prints a table.
func (d *Difference) writeGroups(out *bytes.Buffer, table func(rows []changes.Row, all *changes.Row, heading string, name func(*changes.Row) string) error) error {
	if len(d.Groups) == 0 {
		return nil
	}
	shown := d.Groups
	if d.Top > 0 {
		shown = shown[:min(len(shown), d.Top)]
	}
	rows := make([]changes.Row, len(shown))
	names := make(map[*changes.Row]string)
	for i := range shown {
		rows[i] = shown[i].All
		names[&rows[i]] = Printable(shown[i].Name)
	}
	fmt.Fprintln(out)
	if err := table(rows, &d.All, Printable(strings.Join(d.By, ",")), func(r *changes.Row) string { return names[r] }); err != nil {
		return err
	}
	if more := len(d.Groups) - len(shown); more > 0 {
		fmt.Fprintf(out, "and %s that changed less (--top)\n", plural(uint64(more), "group"))
	}
	for i := range shown {
		g := &shown[i]
		fmt.Fprintf(out, "\n%s:\n", Printable(g.Name))
		if err := table(g.Rows, &g.All, headingOfCalls, d.callOf); err != nil {
			return err
		}
	}
	return nil
}

// groupsNote says why groups are not compared.
func (d *Difference) groupsNote() string {
	of, before := d.New.By, d.Old.By
	if d.By != nil || of == nil && before == nil || slices.Equal(of, before) {
		return ""
	}
	named := func(by []string) string {
		if by == nil {
			return "none"
		}
		return strings.Join(by, ",")
	}
	return fmt.Sprintf("groups are not compared, since they are not by the same fields: %s (was %s)", named(of), named(before))
}

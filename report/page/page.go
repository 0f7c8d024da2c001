// Package page writes a run as one HTML page that needs nothing besides itself: the table, whose rows open to their
// distributions and errnos, latencies over time, a flame graph of the stacks, and what stands under the tables of package
// report, in the same words.
//
// A page holds the figures as JSON, and a script that draws them. Its content security policy keeps anything else from
// running, and the page from asking anybody for anything. What comes from the traced programs gets into the page as text
// alone: it is escaped in the JSON, and the script makes no HTML of it.
//
// The package decides how the page looks and what it has, and measures nothing.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the parts of the page
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"

	"sysprof/profile"
	"sysprof/profile/timeline"
	"sysprof/report"
)

// Page is a run.
type Page struct {
	Snapshot *profile.Snapshot
	Meta     report.Meta
	Timeline *timeline.Timeline // nil: not taken
	Stacks   *Stacks            // nil: none were captured
}

// The parts of each page. They are strings that the linker puts into the program, which costs no start-up.
var (
	//go:embed page.css
	style string
	//go:embed page.js
	script string
	//go:embed page.html
	body string
)

// Write writes the page.
func (p Page) Write(w io.Writer) error {
	facts, err := json.Marshal(p.data()) // which escapes what would end the element that it stands in
	if err != nil {
		return fmt.Errorf("HTML: %w", err)
	}
	plain, err := p.plain()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	out.Grow(len(facts) + len(style) + len(script) + len(body) + len(plain) + 1024)
	out.WriteString("<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n")
	fmt.Fprintf(&out, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'\">\n",
		hash(style), hash(script))
	fmt.Fprintf(&out, "<title>%s</title>\n", html.EscapeString(p.title()))
	out.WriteString("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n")
	out.WriteString("<link rel=\"icon\" href=\"data:,\">\n") // or browsers ask for one
	fmt.Fprintf(&out, "<style>%s</style>\n", style)
	out.WriteString(body)
	fmt.Fprintf(&out, "<noscript><pre>%s</pre></noscript>\n", html.EscapeString(plain))
	fmt.Fprintf(&out, "<script type=\"application/json\" id=\"data\">%s</script>\n", facts)
	fmt.Fprintf(&out, "<script>%s</script>\n", script)
	_, err = w.Write(out.Bytes())
	return err
}

// title is what a browser's tab is called.
func (p *Page) title() string {
	const most = 80 // a tab has room for less
	title := report.Printable("sysprof: " + p.traced())
	if runes := []rune(title); len(runes) > most {
		title = string(runes[:most]) + "…"
	}
	return title
}

func (p *Page) traced() string {
	if p.Meta.Traced == "" {
		return "a run"
	}
	return p.Meta.Traced
}

// plain is what the page shows where scripts do not run: the table for people, and what stands under it.
func (p *Page) plain() (string, error) {
	var text bytes.Buffer
	if err := (report.Table{}).Write(&text, p.Snapshot); err != nil {
		return "", err
	}
	err := report.Notes(&text, p.Snapshot, p.Meta, 0, true)
	return text.String(), err
}

// hash names a style or a script in a content security policy.
func hash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

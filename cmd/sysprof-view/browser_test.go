package main

import (
	"fmt"
	"html"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sysprof/syscalltab/needs"
)

// page is what a browser makes of an address.
type page struct {
	text    string   // what a reader can read, a line for each piece
	console []string // what went to the console: errors of scripts, and what they have to say
}

// browse opens an address in a browser that nobody sees, and lets the page's scripts run for as long as they have
// something to do, by a clock of their own. What they draw between two ticks of that clock may come too late for it, so
// that a page which does not show the texts yet is given more of them.
func browse(t *testing.T, url string, texts ...string) page {
	t.Helper()
	const most = 160 * time.Second
	for budget := 10 * time.Second; ; budget *= 2 {
		p := browseFor(t, url, budget)
		if p.misses(texts) == nil || budget >= most {
			p.shows(t, texts...)
			return p
		}
	}
}

func browseFor(t *testing.T, url string, budget time.Duration) page {
	t.Helper()
	chromium := needs.Program(t, "chromium", "chromium")
	dir := filepath.Join(filepath.Dir(program(t)), "browser") // it is there sooner with what it has kept
	cmd := exec.Command(chromium, "--headless", "--user-data-dir="+dir, "--no-first-run",
		"--disable-background-networking", "--disable-component-update", // it asks nobody but us
		"--no-sandbox",                // root has none, and the pages are our own
		"--disable-dev-shm-usage",     // which is small in a container
		"--enable-unsafe-swiftshader", // WebGL without a graphics card
		"--window-size=1600,20000",    // lists are made no longer than what can be seen
		"--enable-logging=stderr", fmt.Sprintf("--virtual-time-budget=%d", budget.Milliseconds()), "--dump-dom", url)
	cmd.Env = append(cmd.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	o := begin(t, cmd).end()
	o.exited(t, 0)
	var p page
	for _, m := range consoleLine.FindAllStringSubmatch(o.stderr, -1) {
		p.console = append(p.console, m[1])
	}
	p.text = html.UnescapeString(tag.ReplaceAllString(unread.ReplaceAllString(o.stdout, ""), "\n"))
	return p
}

var (
	consoleLine = regexp.MustCompile(`(?m)^\[[^]]*:CONSOLE:\d+\] (.*)$`)
	unread      = regexp.MustCompile(`(?s)<(script|style)\b.*?</(script|style)>`)
	tag         = regexp.MustCompile(`<[^>]*>`)
)

// shows demands that a page shows these texts.
func (p page) shows(t *testing.T, texts ...string) {
	t.Helper()
	if missing := p.misses(texts); missing != nil {
		t.Errorf("the page does not show %q but\n%s", missing, blankLines.ReplaceAllString(p.text, "\n"))
	}
}

// misses returns which of the texts the page does not show.
func (p page) misses(texts []string) (missing []string) {
	for _, text := range texts {
		if !strings.Contains(p.text, text) {
			missing = append(missing, text)
		}
	}
	return missing
}

var blankLines = regexp.MustCompile(`\n\s*\n`)

// silent demands that nothing went to the console.
func (p page) silent(t *testing.T) {
	t.Helper()
	if len(p.console) > 0 {
		t.Errorf("the page's scripts say %q", p.console)
	}
}

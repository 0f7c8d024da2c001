package page_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab/needs"
)

// browser is a Chromium that nobody sees. It is told what to do in the words of the Chrome DevTools Protocol
// (https://chromedevtools.github.io/devtools-protocol/), as JSON with a zero byte behind it, over two pipes: so it takes
// neither a port nor a library.
type browser struct {
	in *os.File

	mu      sync.Mutex // guards what follows
	last    int
	answers map[int]chan answer
	tabs    map[string]*tab // by session
	err     error           // it says no more
}

type answer struct {
	result json.RawMessage
	err    error
}

// tab is a page in a browser, and what it did besides what it was told to do.
type tab struct {
	t       testing.TB
	b       *browser
	session string

	mu       sync.Mutex // guards what follows
	console  []string   // what its script said, and errors
	requests []string   // what it asked for
}

// started is the browser of all tests of this package.
var started struct {
	once sync.Once
	b    *browser
	err  error
	stop func()
}

func TestMain(m *testing.M) {
	status := m.Run()
	if started.stop != nil {
		started.stop()
	}
	os.Exit(status)
}

func chromium(t testing.TB) *browser {
	t.Helper()
	program := needs.Program(t, "chromium", "chromium")
	started.once.Do(func() { started.b, started.stop, started.err = start(program) })
	check(t, started.err)
	return started.b
}

func start(program string) (*browser, func(), error) {
	dir, err := os.MkdirTemp("", "sysprof-page-test")
	if err != nil {
		return nil, nil, err
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(program, "--headless", "--remote-debugging-pipe", "--user-data-dir="+dir, "--no-first-run",
		"--disable-background-networking", "--disable-component-update", // it asks nobody but us
		"--no-sandbox",            // root has none, and the pages are our own
		"--disable-dev-shm-usage", // which is small in a container
		"--hide-scrollbars", "--window-size=1400,1000", "about:blank")
	cmd.Env = append(cmd.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // descriptors 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	theirIn.Close()
	theirOut.Close()
	b := &browser{in: in, answers: make(map[int]chan answer), tabs: make(map[string]*tab)}
	go b.listen(out)
	return b, func() {
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		cmd.Wait()
		os.RemoveAll(dir)
	}, nil
}

// listen takes what the browser says.
func (b *browser) listen(out *os.File) {
	reader := bufio.NewReader(out)
	for {
		text, err := reader.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			b.err = fmt.Errorf("the browser has gone: %w", err)
			for _, to := range b.answers {
				to <- answer{err: b.err}
			}
			b.answers = nil
			b.mu.Unlock()
			return
		}
		var m struct {
			ID        int
			Method    string
			SessionID string
			Params    json.RawMessage
			Result    json.RawMessage
			Error     *struct{ Message string }
		}
		json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m)
		b.mu.Lock()
		to, tab := b.answers[m.ID], b.tabs[m.SessionID]
		delete(b.answers, m.ID)
		b.mu.Unlock()
		switch {
		case to != nil && m.Error != nil:
			to <- answer{err: fmt.Errorf("%s", m.Error.Message)}
		case to != nil:
			to <- answer{result: m.Result}
		case tab != nil:
			tab.event(m.Method, m.Params)
		}
	}
}

// ask tells the browser to do something, and returns what came of it. A session of "" is the browser itself.
func (b *browser) ask(session, method string, params any) (json.RawMessage, error) {
	to := make(chan answer, 1)
	b.mu.Lock()
	if b.err != nil {
		b.mu.Unlock()
		return nil, b.err
	}
	b.last++
	message := map[string]any{"id": b.last, "method": method}
	b.answers[b.last] = to
	b.mu.Unlock()
	if params != nil {
		message["params"] = params
	}
	if session != "" {
		message["sessionId"] = session
	}
	text, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		return nil, err
	}
	select {
	case a := <-to:
		if a.err != nil {
			return nil, fmt.Errorf("%s: %w", method, a.err)
		}
		return a.result, nil
	case <-time.After(needs.Patience()):
		return nil, fmt.Errorf("%s: no answer", method)
	}
}

type params map[string]any

// open shows a file in a new tab. When the test is over, it is demanded that nothing went to its console and that it asked for
// nothing but itself.
func open(t testing.TB, file string) *tab {
	t.Helper()
	b := chromium(t)
	ask := func(session, method string, p, to any) {
		t.Helper()
		result, err := b.ask(session, method, p)
		check(t, err)
		check(t, json.Unmarshal(result, to))
	}
	var target struct{ TargetID string }
	ask("", "Target.createTarget", params{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	ask("", "Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &tab{t: t, b: b, session: attached.SessionID}
	b.mu.Lock()
	b.tabs[p.session] = p
	b.mu.Unlock()
	t.Cleanup(func() {
		if len(p.requests) != 1 || !strings.HasPrefix(p.requests[0], "file://") {
			t.Errorf("the page asked for %q", p.requests)
		}
		if len(p.console) > 0 {
			t.Errorf("the console has %q", p.console)
		}
		b.ask("", "Target.closeTarget", params{"targetId": target.TargetID})
	})
	for _, domain := range []string{"Runtime", "Log", "Network", "Page"} {
		p.ask(domain+".enable", nil)
	}
	p.ask("Page.navigate", params{"url": "file://" + file})
	p.until(`location.protocol === "file:" && document.readyState === "complete"`)
	return p
}

func (p *tab) event(method string, text json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch method {
	case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
		p.console = append(p.console, string(text))
	case "Network.requestWillBeSent":
		var sent struct{ Request struct{ URL string } }
		json.Unmarshal(text, &sent)
		if !strings.HasPrefix(sent.Request.URL, "data:") { // the icon, which is empty
			p.requests = append(p.requests, sent.Request.URL)
		}
	}
}

func (p *tab) ask(method string, with any) json.RawMessage {
	p.t.Helper()
	result, err := p.b.ask(p.session, method, with)
	check(p.t, err)
	return result
}

// eval returns the value of an expression of JavaScript.
func (p *tab) eval(expression string) any {
	p.t.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	check(p.t, json.Unmarshal(p.ask("Runtime.evaluate", params{"expression": expression, "returnByValue": true, "awaitPromise": true}), &out))
	if out.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	return out.Result.Value
}

// is demands that an expression has a value.
func (p *tab) is(expression string, want any) {
	p.t.Helper()
	if got := p.eval(expression); fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("%s is %v, want %v", expression, got, want)
	}
}

// until waits until an expression is true.
func (p *tab) until(expression string) {
	p.t.Helper()
	for end := time.Now().Add(needs.Patience()); p.eval(expression) != true; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s does not become true", expression)
		}
	}
}

// element is an expression for the first element that a selector finds.
func element(selector string) string { return fmt.Sprintf("document.querySelector(%q)", selector) }

// click presses the mouse in the middle of an element, after scrolling to it.
func (p *tab) click(element string) {
	p.t.Helper()
	at, _ := p.eval(`(() => { const e = ` + element + `; e.scrollIntoView({block: "center"}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`).([]any)
	if len(at) != 2 {
		p.t.Fatalf("there is no %s", element)
	}
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		p.ask("Input.dispatchMouseEvent", params{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1})
	}
}

// write types a text into an element.
func (p *tab) write(element, text string) {
	p.t.Helper()
	p.eval(element + `.focus()`)
	p.ask("Input.insertText", params{"text": text})
}

// press presses a key.
func (p *tab) press(key string) {
	p.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		p.ask("Input.dispatchKeyEvent", params{"type": kind, "key": key, "code": key})
	}
}

// media makes the page one for a medium and a colour scheme.
func (p *tab) media(medium, scheme string) {
	p.t.Helper()
	p.ask("Emulation.setEmulatedMedia", params{"media": medium, "features": []params{{"name": "prefers-color-scheme", "value": scheme}}})
}

// size sets the width and the height of the window.
func (p *tab) size(width, height int) {
	p.t.Helper()
	p.ask("Emulation.setDeviceMetricsOverride", params{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
}

// keep writes a picture of the page into the folder that SYSPROF_TEST_PICTURES names, to be looked at.
func (p *tab) keep(name string) {
	p.t.Helper()
	dir := os.Getenv("SYSPROF_TEST_PICTURES")
	if dir == "" {
		return
	}
	var picture struct{ Data string }
	check(p.t, json.Unmarshal(p.ask("Page.captureScreenshot", params{"format": "png", "captureBeyondViewport": true}), &picture))
	data, err := base64.StdEncoding.DecodeString(picture.Data)
	check(p.t, err)
	check(p.t, os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

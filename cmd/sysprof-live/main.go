// Command sysprof-live is the screen of sysprof --live: it has the terminal, and shows what sysprof tells it through a pipe
// (package report/live). Nobody but sysprof starts it.
//
// It is a program of its own for three reasons. The libraries that draw on terminals look up users in a way that needs cgo where
// there is a C compiler, which sysprof cannot have (see cmd/sysprof/internal/origin). A terminal that is slow, or stands still,
// makes this process wait and never the one that traces. And whichever of the two is killed, the other one puts the terminal
// back as it was.
//
// It reads descriptor 3, and writes a byte to descriptor 4 when it has given the terminal back as it was told to. It never
// stops, and never touches a terminal whose foreground its process group is not in, as after bg.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"

	"sysprof/cmd/sysprof-live/internal/screen"
	"sysprof/report/live"
)

const statusFailure = 1

// The descriptors that sysprof gives it.
const (
	fdMessages = 3
	fdAnswers  = 4
)

func main() {
	// sysprof decides what these do, which has a process group in common with this process.
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGUSR1)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(statusFailure)
	}
}

// run is the whole program. It returns nil when sysprof has no more to say, and when it was asked to quit, which sysprof
// understands by its end.
func run() error {
	unix.CloseOnExec(fdMessages)
	unix.CloseOnExec(fdAnswers)
	messages := os.NewFile(fdMessages, "messages")
	answers := os.NewFile(fdAnswers, "answers")
	reader, begin, err := live.NewReader(messages)
	if err != nil {
		return fmt.Errorf("sysprof-live shows what sysprof --live traces, which starts it: %w", err)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	v := &view{tty: tty, screen: screen.New(*begin), messages: make(chan *live.Message), over: make(chan os.Signal, 1)}
	signal.Notify(v.over, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		defer close(v.messages)
		for {
			m, err := reader.Next()
			if err != nil {
				return // sysprof has ended, however
			}
			v.messages <- m
		}
	}()
	for {
		end := v.awaitForeground()
		if end == nil {
			end = v.show()
		}
		switch {
		case errors.Is(end, errAside):
			if _, err := answers.Write([]byte{0}); err != nil {
				return nil // sysprof has ended
			}
			if !v.awaitBack() {
				return nil
			}
		case errors.Is(end, io.EOF):
			v.sayKilled()
			return nil
		case errors.Is(end, errQuit):
			return nil
		default:
			return end
		}
	}
}

// Why the terminal is given back, besides io.EOF.
var (
	errAside = errors.New("told to give the terminal back")
	errQuit  = errors.New("asked to quit")
)

// view is a screen and the terminal that it is on.
type view struct {
	tty      *os.File
	screen   *screen.Screen
	messages chan *live.Message // closed when there are no more
	over     chan os.Signal
}

// sayKilled says that sysprof was killed, if it was: whoever has the terminal by now, a shell, may have written its prompt on the screen
// that is gone.
func (v *view) sayKilled() {
	foreground, err := unix.IoctlGetInt(int(v.tty.Fd()), unix.TIOCGPGRP)
	if err == nil && foreground > 1 && foreground != unix.Getpgrp() {
		io.WriteString(v.tty, "\rsysprof was killed; if there is no prompt, press Enter\r\n")
	}
}

// awaitForeground waits until the terminal may be used, and takes messages meanwhile. It returns nil then.
func (v *view) awaitForeground() error {
	const often = 100 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		if foreground, err := unix.IoctlGetInt(int(v.tty.Fd()), unix.TIOCGPGRP); err != nil {
			return fmt.Errorf("the terminal: %w", err)
		} else if foreground == unix.Getpgrp() {
			return nil
		}
		select {
		case <-tick.C:
		case <-v.over:
			return errQuit
		case m, ok := <-v.messages:
			switch {
			case !ok:
				return io.EOF
			case m.Aside:
				return errAside
			}
			v.screen.Take(m)
		}
	}
}

// awaitBack takes messages until the terminal may be taken again. It reports false if there are no more.
func (v *view) awaitBack() bool {
	for m := range v.messages {
		if m.Back {
			return true
		}
		v.screen.Take(m)
	}
	return false
}

// show has the terminal, and returns why it has given that back.
func (v *view) show() error {
	const framesPerSecond = 20
	m := &model{screen: v.screen}
	p := tea.NewProgram(m, tea.WithInput(v.tty), tea.WithOutput(v.tty), tea.WithoutSignalHandler(), tea.WithFPS(framesPerSecond))
	done, told := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		continued := make(chan os.Signal, 1)
		signal.Notify(continued, syscall.SIGCONT)
		defer signal.Stop(continued)
		for {
			select {
			case <-done:
				return
			case <-continued: // who knows what is on the screen now
				p.Send(redraw{})
			case <-v.over:
				p.Send(leave{errQuit})
			case message, ok := <-v.messages:
				switch {
				case !ok:
					p.Send(leave{io.EOF})
					return
				case message.Aside:
					p.Send(leave{errAside})
					return
				}
				p.Send(message)
			}
		}
	}()
	_, err := p.Run()
	close(done)
	<-told
	if m.why != nil {
		return m.why
	}
	return fmt.Errorf("the terminal: %w", err)
}

// model is a screen for bubbletea.
type model struct {
	screen *screen.Screen
	why    error // it is left
}

// leave makes the program give the terminal back, and redraw makes it draw everything anew.
type (
	leave  struct{ why error }
	redraw struct{}
)

func (m *model) Init() tea.Cmd { return nil }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.screen.Resize(msg.Width, msg.Height)
	case *live.Message:
		m.screen.Take(msg)
	case tea.PasteMsg:
		m.screen.Type(msg.Content)
	case tea.KeyPressMsg:
		return m, m.grant(m.screen.Key(msg.String()))
	case leave:
		m.why = msg.why
		return m, tea.Quit
	case redraw:
		return m, tea.ClearScreen
	}
	return m, nil
}

// grant does what a key asks for. Of signals that the terminal would send, had they not become keys, sysprof is told as all of
// its process group: the command that it has launched is to get them as well.
func (m *model) grant(wish screen.Wish) tea.Cmd {
	switch wish {
	case screen.Quit:
		m.why = errQuit
		return tea.Quit
	case screen.Redraw:
		return tea.ClearScreen
	case screen.Interrupt:
		unix.Kill(0, unix.SIGINT)
	case screen.Abort:
		unix.Kill(0, unix.SIGQUIT)
	case screen.Suspend:
		unix.Kill(0, unix.SIGTSTP)
	}
	return nil
}

func (m *model) View() tea.View {
	v := tea.NewView(m.screen.String())
	v.AltScreen = true
	return v
}

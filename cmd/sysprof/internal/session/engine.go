package session

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/inkernel"
	"sysprof/profile/stack/capture"
)

// Engine sees the calls of what is traced. It is started once.
type Engine interface {
	// Can says what may be asked of it.
	Can() Abilities

	// Start begins to trace, and returns when it has begun. What it sees goes to sink. entered, if it is not nil,
	// is called at every entry-stop, for as long as which the thread stands still; what it
	// returns becomes the call's Stack. It may set the call's Unwanted.
	Start(sink profile.Sink, entered Entered) error

	// Stop ends the counting. Whatever is traced goes on untraced as soon as it can. It does not wait for that.
	Stop()
	// Counted is closed when nothing more will be handed to the sink.
	Counted() <-chan struct{}
	// Done is closed when nothing is traced any more. It may be long after Counted.
	Done() <-chan struct{}

	Progress() Progress
	// RunsOn is a process that cannot go on for long while this process is stopped, and is not stopped itself, the launched
	// command if that is one; 0 if there is none.
	RunsOn() (pid int)
	// StopBy stops this process by a signal, if nothing runs on, and still says so when the signal is on its way. It
	// returns when the process goes on.
	StopBy(sig syscall.Signal, still func() bool)

	// Model says what tracing adds to calls. It is settled before the first call is seen.
	Model() cost.Model
	// Warnings are those so far. The error is what ended the run, nil if it ended by itself or by Stop.
	Warnings() ([]profile.Warning, error)

	// Launched is the command that the engine has launched, nil if there is none. It may be asked for when Start
	// has failed.
	Launched() Launched
}

// Grower is an engine that can attach to more processes during a run.
type Grower interface {
	// Attach attaches to one, and returns to how many of its threads: to none if it is traced already, or the run is over.
	// It is called by one goroutine.
	Attach(pid int) (threads int, err error)
	// NoMore says that it will not be asked to any more. Until then the run goes on when nothing is traced.
	NoMore()
}

// Drawer is an engine that draws calls at random, and copies their stacks.
type Drawer interface {
	// Draw is called before Start. Each drawn call is handed to drawn; what that is given is valid only until it returns. It
	// returns whether the stack was longer than what was copied. None are copied if stacks is false.
	Draw(stacks bool, drawn func(*inkernel.Drawn) (short bool)) error
}

// Entered is told of a thread that stands at its entry-stop, of its program counter and stack pointer. It
// returns the number of the thread's stack, or 0.
type Entered func(c *profile.Call, ip, sp uint64, thread capture.Thread) uint32

// Abilities are what an engine can do.
type Abilities struct {
	SingleCalls bool // it hands over each call; otherwise only rows
	Stacks      bool // it stops threads at the entry of their calls
	Groups      bool // it adds calls up by whose they are (profile.GroupSink)
	Draws       bool // it is a Drawer
	TellsSlow   bool // it finds slow calls by itself (finder)
}

// Progress is how far a run is.
type Progress struct {
	Start     time.Time     // when its clock stood at 0
	Elapsed   time.Duration // how long it has been traced, or was traced until the end
	Processes int           // traced now
	Threads   int           // of them
	Seen      int           // threads that have been traced so far
}

// Launched is the command that an engine has launched.
type Launched interface {
	PID() int
	// Ended is closed when the command itself has ended, whoever else is still traced, as far as that was seen.
	Ended() <-chan struct{}
	// Status is the command's wait status, if its end was seen.
	Status() (status unix.WaitStatus, ended bool)
	// PassOn gives the command a signal that this process got at that time, unless the command got it as well,
	// or blocks it. It may take up to a second.
	PassOn(sig syscall.Signal, at time.Time)
	// Await waits for the end of a command that is not traced any more, and passes on signals meanwhile. It
	// reports false if this process is not told of the end.
	Await(signals <-chan os.Signal) (status unix.WaitStatus, ended bool)
}

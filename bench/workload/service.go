package workload

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"sysprof/bench/process"
)

// The longest that the parts of a service may take.
const (
	startBound = 20 * time.Second // until a server answers, or 1,000 threads exist
	loadBound  = 60 * time.Second // for a load that takes a second untraced
	stopBound  = 10 * time.Second
)

// server is a program that listens on the loopback interface, with the load for it.
type server struct {
	main *process.Process
	end  syscall.Signal
	load func(context.Context) (Sample, error)
}

// startServer starts a server and waits until ready reports true. A nil ready means that it waits until
// the server answers on the port. The standard output of the server is thrown away.
func startServer(ctx context.Context, spec process.Spec, port int, end syscall.Signal, ready func(pid int) bool) (*server, error) {
	spec.Discard = true
	main, err := process.Start(spec)
	if err != nil {
		return nil, err
	}
	err = process.Until(ctx, spec.Words[0]+" answers", startBound, func() bool {
		return main.Ended() || ready != nil && ready(main.Pid) || ready == nil && process.Listening(port)
	})
	if err == nil && main.Ended() {
		_, stderr := main.Output()
		err = fmt.Errorf("%s ended at once: %s", spec.Words[0], stderr)
	}
	if err != nil {
		main.Kill()
		return nil, err
	}
	return &server{main: main, end: end}, nil
}

func (s *server) Pids() []int { return process.Family(s.main.Pid) }

// firstOf is a service of whose processes only the first one is attached to.
type firstOf struct{ Service }

func (f firstOf) Pids() []int { return f.Service.Pids()[:1] }

func (s *server) Load(ctx context.Context) (Sample, error) { return s.load(ctx) }

func (s *server) Stop() error { return s.main.Stop(s.end, stopBound) }

// client runs a program that puts a server under load, and returns what it prints.
func client(ctx context.Context, words ...string) (string, error) {
	path, err := Find(words[0])
	if err != nil {
		return "", err
	}
	words[0] = path
	p, err := process.Run(ctx, process.Spec{Words: words}, loadBound)
	if err != nil {
		return "", err
	}
	out, _ := p.Output()
	return out, nil
}

// command returns the words of a command, with the path of its program if Find finds it.
func command(words ...string) []string {
	if path, err := Find(words[0]); err == nil {
		words[0] = path
	}
	return words
}

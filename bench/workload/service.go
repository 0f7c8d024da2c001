package workload

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"sysprof/bench/process"
)

// The bounds of what a service does.
const (
	startBound = 20 * time.Second // a server answers, 1,000 threads exist
	loadBound  = 60 * time.Second // a load that should take a second
	stopBound  = 10 * time.Second
)

// server is a program that listens on the loopback interface, and the load that goes with it.
type server struct {
	main *process.Process
	end  syscall.Signal
	load func(context.Context) (Sample, error)
}

// startServer starts a server and waits until ready says that it is, or, where that is nil, until it
// answers on the port. What it writes to its standard output is thrown away.
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
		_, complaint := main.Output()
		err = fmt.Errorf("%s ended at once: %s", spec.Words[0], complaint)
	}
	if err != nil {
		main.Kill()
		return nil, err
	}
	return &server{main: main, end: end}, nil
}

func (s *server) Pids() []int { return process.Family(s.main.Pid) }

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

// command is a program of the server's, found in the places of servers.
func command(words ...string) []string {
	if path, err := Find(words[0]); err == nil {
		words[0] = path
	}
	return words
}

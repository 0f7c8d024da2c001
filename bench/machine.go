package main

import (
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine says where, when and with what bench measured.
type machine struct {
	Time     time.Time `json:"time"`
	CPUModel string    `json:"cpu_model"`
	CPUs     int       `json:"cpus"`
	CPU      int       `json:"pinned_to_cpu"`
	Kernel   string    `json:"kernel"`
	GOARCH   string    `json:"goarch"`
	Go       string    `json:"go"`
	Target   string    `json:"getppid_target"` // what the getppid loop is written in
	Tracers  []string  `json:"tracers"`        // their versions
}

func describeMachine(tracers []tracer, k *toolkit, cpu int) machine {
	m := machine{
		Time:   time.Now().UTC().Truncate(time.Second),
		CPUs:   runtime.NumCPU(),
		CPU:    cpu,
		GOARCH: runtime.GOARCH,
		Go:     runtime.Version(),
		Target: "C",
	}
	if k.whyNoC != "" {
		m.Target = "Go"
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	m.CPUModel = cpuModel(string(cpuinfo))
	var uname unix.Utsname
	if unix.Uname(&uname) == nil {
		m.Kernel = unix.ByteSliceToString(uname.Sysname[:]) + " " + unix.ByteSliceToString(uname.Release[:])
	}
	for _, t := range tracers {
		if t.version != "" {
			m.Tracers = append(m.Tracers, t.version)
		}
	}
	return m
}

// cpuModel returns the name of the processor in /proc/cpuinfo. On arm64 that file has none.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func firstLineOf(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

package report

import "time"

// Meta says what a snapshot is of: when, where and by what it was measured. It goes into the formats for
// machines. Fields that are not known are zero.
type Meta struct {
	Version string   `json:"sysprof_version,omitempty"` // of the sysprof that measured
	Command []string `json:"command,omitempty"`         // that was launched, with its arguments
	PIDs    []int    `json:"pids,omitempty"`            // that were attached to

	Start    time.Time     `json:"start,omitzero"`        // of tracing
	Duration time.Duration `json:"duration_ns,omitempty"` // of tracing

	Host   string `json:"host,omitempty"`
	Kernel string `json:"kernel,omitempty"` // release: "6.18.5"
	Arch   string `json:"arch,omitempty"`   // machine: "x86_64"
	CPUs   int    `json:"cpus,omitempty"`   // that the tracer could use
}

package inkernel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Refused is that the kernel does not let this process count, for a reason that is none of what it was asked for: package
// ptrace may do instead.
type Refused struct {
	Why string // a sentence without a full stop
	Err error  // what the kernel said; nil if it was not asked
}

func (r *Refused) Error() string {
	if r.Err == nil {
		return r.Why
	}
	return fmt.Sprintf("%s (%v)", r.Why, r.Err)
}

func (r *Refused) Unwrap() error { return r.Err }

// The oldest kernel that has all it takes: bpf_task_pt_regs came last.
const oldestMajor, oldestMinor = 5, 15

// The bits of capabilities (include/uapi/linux/capability.h).
const (
	capSysAdmin = 21
	capPerfmon  = 38
	capBPF      = 39
)

// circumstances is what may keep a process from counting.
type circumstances struct {
	release      string // of the kernel
	btf          bool   // it describes its types
	capabilities uint64
	userRoot     bool   // the process is in the first user namespace
	filtered     bool   // it has a seccomp filter
	lockdown     string // "confidentiality", ...; "": none
}

func lookAround() (c circumstances) {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		c.release = unix.ByteSliceToString(u.Release[:])
	}
	_, err := os.Stat("/sys/kernel/btf/vmlinux")
	c.btf = !errors.Is(err, fs.ErrNotExist)
	status, _ := os.ReadFile("/proc/self/status")
	c.capabilities, _ = strconv.ParseUint(field(status, "CapEff"), 16, 64)
	c.filtered = field(status, "Seccomp") == "2"
	uids, err := os.ReadFile("/proc/self/uid_map")
	c.userRoot = err != nil || strings.Join(strings.Fields(string(uids)), " ") == "0 0 4294967295"
	lockdown, _ := os.ReadFile("/sys/kernel/security/lockdown")
	if _, chosen, ok := bytes.Cut(lockdown, []byte("[")); ok {
		chosen, _, _ = bytes.Cut(chosen, []byte("]"))
		if c.lockdown = string(chosen); c.lockdown == "none" {
			c.lockdown = ""
		}
	}
	return c
}

// field returns the value of a line of /proc/PID/status.
func field(status []byte, name string) string {
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte(name+":")); ok {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// foreseen is what is known without having asked the kernel.
func (c *circumstances) foreseen() *Refused {
	var major, minor int
	if n, _ := fmt.Sscanf(c.release, "%d.%d", &major, &minor); n == 2 && (major < oldestMajor || major == oldestMajor && minor < oldestMinor) {
		return &Refused{Why: fmt.Sprintf("counting in the kernel takes Linux %d.%d or newer, and this is %s", oldestMajor, oldestMinor, c.release)}
	}
	return nil
}

// explain says why loading or attaching has failed.
func (c *circumstances) explain(err error) error {
	refused := func(why string) error { return &Refused{why, errnoOf(err)} }
	has := func(capability uint) bool { return c.capabilities>>capability&1 != 0 }
	switch {
	case errors.Is(err, unix.ENOSYS):
		return refused("this kernel is built without BPF, which counting in the kernel takes")
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES) && !isVerifier(err):
		switch {
		case !has(capSysAdmin) && !(has(capBPF) && has(capPerfmon)):
			return refused("counting in the kernel takes root, or the capabilities CAP_BPF and CAP_PERFMON")
		case !c.userRoot:
			return refused("counting in the kernel takes root outside of containers: who is root in a user namespace only may not load programs into the kernel")
		case c.lockdown != "":
			return refused("counting in the kernel is kept from loading programs by the kernel's lockdown=" + c.lockdown)
		case c.filtered:
			return refused("counting in the kernel is kept from using bpf(2) by a seccomp filter, as a container's is")
		}
		return refused("this kernel does not permit to load programs that count, for a reason that it does not say")
	case !c.btf:
		return &Refused{Why: "counting in the kernel takes a kernel that describes its types (CONFIG_DEBUG_INFO_BTF), and there is no /sys/kernel/btf/vmlinux"}
	case errors.Is(err, unix.ENOMEM):
		return refused("there is not enough memory for what counting in the kernel keeps there, as far as this control group may use it")
	case isVerifier(err):
		return refused("this kernel's verifier does not accept the programs that count: " + lastLine(err))
	case errors.Is(err, ebpf.ErrNotSupported):
		return refused("this kernel lacks something that counting in the kernel takes")
	}
	return fmt.Errorf("count in the kernel: %w", err)
}

// errnoOf is the errno in an error alone, without words that the library puts around it: its advice on MEMLOCK is about
// older kernels.
func errnoOf(err error) error {
	if errno := unix.Errno(0); errors.As(err, &errno) {
		return errno
	}
	return err
}

func isVerifier(err error) bool {
	var v *ebpf.VerifierError
	return errors.As(err, &v) && len(v.Log) > 0
}

// lastLine is the verifier's verdict.
func lastLine(err error) string {
	var v *ebpf.VerifierError
	errors.As(err, &v)
	for i := len(v.Log) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(v.Log[i]); line != "" && !strings.HasPrefix(line, "processed ") {
			return line
		}
	}
	return v.Error()
}

package inkernel

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Each way to be refused has its sentence.
func TestRefusals(t *testing.T) {
	fine := circumstances{release: "6.12.1", btf: true, capabilities: 1<<capSysAdmin | 1<<capBPF | 1<<capPerfmon, userRoot: true}
	with := func(change func(c *circumstances)) circumstances {
		c := fine
		change(&c)
		return c
	}
	memlock := fmt.Errorf("load program: %w (MEMLOCK may be too low, consider rlimit.RemoveMemlock)", unix.EPERM)
	seen := make(map[string]bool)
	for _, tt := range []struct {
		name string
		c    circumstances
		err  error
		want string
	}{
		{"no BPF", fine, unix.ENOSYS, "this kernel is built without BPF"},
		{"no capability", with(func(c *circumstances) { c.capabilities = 0 }), memlock, "takes root, or the capabilities CAP_BPF and CAP_PERFMON"},
		{"one capability", with(func(c *circumstances) { c.capabilities = 1 << capBPF }), memlock, "takes root, or the capabilities CAP_BPF and CAP_PERFMON"},
		{"a container's root", with(func(c *circumstances) { c.userRoot = false }), memlock, "takes root outside of containers"},
		{"lockdown", with(func(c *circumstances) { c.lockdown = "confidentiality" }), memlock, "lockdown=confidentiality"},
		{"seccomp", with(func(c *circumstances) { c.filtered = true }), memlock, "a seccomp filter"},
		{"for no reason", fine, memlock, "for a reason that it does not say"},
		{"no BTF", with(func(c *circumstances) { c.btf = false }), ebpf.ErrNotSupported, "no /sys/kernel/btf/vmlinux"},
		{"no memory", fine, unix.ENOMEM, "not enough memory"},
		{"the verifier", fine, &ebpf.VerifierError{Cause: unix.EACCES, Log: []string{"0: exit", "R0 !read_ok", "processed 1 insns"}}, "R0 !read_ok"},
		{"something is missing", fine, ebpf.ErrNotSupported, "lacks something"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.c.explain(tt.err)
			var refused *Refused
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "MEMLOCK") {
				t.Errorf("%v\nwant %q", err, tt.want)
			}
			seen[err.Error()] = true
		})
	}
	if err := fine.explain(unix.EIO); errors.As(err, new(*Refused)) {
		t.Errorf("%v is taken for a refusal", err)
	}
	for release, old := range map[string]bool{"5.10.0-30-amd64": true, "4.19": true, "5.14.21": true, "5.15.0": false, "6.1.0": false, "odd": false} {
		c := circumstances{release: release}
		if refused := c.foreseen(); (refused != nil) != old {
			t.Errorf("%s: %v", release, refused)
		}
	}
}

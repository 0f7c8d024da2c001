package drive

import (
	"strings"
	"testing"

	"sysprof/syscalltab/needs"
)

// CountsInKernel demands that the kernel lets sysprof count.
func CountsInKernel(t *testing.T) {
	t.Helper()
	o := Run(t, Plain(t, "--engine=kernel", "-q", "/bin/true"))
	needs.That(t, o.Status == 0, "a kernel that lets programs count", strings.TrimSpace(o.Stderr))
}

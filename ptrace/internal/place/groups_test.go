package place

import (
	"slices"
	"testing"
)

func TestGroupsToLeave(t *testing.T) {
	const (
		unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
		hybrid  = "29 22 0:26 / /sys/fs/cgroup ro,nosuid shared:4 - tmpfs tmpfs ro,mode=755\n" +
			"30 29 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:5 - cgroup2 cgroup2 rw\n" +
			"31 29 0:28 / /sys/fs/cgroup/systemd rw,nosuid shared:6 - cgroup cgroup rw,xattr,name=systemd\n" +
			"32 29 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:7 - cgroup cgroup rw,cpu,cpuacct\n"
		inner = "30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	)
	for _, test := range []struct {
		name, groups, mounts string
		want                 []string
	}{
		{"unified", "0::/system.slice/a.service\n", unified, []string{"/sys/fs/cgroup"}},
		{"in the root", "0::/\n", unified, nil},
		{"a container's own root", "0::/\n", inner, nil},
		{"only a part is mounted", "0::/a\n", inner, nil},
		{"a path with colons", "0::/a:b/c\n", unified, []string{"/sys/fs/cgroup"}},
		{"hybrid", "4:cpu,cpuacct:/a\n1:name=systemd:/user.slice/a.scope\n0::/user.slice/a.scope\n", hybrid,
			[]string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"}},
		{"hybrid, one in the root", "4:cpu,cpuacct:/a\n1:name=systemd:/\n0::/a\n", hybrid, []string{"/sys/fs/cgroup/unified"}},
		{"no cgroups", "", unified, nil},
		{"not mounted", "0::/a\n", "", nil},
		{"nonsense", "0:/a\n\n:::\n", "1 2\n - cgroup2\n - \n", nil},
	} {
		if got := groupsToLeave(test.groups, test.mounts); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

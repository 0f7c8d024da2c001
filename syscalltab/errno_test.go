package syscalltab

import "testing"

func TestErrno(t *testing.T) {
	tests := []struct {
		n    int
		want string
	}{
		{1, "EPERM"},
		{2, "ENOENT"},
		{11, "EAGAIN"},
		{35, "EDEADLK"},
		{95, "EOPNOTSUPP"},
		{133, "EHWPOISON"},
		{512, "ERESTARTSYS"},
		{513, "ERESTARTNOINTR"},
		{514, "ERESTARTNOHAND"},
		{515, "ENOIOCTLCMD"},
		{516, "ERESTART_RESTARTBLOCK"},
		{530, "ERECALLCONFLICT"},
		{0, "errno_0"},
		{41, "errno_41"},
		{4000, "errno_4000"},
		{-2, "errno_-2"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := Errno(tt.n); got != tt.want {
				t.Errorf("Errno(%d) = %q, want %q", tt.n, got, tt.want)
			}
		})
	}
}

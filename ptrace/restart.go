package ptrace

// The kernel's own errnos for a call that is to be restarted after a signal (include/linux/errno.h).
// Programs never see them, tracers do.
const (
	errRestartSys    = 512
	errRestartNoIntr = 513
	errRestartNoHand = 514
	errRestartBlock  = 516
)

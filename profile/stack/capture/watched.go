package capture

// A filter in the kernel may leave out calls; these are the ones that must not be left out, whether they are
// counted or not. Capturer.Finished, Capturer.Ended, Labels.Finished and Labels.Ended look at them.

// WatchedForStacks names the calls that a Capturer has to see: those that change mappings, and those that
// end a process, whose number may be given to another one.
func WatchedForStacks() []string {
	return []string{"mmap", "mmap2", "mprotect", "munmap", "mremap", "execve", "execveat", "exit", "exit_group"}
}

// WatchedForLabels names the calls that Labels have to see: those that change what a descriptor is or what a
// thread is called, and those that end one.
func WatchedForLabels() []string {
	return []string{"close", "close_range", "dup2", "dup3", "bind", "connect", "listen", "execve", "execveat",
		"prctl", "exit", "exit_group"}
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

var (
	errCommandNotFound = errors.New("command not found")
	errNotExecutable   = errors.New("cannot be executed")
)

// command builds what is to be launched, nil if nothing is.
func (p *process) command(opt *options) (*ptrace.Command, error) {
	if len(opt.command) == 0 {
		return nil, nil
	}
	path, err := findCommand(opt.command[0])
	if err != nil {
		return nil, err
	}
	c := &ptrace.Command{
		Path:   path,
		Args:   slices.Clone(opt.command),
		Env:    changedEnv(p.environment(), opt.env),
		Origin: p.origin,
	}
	if opt.argv0 != nil {
		c.Args[0] = *opt.argv0
	}
	if opt.user != "" {
		if c.User, err = findUser(opt.user); err != nil {
			return nil, fmt.Errorf("-u %s: %w", opt.user, err)
		}
	}
	return c, nil
}

// findCommand finds name as execvp(3) would.
func findCommand(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil, errors.Is(err, exec.ErrDot):
		return path, nil
	case errors.Is(err, fs.ErrNotExist) && strings.Contains(name, "/"):
		return "", fmt.Errorf("%s: %w: no such file", name, errCommandNotFound)
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("%s: %w in $PATH", name, errCommandNotFound)
	}
	cause := err
	if e := (*exec.Error)(nil); errors.As(err, &e) {
		cause = e.Err
	}
	return "", fmt.Errorf("%s: %w: %v", name, errNotExecutable, cause)
}

// environment returns the environment that this process was executed with. os.Environ leaves out entries
// that are empty, and all but the first of one name.
func (p *process) environment() []string {
	if data, err := os.ReadFile("/proc/self/environ"); p.own && err == nil && len(data) > 0 {
		return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	}
	return os.Environ()
}

// explainLaunch adds to an error of Start what may be done about it, as far as it is about the command.
func explainLaunch(err error, opt *options) error {
	var failed *ptrace.ExecError
	var attach *ptrace.AttachError
	switch {
	case errors.As(err, &failed) && errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%w: it is neither a program for this machine nor a script that begins with #! (try sh %s)", err, failed.Path)
	case errors.As(err, &failed) && errors.Is(err, unix.ENOENT) && exists(failed.Path):
		return fmt.Errorf("%w: it is there, but the interpreter that it names is not", err)
	case failed == nil && opt.user != "" && errors.Is(err, unix.EPERM) && !errors.As(err, &attach) && os.Geteuid() == 0:
		return fmt.Errorf("%w: -u needs CAP_SETUID and CAP_SETGID, which root has not got here", err)
	case failed == nil && opt.user != "" && errors.Is(err, unix.EPERM) && !errors.As(err, &attach):
		return fmt.Errorf("%w: only root may use -u (CAP_SETUID and CAP_SETGID)", err)
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// losesPrivileges returns a warning if the command is one that the kernel gives its privileges only
// while it is not traced by somebody who has not got them (execve(2), "set-user-ID").
func losesPrivileges(c *ptrace.Command, engine *engineChoice) []profile.Warning {
	if c == nil || engine.name == byKernel || os.Geteuid() == 0 {
		return nil
	}
	if info, err := os.Stat(c.Path); err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return []profile.Warning{{Kind: profile.PrivilegesLost, Text: c.Path}}
	}
	return nil
}

// changedEnv applies -E: "NAME=value" sets, "NAME" unsets.
func changedEnv(env, changes []string) []string {
	for _, change := range changes {
		name, _, set := strings.Cut(change, "=")
		env = slices.DeleteFunc(env, func(entry string) bool {
			return strings.HasPrefix(entry, name+"=")
		})
		if set {
			env = append(env, change)
		}
	}
	return env
}

// findUser resolves the argument of -u: a name, or UID:GID, which is not looked up.
//
// It reads passwd(5) and group(5) itself, because os/user needs cgo where a C compiler is
// installed, which package origin rules out. Where the files do not know a name (LDAP and the
// like), UID:GID still serves.
func findUser(name string) (*ptrace.Credential, error) {
	if uid, gid, ok := strings.Cut(name, ":"); ok {
		u, err1 := strconv.ParseUint(uid, 10, 32)
		g, err2 := strconv.ParseUint(gid, 10, 32)
		if err1 != nil || err2 != nil {
			return nil, errors.New("want a user name or UID:GID in numbers")
		}
		return &ptrace.Credential{UID: uint32(u), GID: uint32(g), Groups: []uint32{uint32(g)}}, nil
	}
	var user *ptrace.Credential
	err := eachEntry("/etc/passwd", func(f []string) {
		if user == nil && len(f) >= 4 && f[0] == name {
			u, err1 := strconv.ParseUint(f[2], 10, 32)
			g, err2 := strconv.ParseUint(f[3], 10, 32)
			if err1 == nil && err2 == nil {
				user = &ptrace.Credential{UID: uint32(u), GID: uint32(g), Groups: []uint32{uint32(g)}}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if user == nil {
		return nil, errors.New("no such user in /etc/passwd; UID:GID works without an entry")
	}
	err = eachEntry("/etc/group", func(f []string) {
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), name) {
			return
		}
		if g, err := strconv.ParseUint(f[2], 10, 32); err == nil && !slices.Contains(user.Groups, uint32(g)) {
			user.Groups = append(user.Groups, uint32(g))
		}
	})
	return user, err
}

// eachEntry calls f with the fields of every line of a file like passwd(5).
func eachEntry(path string, f func(fields []string)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		f(strings.Split(lines.Text(), ":"))
	}
	return lines.Err()
}

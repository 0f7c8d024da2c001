package report

import (
	"sysprof/profile"
	"sysprof/profile/stack/symbol"
)

// What follows is for package page, which shows the same as the tables and the notes under them.

// CallName names a call, and its ABI where that is not the one a reader assumes.
func CallName(k profile.Key) string { return callName(k) }

// Line says what was traced, where and when, in a line; it is empty if that is not known.
func (m *Meta) Line() string { return m.line() }

// WhoOf is who a group is.
func WhoOf(g *profile.Group) string { return whoOf(g) }

// CommandLine is a command as it would be typed into a shell, in one line.
func CommandLine(words []string) string { return commandLine(words) }

// FunctionOf is the name that a call has as the innermost function of stacks.
func FunctionOf(k profile.Key) string { return "sys_" + k.ABI.Name(k.Nr) }

// FramesOf returns the frames of a sample's stack, the innermost first. find finds those that were captured.
func FramesOf(stack uint32, find func(id uint32) []*symbol.Location) []*symbol.Location {
	if frames, ok := standIns[stack]; ok {
		return frames
	}
	return find(stack)
}

package capture

import (
	"context"
	"testing"

	"sysprof/profile/stack"
	"sysprof/profile/stack/symbol"
)

// TestHowAStackEnded is the name of its outermost frame, unless it is whole. Reasons that a reader need not tell from
// each other make no stacks of their own.
func TestHowAStackEnded(t *testing.T) {
	c := New(false, 0)
	defer c.Close()
	s := mapped(t, c, pid)
	ids := make(map[stack.Reason]uint32)
	for end, want := range map[stack.Reason]string{
		stack.Bottom:    "",
		stack.Truncated: "[truncated]",
		stack.Unread:    "[unread]",
		stack.NoInfo:    "[incomplete]",
		stack.BadMemory: "[incomplete]",
		stack.Stuck:     "[incomplete]",
		stack.Unmapped:  "[incomplete]",
	} {
		id := c.store.add(s, stack.Stack{Frames: []uint64{0x10, 0x20}, End: end})
		ids[end] = id
		located := c.Locate(context.Background(), []uint32{id}, symbol.Options{})[id]
		if want == "" {
			equal(t, "frames of a whole stack", len(located), 2)
			continue
		}
		equal(t, "frames after "+end.String(), len(located), 3)
		equal(t, "outermost after "+end.String(), located[len(located)-1].Lines[0].Function, want)
	}
	equal(t, "stack that is stuck", ids[stack.Stuck], ids[stack.Unmapped])
	if ids[stack.Bottom] == ids[stack.NoInfo] {
		t.Error("a whole stack is one that is not")
	}
}

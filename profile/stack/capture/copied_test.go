package capture

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"sysprof/profile/stack"
)

// Copies may have anything in them.
func TestCopiesOfAnything(t *testing.T) {
	if !supported {
		t.Skip("there is no unwinder for this machine")
	}
	random := rand.New(rand.NewPCG(3, 4))
	c := New(false, 0)
	defer c.Close()
	space := mapped(t, c, pid)
	var inside []uint64
	for addr := uint64(0); len(inside) < 100; addr = random.Uint64() >> 16 {
		if m, ok := space.Mapping(addr); ok {
			inside = append(inside, m.Start+random.Uint64N(m.End-m.Start))
		}
		if len(inside) == 0 || random.IntN(4) == 0 { // this function's own code is in one of them
			inside = append(inside, ownCode()+random.Uint64N(1<<20))
		}
	}
	word := func() uint64 {
		switch random.IntN(4) {
		case 0:
			return inside[random.IntN(len(inside))]
		case 1:
			return ^uint64(0) - random.Uint64N(64)
		case 2:
			return random.Uint64N(64)
		}
		return random.Uint64()
	}
	begun := time.Now()
	for range 3000 {
		copied := Copy{PID: pid, Program: Program{Number: 1}, IP: word(), Stack: make([]byte, random.IntN(40<<10)), StackAt: word(),
			Beyond: make([]byte, random.IntN(8<<10)), BeyondAt: word(), Narrow: random.IntN(8) == 0}
		for i := range copied.Registers {
			copied.Registers[i] = word()
		}
		copied.Registers[stackPointer] = copied.StackAt
		for i := 0; i+8 <= len(copied.Stack); i += 8 {
			for b, w := 0, word(); b < 8; b++ {
				copied.Stack[i+b] = byte(w >> (8 * b))
			}
		}
		c.Copied(&copied)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("they took %v", took)
	}
}

func ownCode() uint64 {
	maps, _ := os.ReadFile("/proc/self/maps")
	all, _ := stack.AppendMaps(nil, maps)
	for _, m := range all {
		if m.Exec {
			return m.Start
		}
	}
	return 0
}

// Another program of a process has other mappings, and one of a process that has ended has those that it is known to have had.
func TestCopiesOfPrograms(t *testing.T) {
	if !supported {
		t.Skip("there is no unwinder for this machine")
	}
	c := New(false, 0)
	defer c.Close()
	const nobody = 1 << 30 // above any process's number
	copied := Copy{PID: nobody, Program: Program{Started: 1}, IP: ownCode() + 64}
	if number, _ := c.Copied(&copied); number != 0 || c.Gone() != 1 {
		t.Errorf("a process that is not there has stack %d, %d are gone", number, c.Gone())
	}
	copied.Program.Number++
	copied.Maps = func() []byte {
		text, _ := os.ReadFile("/proc/self/maps")
		return executable(text)
	}
	if number, _ := c.Copied(&copied); number == 0 || c.Gone() != 1 {
		t.Errorf("its mappings are known, but it has stack %d, %d are gone", number, c.Gone())
	}
	copied.PID, copied.Parent, copied.Maps = nobody+1, nobody, nil
	if number, _ := c.Copied(&copied); number == 0 || c.Gone() != 1 {
		t.Errorf("its parent's mappings are known, but it has stack %d, %d are gone", number, c.Gone())
	}
	copied.Program.Number++ // it has executed something else
	if number, _ := c.Copied(&copied); number != 0 || c.Gone() != 2 {
		t.Errorf("another program has stack %d, %d are gone", number, c.Gone())
	}
}

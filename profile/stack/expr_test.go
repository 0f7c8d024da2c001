package stack

import "testing"

// expressions are evaluated with the registers and the memory of exprWalk.
var expressions = map[string]struct {
	expr []byte
	want uint64
	fail bool
}{
	"literal":        {expr: []byte{opLit0 + 31}, want: 31},
	"register":       {expr: []byte{opBreg0 + AMD64R10, 0x7f}, want: 6},
	"regx":           {expr: []byte{opBregx, AMD64R10, 0x80, 0x01}, want: 7 + 128},
	"deref":          {expr: []byte{opBreg0 + AMD64Rsp, 0, opDeref}, want: 0x0807060504030201},
	"deref 2":        {expr: []byte{opBreg0 + AMD64Rsp, 14, opDerefSize, 2}, want: 0x100f},
	"constants":      {expr: []byte{opConst1s, 0xff, opConst2u, 0xfe, 0xff, opPlus, opConst4s, 1, 0, 0, 0, opMinus, opConstu, 2, opMul, opConsts, 0x7e, opPlus}, want: 2*(0xfffc) - 2},
	"PLT":            {expr: []byte{opBreg0 + AMD64Rsp, 8, opBreg0 + 16, 0, opLit0 + 15, opAnd, opLit0 + 11, opGe, opLit0 + 3, opShl, opPlus}, want: 0x1008},
	"branch":         {expr: []byte{opLit0 + 1, opBra, 1, 0, opLit0 + 9, opLit0 + 5}, want: 5},
	"swap over pick": {expr: []byte{opLit0 + 1, opLit0 + 2, opLit0 + 3, opRot, opSwap, opOver, opPick, 1, opMinus}, want: 1},
	"signed":         {expr: []byte{opLit0 + 1, opNeg, opLit0 + 2, opLt}, want: 1},
	"loop":           {expr: []byte{opSkip, 0xfd, 0xff}, fail: true},
	"backwards":      {expr: []byte{opSkip, 0, 0x80}, fail: true},
	"far":            {expr: []byte{opSkip, 0xff, 0x7f}, fail: true},
	"empty":          {fail: true},
	"underflow":      {expr: []byte{opLit0, opPlus}, fail: true},
	"overflow":       {expr: []byte{opLit0, opLit0, opDup, opSkip, 0xfc, 0xff}, fail: true},
	"divide by 0":    {expr: []byte{opLit0, opLit0, opDiv}, fail: true},
	"unmapped":       {expr: []byte{opLit0, opDeref}, fail: true},
	"unknown":        {expr: []byte{0xff}, fail: true},
	"cut short":      {expr: []byte{opConst8u, 1}, fail: true},
}

func exprWalk() *walk {
	w := &walk{a: &archs[AMD64], win: new(Window)}
	w.win.Reset(nil, 0x1000, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	w.val[AMD64Rsp] = 0x1000
	w.val[AMD64R10] = 7
	return w
}

func TestExpressions(t *testing.T) {
	w := exprWalk()
	for name, c := range expressions {
		var x exprMachine
		got, ok := x.eval(c.expr, w, 0)
		if ok == c.fail || ok && got != c.want {
			t.Errorf("%s: %#x, %v; want %#x", name, got, ok, c.want)
		}
	}
}

func TestLEB128(t *testing.T) {
	for _, c := range []struct {
		b      []byte
		u      uint64
		s      int64
		length int
	}{
		{[]byte{2}, 2, 2, 1},
		{[]byte{0x7f}, 127, -1, 1},
		{[]byte{0x80, 1}, 128, 128, 2},
		{[]byte{0x80, 0x7f}, 16256, -128, 2},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 1<<64 - 1, -1, 10},
		{[]byte{0x80}, 0, 0, 0},
		{nil, 0, 0, 0},
	} {
		if v, n := uleb(c.b); v != c.u || n != c.length {
			t.Errorf("uleb %x: %d, %d", c.b, v, n)
		}
		if v, n := sleb(c.b); v != c.s || n != c.length {
			t.Errorf("sleb %x: %d, %d", c.b, v, n)
		}
	}
}

// FuzzExpressions: whatever an expression does, it ends, and says the same when it is evaluated again.
func FuzzExpressions(f *testing.F) {
	for _, c := range expressions {
		f.Add(c.expr, uint64(0), uint64(0x1000))
	}
	f.Fuzz(func(t *testing.T, expr []byte, bias, initial uint64) {
		var x exprMachine
		first, ok := x.eval(expr, exprWalk(), bias, initial)
		again, okAgain := x.eval(expr, exprWalk(), bias, initial)
		if first != again || ok != okAgain {
			t.Errorf("%#x, %v, and then %#x, %v", first, ok, again, okAgain)
		}
		if x.depth < 0 || x.depth > maxExprStack {
			t.Errorf("%d values are on the stack", x.depth)
		}
	})
}

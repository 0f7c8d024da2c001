package stack

// DWARF expression operations (DWARF 5, 7.7.1) that call frame information may use.
const (
	opAddr       = 0x03
	opDeref      = 0x06
	opConst1u    = 0x08
	opConst1s    = 0x09
	opConst2u    = 0x0a
	opConst2s    = 0x0b
	opConst4u    = 0x0c
	opConst4s    = 0x0d
	opConst8u    = 0x0e
	opConst8s    = 0x0f
	opConstu     = 0x10
	opConsts     = 0x11
	opDup        = 0x12
	opDrop       = 0x13
	opOver       = 0x14
	opPick       = 0x15
	opSwap       = 0x16
	opRot        = 0x17
	opAbs        = 0x19
	opAnd        = 0x1a
	opDiv        = 0x1b
	opMinus      = 0x1c
	opMod        = 0x1d
	opMul        = 0x1e
	opNeg        = 0x1f
	opNot        = 0x20
	opOr         = 0x21
	opPlus       = 0x22
	opPlusUconst = 0x23
	opShl        = 0x24
	opShr        = 0x25
	opShra       = 0x26
	opXor        = 0x27
	opBra        = 0x28
	opEq         = 0x29
	opGe         = 0x2a
	opGt         = 0x2b
	opLe         = 0x2c
	opLt         = 0x2d
	opNe         = 0x2e
	opSkip       = 0x2f
	opLit0       = 0x30
	opLit31      = 0x4f
	opBreg0      = 0x70
	opBreg31     = 0x8f
	opBregx      = 0x92
	opDerefSize  = 0x94
	opNop        = 0x96
)

const (
	maxExpr      = 1 << 10
	maxExprSteps = 256
	maxExprStack = 32
)

// exprMachine evaluates DWARF expressions.
type exprMachine struct {
	stack [maxExprStack]uint64
	depth int
}

func (x *exprMachine) push(v uint64) bool {
	if x.depth == maxExprStack {
		return false
	}
	x.stack[x.depth] = v
	x.depth++
	return true
}

// eval runs expression e over the registers and memory of w, with the values of
// initial on the stack; the result is the top of the stack at the end. bias is
// added to addresses that stand in the expression.
func (x *exprMachine) eval(e []byte, w *walk, bias uint64, initial ...uint64) (uint64, bool) {
	x.depth = copy(x.stack[:], initial)
	p := 0
	for range maxExprSteps {
		if p >= len(e) {
			if x.depth == 0 {
				return 0, false
			}
			return x.stack[x.depth-1], true
		}
		op := e[p]
		p++
		n, ok := 0, false
		switch {
		case op >= opLit0 && op <= opLit31:
			ok = x.push(uint64(op - opLit0))
		case op >= opBreg0 && op <= opBreg31:
			n, ok = x.breg(w, op-opBreg0, e[p:])
		case op == opBregx:
			reg, used := uleb(e[p:])
			if used == 0 || reg >= maxRegs {
				return 0, false
			}
			n, ok = x.breg(w, uint8(reg), e[p+used:])
			n += used
		case op == opBra || op == opSkip:
			var jump int
			if jump, ok = x.branch(op, e[p:]); ok {
				n = 2 + jump
				ok = p+n >= 0
			}
		case op <= opConsts || op == opPlusUconst || op == opPick || op == opDerefSize:
			n, ok = x.operand(op, e[p:], w, bias)
		default:
			ok = x.operate(op)
		}
		if !ok {
			return 0, false
		}
		p += n
	}
	return 0, false
}

// breg pushes a register plus the offset at the start of b.
func (x *exprMachine) breg(w *walk, reg uint8, b []byte) (int, bool) {
	off, n := sleb(b)
	if n == 0 {
		return 0, false
	}
	v, ok := w.reg(reg)
	return n, ok && x.push(v+uint64(off))
}

// branch returns how far the jump at the start of b goes, 0 if it is not taken.
func (x *exprMachine) branch(op byte, b []byte) (int, bool) {
	if len(b) < 2 {
		return 0, false
	}
	jump := int(int16(uint16(b[0]) | uint16(b[1])<<8))
	if op == opSkip {
		return jump, true
	}
	if x.depth < 1 {
		return 0, false
	}
	x.depth--
	if x.stack[x.depth] == 0 {
		jump = 0
	}
	return jump, true
}

// operand executes the operations that have an operand, at the start of b, and
// opDeref.
func (x *exprMachine) operand(op byte, b []byte, w *walk, bias uint64) (n int, ok bool) {
	var v uint64
	switch op {
	case opDeref:
		return 0, x.deref(w, w.a.word)
	case opDerefSize:
		if len(b) < 1 || b[0] == 0 || b[0] > 8 {
			return 0, false
		}
		return 1, x.deref(w, b[0])
	case opPick:
		if len(b) < 1 || int(b[0]) >= x.depth {
			return 0, false
		}
		return 1, x.push(x.stack[x.depth-1-int(b[0])])
	case opConstu:
		v, n = uleb(b)
	case opConsts:
		s, used := sleb(b)
		v, n = uint64(s), used
	case opPlusUconst:
		if v, n = uleb(b); n == 0 || x.depth < 1 {
			return 0, false
		}
		x.stack[x.depth-1] += v
		return n, true
	case opAddr:
		enc := byte(encUdata8)
		if w.a.word == 4 {
			enc = encUdata4
		}
		v, n, ok = decodePointer(enc, b, 0, 0)
		return n, ok && x.push(v+bias)
	case opConst1u, opConst1s:
		if len(b) < 1 {
			return 0, false
		}
		if v, n = uint64(b[0]), 1; op == opConst1s {
			v = uint64(int8(b[0]))
		}
	default:
		enc, known := constEncoding(op)
		if !known {
			return 0, false
		}
		v, n, _ = decodePointer(enc, b, 0, 0)
	}
	return n, n > 0 && x.push(v)
}

func constEncoding(op byte) (enc byte, ok bool) {
	switch op {
	case opConst2u:
		return encUdata2, true
	case opConst2s:
		return encSdata2, true
	case opConst4u:
		return encUdata4, true
	case opConst4s:
		return encSdata4, true
	case opConst8u, opConst8s:
		return encUdata8, true
	}
	return 0, false
}

func (x *exprMachine) deref(w *walk, size uint8) bool {
	if x.depth < 1 {
		return false
	}
	var v uint64
	var ok bool
	if size == w.a.word {
		v, ok = w.word(x.stack[x.depth-1])
	} else {
		v, ok = w.bytesAt(x.stack[x.depth-1], size)
	}
	x.stack[x.depth-1] = v
	return ok
}

// operate executes the operations on the stack alone.
func (x *exprMachine) operate(op byte) bool {
	need := 2
	switch op {
	case opNop:
		return true
	case opDup, opDrop, opAbs, opNeg, opNot:
		need = 1
	case opRot:
		need = 3
	}
	if x.depth < need {
		return false
	}
	s := x.stack[:x.depth]
	top := len(s) - 1
	switch op {
	case opDup:
		return x.push(s[top])
	case opOver:
		return x.push(s[top-1])
	case opDrop:
		x.depth--
		return true
	case opSwap:
		s[top], s[top-1] = s[top-1], s[top]
		return true
	case opRot:
		s[top], s[top-1], s[top-2] = s[top-1], s[top-2], s[top]
		return true
	case opAbs:
		if int64(s[top]) < 0 {
			s[top] = -s[top]
		}
		return true
	case opNeg:
		s[top] = -s[top]
		return true
	case opNot:
		s[top] = ^s[top]
		return true
	}
	v, ok := binary2(op, s[top-1], s[top])
	s[top-1] = v
	x.depth--
	return ok
}

// binary2 computes a op b.
func binary2(op byte, a, b uint64) (uint64, bool) {
	truth := func(t bool) (uint64, bool) {
		if t {
			return 1, true
		}
		return 0, true
	}
	switch op {
	case opAnd:
		return a & b, true
	case opOr:
		return a | b, true
	case opXor:
		return a ^ b, true
	case opPlus:
		return a + b, true
	case opMinus:
		return a - b, true
	case opMul:
		return a * b, true
	case opDiv, opMod:
		if b == 0 {
			return 0, false
		}
		if op == opMod {
			return a % b, true
		}
		return uint64(int64(a) / int64(b)), true
	case opShl:
		return a << b, true
	case opShr:
		return a >> b, true
	case opShra:
		return uint64(int64(a) >> b), true
	case opEq:
		return truth(a == b)
	case opNe:
		return truth(a != b)
	case opGe:
		return truth(int64(a) >= int64(b))
	case opGt:
		return truth(int64(a) > int64(b))
	case opLe:
		return truth(int64(a) <= int64(b))
	case opLt:
		return truth(int64(a) < int64(b))
	}
	return 0, false
}

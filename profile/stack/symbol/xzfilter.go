package symbol

import "encoding/binary"

// unfilterX86 undoes in place what xz's filter for x86 code has done to a block (xz file format 1.2, 5.3.2; the filter
// is that of 7-Zip): in instructions that call or jump to a distance, it has put the place in the block for the distance,
// so that calls of one function look alike. Only distances that fit 25 bits are meant. An opcode within the operand of
// another is not taken for an instruction, which both sides decide from the bytes before.
func unfilterX86(b []byte) {
	const operand = 4
	// Bit k says that the byte k+1 places back looked like an opcode, as far as that may matter here.
	suspects := uint32(0)
	last := -1 - operand // where an opcode was seen last
	for i := 0; i+operand < len(b); {
		if b[i]&0xfe != 0xe8 { // CALL and JMP rel32
			i++
			continue
		}
		if gap := i - last; gap > 1+operand {
			suspects = 0
		} else {
			for range gap {
				suspects = suspects & 0x77 << 1
			}
		}
		last = i
		high := b[i+operand]
		near := suspects >> 1
		if !signByte(high) || near == 3 || near > 4 {
			i++
			suspects |= 1
			if signByte(high) {
				suspects |= 0x10
			}
			continue
		}
		value := binary.LittleEndian.Uint32(b[i+1:])
		behind := uint32(i + 1 + operand)
		distance := value - behind
		if suspects != 0 {
			shift := 24 - 8*[...]int{0, 1, 2, 2, 3}[near]
			for range maxRounds {
				if !signByte(byte(distance >> shift)) {
					break
				}
				value = distance ^ (1<<(shift+8) - 1)
				distance = value - behind
			}
		}
		distance &= 1<<25 - 1
		distance |= -(distance & (1 << 24)) // the sign
		binary.LittleEndian.PutUint32(b[i+1:], distance)
		i += 1 + operand
		suspects = 0
	}
}

// maxRounds bounds how often a distance is tried again. What the filter has made takes two rounds.
const maxRounds = 8

// signByte reports whether the highest byte of a distance is one of a short one.
func signByte(b byte) bool { return b == 0 || b == 0xff }

package raw

import "unsafe"

// byNarrowNumber orders the registers of 32-bit code as the System V psABI of i386 numbers them (figure 2.14), and says
// so in the last, which no register of amd64 has. They are a struct user_regs_struct32
// (arch/x86/include/asm/user32.h).
func byNarrowNumber(u *UserRegs, into *[33]uint64) {
	const ebx, ecx, edx, esi, edi, ebp, eax, esp = 0, 1, 2, 3, 4, 5, 6, 15
	narrow := (*[17]uint32)(unsafe.Pointer(u))
	*into = [33]uint64{32: 1}
	for number, at := range [...]int{eax, ecx, edx, ebx, esp, ebp, esi, edi} {
		into[number] = uint64(narrow[at])
	}
}

# A program without unwind tables. It makes getpgid(0x51500000 + n) in places whose stacks end in different ways.
	.macro	mark n
	mov	$121, %eax		# getpgid
	mov	$0x51500000 + \n, %edi
	syscall
	.endm

	.globl	_start
_start:
#ifdef CLEARS
	xor	%ebp, %ebp
	and	$-16, %rsp		# so that the arguments are out of sight
	sub	$64, %rsp
#endif
	call	outer
	mov	$60, %eax		# exit
	xor	%edi, %edi
	syscall
	hlt

outer:
	push	%rbp
	mov	%rsp, %rbp
	push	%rbx
	mark	1
	mov	$9, %eax		# mmap(0, 4096, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
	xor	%edi, %edi
	mov	$4096, %esi
	mov	$7, %edx
	mov	$0x22, %r10d
	mov	$-1, %r8
	xor	%r9d, %r9d
	syscall
	mov	%rax, %rbx
	mov	%rax, %rdi
	lea	made(%rip), %rsi
	mov	$made_end - made, %ecx
	rep movsb
	lea	inner(%rip), %rdi
	call	*%rbx			# as code made at run time, with another number than a frame pointer in rbp: 0
	lea	inner2(%rip), %rdi
	lea	made2 - made(%rbx), %rax
	call	*%rax			# with a number that leads to two words of 0
	pop	%rbx
	pop	%rbp
	ret

# made has code as of a JIT compiler, which uses the frame pointer's register otherwise, and has more to do behind a call than to return.
made:
	push	%rbp
	xor	%ebp, %ebp
	push	%rbp
	push	%rbp
	call	*%rdi
	test	%eax, %eax
	add	$16, %rsp
	pop	%rbp
	ret
made2:
	push	%rbp
	push	$0
	push	$0
	mov	%rsp, %rbp
	call	*%rdi
	test	%eax, %eax
	add	$16, %rsp
	pop	%rbp
	ret
made_end:

inner:
	push	%rbp
	mov	%rsp, %rbp
	mark	2
	pop	%rbp
	ret

inner2:
	push	%rbp
	mov	%rsp, %rbp
	mark	3
	pop	%rbp
	ret
	.section .note.GNU-stack,"",@progbits

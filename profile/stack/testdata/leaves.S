# A main function that never returns, without unwind tables, as those of busybox and git are: its last call is of one that ends the
# program, behind which another function begins. What it saves, a callee-saved register, may be main's own address, and in front of
# main stands a call, so that this looks like a return address.
	.text
fails:
	sub	$8, %rsp
	call	leave

	.globl	main
main:
	push	%rbx
	lea	main(%rip), %rbx
	sub	$32, %rsp
	mov	%rbx, 8(%rsp)		# what looks like a return address
	call	prepare
	cmp	$1, %edi
	jg	1f
	add	$16, %rsp		# another way, on which the stack pointer stands elsewhere when leave is called
	sub	$16, %rsp
1:	call	leave

	.globl	behind
behind:
	xor	%eax, %eax
	ret

prepare:
	xor	%eax, %eax
	ret

leave:
	push	%rbp
	mov	$121, %eax		# getpgid(0x51500001)
	mov	$0x51500001, %edi
	syscall
	mov	$231, %eax		# exit_group(0)
	xor	%edi, %edi
	syscall
	hlt
	.section	.note.GNU-stack, "", @progbits

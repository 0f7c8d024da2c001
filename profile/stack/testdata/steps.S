# Functions without unwind information, as people write them. Each calls its first argument.
	.text
	.macro function name
	.globl \name
	.type \name, @function
	.p2align 4
\name:
	.endm

function push_pop
	push %rbx
	push %rbp
	push %r12
	mov %rdi, %rbx
	mov $7, %ebp
	call *%rbx
	xor %ebp, %ebp
	pop %r12
	pop %rbp
	pop %rbx
	ret

function sub_add
	sub $72, %rsp
	mov %rdi, 8(%rsp)
	call *8(%rsp)
	add $72, %rsp
	ret

function framed
	push %rbp
	mov %rsp, %rbp
	sub $32, %rsp
	call *%rdi
	mov %rbp, %rsp
	pop %rbp
	ret

function leaves
	push %rbp
	mov %rsp, %rbp
	push %rbx
	sub $40, %rsp
	lea 16(%rsp), %rbx
	call *%rdi
	mov -8(%rbp), %rbx
	leave
	ret

function tail_jump
	sub $8, %rsp
	push %rdi
	call *%rdi
	pop %rdi
	add $8, %rsp
	jmp frameless

function frameless
	xor %eax, %eax
	test %rdi, %rdi
	jz 1f
	nop
	jmp *%rdi
1:	ret

function early_return
	test %esi, %esi
	jnz 1f
	ret
1:	push %r13
	call *%rdi
	pop %r13
	ret

# The stack pointer is known only by another register.
function sized
	push %rbp
	mov %rsp, %rbp
	push %r14
	push %r15
	sub %rsi, %rsp
	and $-16, %rsp
	mov %rsp, %r14
	call *%rdi
	lea -16(%rbp), %rsp
	pop %r15
	pop %r14
	pop %rbp
	ret

# As GCC makes room with a larger alignment: another register knows where the return address is.
function realigned
	lea 8(%rsp), %r10
	and $-64, %rsp
	push -8(%r10)
	push %rbp
	mov %rsp, %rbp
	push %r10
	sub $104, %rsp
	call *%rdi
	mov -8(%rbp), %r10
	leave
	lea -8(%r10), %rsp
	ret

function moves
	lea -56(%rsp), %rsp
	mov %rbx, 40(%rsp)
	mov %r12, 32(%rsp)
	mov %rdi, %rbx
	mov %rsi, %r12
	call *%rbx
	mov 40(%rsp), %rbx
	mov 32(%rsp), %r12
	lea 56(%rsp), %rsp
	ret

function looping
	push %rbx
	push %rbp
	push %r12
	mov %esi, %ebx
	mov %rdi, %rbp
1:	call *%rbp
	dec %ebx
	jnz 1b
	pop %r12
	pop %rbp
	pop %rbx
	ret

function far_tail
	push %rbx
	call *%rdi
	pop %rbx
	lea frameless(%rip), %rax
	xor %edi, %edi
	jmp *%rax

# How code asked where it is before it could say so.
function where
	push %rbx
	call 1f
1:	pop %rbx
	call *%rdi
	pop %rbx
	ret

# Behind a call that never comes back another function begins.
	.p2align 4
never:
	push %rbx
	mov %edx, %edi
	call *%rsi
	hlt

function never_returns
	push %rbx
	push %rbp
	sub $24, %rsp
	mov %rdi, %rbx
	mov %rsi, %rbp
	mov %edx, 8(%rsp)
	call *%rdi
	mov 8(%rsp), %edx
	mov %rbp, %rsi
	call never

function next_one
	push %rbx
	pop %rbx
	ret

function ends_in_never
	push %r12
	push %r13
	push %r14
	mov %rdi, %r12
	mov %esi, %r13d
	call *%r12
	test %r13d, %r13d
	jnz 1f
	pop %r14
	pop %r13
	pop %r12
	ret
1:	mov %r13d, %edx
	lea leaves_early(%rip), %rsi
	call never
	.size ends_in_never, .-ends_in_never

function balanced
	push %rdi
	push %rbx
	push $3
	pop %rbx
	call *8(%rsp)
	mov 8(%rsp), %rax
	pop %rbx
	add $8, %rsp
	ret

	.section .note.GNU-stack, "", @progbits

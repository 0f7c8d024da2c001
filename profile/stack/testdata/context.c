// A function on a stack of makecontext(3) makes a call.
#include <ucontext.h>

static ucontext_t first, second;
static char stack[1 << 16];

__attribute__((noinline)) static void inner(void)
{
	long nr = 121; // getpgid(0x51500001)
	__asm__ volatile("syscall" : "+a"(nr) : "D"(0x51500001) : "rcx", "r11", "memory");
	__asm__ volatile("" ::: "rbx", "memory"); // so that it has a frame
}

static void begins(void)
{
	inner();
	__asm__ volatile("" ::: "memory"); // so that this is no tail call
}

int main(void)
{
	getcontext(&second);
	second.uc_stack.ss_sp = stack;
	second.uc_stack.ss_size = sizeof stack;
	second.uc_link = &first;
	makecontext(&second, begins, 0);
	return swapcontext(&first, &second);
}

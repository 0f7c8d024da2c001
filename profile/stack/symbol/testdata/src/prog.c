/* A C program with functions inlined into each other, a cold part and static functions of the same name. */
#include <stdio.h>
#include <stdlib.h>
#include "inl.h"

struct pair { int a, b; };

static int same_name(int x) { return x * 3 + 1; }

static inline __attribute__((always_inline)) int innermost(int x)
{
	if (x == 42)
		abort();
	return x ^ from_header(x);
}

static inline __attribute__((always_inline)) int middle(int x)
{
	int r = 0;
	for (int i = 0; i < x; i++)
		r += innermost(i);
	return r;
}

__attribute__((noinline)) int outer(int x)
{
	struct pair p = { x, middle(x + 1) };
	return p.a + p.b + same_name(x);
}

__attribute__((noinline, cold)) static void cold_one(const char *s)
{
	fprintf(stderr, "cold %s\n", s);
}

static int visible(int x) { return x + 7; }
int weak_alias_(int) __attribute__((weak, alias("__real_name")));
int api_name(int) __attribute__((weak, alias("__real_name")));
__attribute__((noinline)) int __real_name(int x) { return visible(x) + rand(); }

int nested(int n)
{
	__attribute__((noinline)) int inside(int k) { return k * n + rand(); }
	return inside(n) + inside(n + 1);
}

int main(int argc, char **argv)
{
	if (argc > 5)
		cold_one(argv[1]);
	printf("%d %d %d %d\n", outer(argc), __real_name(argc), nested(argc), second(argc));
	return 0;
}

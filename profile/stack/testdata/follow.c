// Functions of many shapes, which are never run: their code is followed and compared with the compiler's tables.
#define NOINLINE __attribute__((noinline))
typedef unsigned long u64;
extern volatile u64 sink;
volatile u64 sink;

NOINLINE u64 leaf(u64 a) { return sink + a; }
NOINLINE __attribute__((noreturn)) void die(u64 a) {
	sink = a;
	for (;;)
		;
}
NOINLINE __attribute__((noreturn)) void die_later(u64 a) {
	leaf(a);
	die(a);
}
NOINLINE u64 one(u64 a) { return leaf(a) + 1; }
NOINLINE u64 tail(u64 a) { leaf(a); return one(a + 1); }
NOINLINE u64 early(u64 a) {
	if (a == 7)
		return 1;
	leaf(a);
	if (a == 9)
		return leaf(3) * 2;
	return one(a);
}
NOINLINE u64 many(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g, u64 h) {
	u64 x = leaf(a) + b, y = leaf(c) + d, z = leaf(e) + f, w = leaf(g) + h;
	u64 v = leaf(x) ^ y;
	leaf(v);
	return leaf(x + y) * leaf(z + w) + x * y + z * w + v + a + b + c + d + e + f + g + h;
}
NOINLINE u64 checks(u64 a, u64 b) {
	u64 x = leaf(a);
	if (x == b)
		die_later(x);
	x += leaf(b);
	if (x == 77)
		die(x);
	return x + leaf(x);
}
NOINLINE u64 only_dies(u64 a) {
	leaf(a);
	leaf(a + 1);
	die_later(a);
}
NOINLINE u64 after(u64 a) { return one(a) ^ one(a + 2); }
NOINLINE u64 buffer(u64 n) {
	volatile char a[5000];
	a[n] = 1;
	leaf((u64)a);
	return a[n / 2] + leaf(n);
}
NOINLINE u64 variable(u64 n) {
	volatile char *a = __builtin_alloca(n);
	a[n / 2] = 1;
	leaf((u64)a);
	return a[n / 3] + leaf(n);
}
NOINLINE u64 loop(u64 n) {
	u64 s = 0;
	for (u64 i = 0; i < n; i++) {
		s += leaf(i);
		if (leaf(s) == 3)
			break;
	}
	return s;
}
NOINLINE u64 chooses(u64 n) {
	switch (n) {
	case 0: leaf(1); break;
	case 1: return one(2);
	case 2: leaf(3);
	case 3: leaf(4); break;
	case 4: return leaf(5) * 3;
	case 5: die(2);
	default: return 0;
	}
	return leaf(n);
}
NOINLINE double floats(double a, double b, u64 n) {
	double x = leaf(n) * a, y = leaf(n + 1) * b;
	leaf(2);
	return x * y + a * b + leaf(3);
}
NOINLINE u64 recursive(u64 n) { return n < 2 ? n : recursive(n - 1) + recursive(n - 2); }
NOINLINE u64 through(u64 (*f)(u64), u64 a) { return f(a) + f(a + 1); }

u64 functions(u64 n) {
	return one(n) + tail(n) + early(n) + many(n, n, n, n, n, n, n, n) + checks(n, n + 1) + after(n) + buffer(n) + variable(n) +
		loop(n) + chooses(n) + (u64)floats(n, n, n) + recursive(n) + through(leaf, n) + (n == 99 ? only_dies(n) : 0);
}

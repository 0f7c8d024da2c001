// Functions that are inlined everywhere when optimized, and none of them when not, in all kinds of scopes.
// INLINE makes the difference.
#ifdef INLINED
#define INLINE inline __attribute__((always_inline))
#else
#define INLINE __attribute__((noinline))
#endif

volatile long sink;
#define WORK(x) sink = sink * 3 + (x)

namespace one {
INLINE void run() { WORK(1); }
template <class T> INLINE void any(T x) { WORK(x); }
inline namespace version {
template <class T> struct Box {
	T t;
	INLINE void get() { WORK(t); }
	template <class U> INLINE void set(U u) { WORK(u); }
	INLINE operator Box<char>() const { WORK(4); return Box<char>{1}; }
	INLINE bool operator<(const Box &o) const { WORK(o.t); return t < o.t; }
	template <class U> INLINE Box &operator<<(U v) { WORK(v); return *this; }
	template <class U> INLINE long operator()(U v) { WORK(v); return sink; }
	INLINE long operator[](int i) { WORK(i); return sink; }
	INLINE Box *operator->() { WORK(t); return this; }
	struct Inner {
		static INLINE void still() { WORK(5); }
	};
};
}
union Either {
	int i;
	INLINE void either() { WORK(i); }
};
struct Declared {
	struct Later;
};
struct Declared::Later {
	INLINE void late() { WORK(6); }
};
}

namespace {
struct Hidden {
	INLINE void go() { WORK(7); }
	template <class T> INLINE void with(T x) { WORK(x); }
};
INLINE void alone() { WORK(8); }
template <class T> INLINE void hiddenTemplate(T x) { WORK(x); }
namespace deep {
namespace {
INLINE void deeper() { WORK(9); }
}
}
}

static INLINE void unshared() { WORK(10); }
extern "C" INLINE void plain_c() { WORK(11); }
namespace one {
static INLINE void kept() { WORK(12); }
}

template <class F> INLINE void apply(F f) {
	f(13);
	WORK(13);
}

__attribute__((noinline)) void outer(int x) {
	struct Local {
		INLINE void in() { WORK(14); }
	} l;
	l.in();
	apply([&](int y) INLINE_LAMBDA { WORK(x + y); });
}

static __attribute__((noinline)) void quiet(int x) {
	struct Local {
		INLINE void in() { WORK(15); }
	} l;
	l.in();
	auto f = [=](int y) INLINE_LAMBDA { WORK(x - y); };
	f(3);
}

int main(int argc, char **argv) {
	one::run();
	one::any(argc);
	one::Box<int> a{1}, b{argc};
	a.get();
	a.set(2L);
	one::Box<char> c = a;
	if (a < b)
		a << 3;
	a(4);
	a[5];
	a->get();
	one::Box<int>::Inner::still();
	one::Either e{2};
	e.either();
	one::Declared::Later later;
	later.late();
	Hidden h;
	h.go();
	h.with(3);
	alone();
	hiddenTemplate(4);
	deep::deeper();
	unshared();
	plain_c();
	one::kept();
	outer(argc);
	quiet(argc);
	return sink + c.t > 0;
}

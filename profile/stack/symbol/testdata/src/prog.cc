// A C++ program: templates, lambdas, classes, anonymous namespaces, inlining out of the standard library.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace outer_ns {
namespace {
struct Hidden {
	int value;
	explicit Hidden(int v) : value(v) {}
	int twice() const { return value * 2; }
	__attribute__((noinline)) int slow(const std::string &s) const { return value + (int)s.size(); }
};
}

template <typename T>
class Box {
public:
	explicit Box(T v) : v_(std::move(v)) {}
	virtual ~Box() {}
	template <typename F> auto map(F f) const { return f(v_); }
	bool operator<(const Box &o) const { return v_ < o.v_; }
	T v_;
};

__attribute__((noinline)) int work(const std::vector<std::string> &in)
{
	std::map<std::string, int> m;
	for (const auto &s : in)
		m[s] += Hidden(3).twice() + Hidden(4).slow(s);
	int total = 0;
	std::for_each(m.begin(), m.end(), [&](const auto &kv) { total += kv.second; });
	return total;
}
}

static int thrower(int x)
{
	struct Local { int f(int y) { return y + 1; } __attribute__((noinline)) int g(int y) { return f(y) * 3; } };
	if (x > 3)
		throw std::runtime_error("too many: " + std::to_string(x));
	return Local().g(x);
}

int main(int argc, char **argv)
{
	std::vector<std::string> v(argv, argv + argc);
	std::vector<outer_ns::Box<std::string>> boxes;
	for (auto &s : v)
		boxes.emplace_back(s);
	std::sort(boxes.begin(), boxes.end());
	std::function<int(int)> f = [&](int k) { return k + (int)boxes.size(); };
	try {
		std::cout << outer_ns::work(v) + thrower(argc) + f(2) << boxes[0].map([](auto s) { return s.size(); }) << "\n";
	} catch (const std::exception &e) {
		std::cerr << e.what() << "\n";
	}
}

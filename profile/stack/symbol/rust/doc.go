// Package rust reads the mangled names of Rust's functions: those of today, which begin with _R (RFC 2603, and "v0 symbol
// format" in the book of rustc), and the older ones, which look as if they were C++'s.
//
// The names are those that rustc's own demangler gives, without what only tells copies of a function apart: hashes,
// suffixes of the code generator, and in names of today generic arguments. One function is one name in a profile.
//
// It is not for the names of C++. What follows no rule that it knows is no name; it never guesses.
package rust

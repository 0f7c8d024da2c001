package inkernel

// The programs for the kernel are compiled by `go generate ./profile/inkernel`, with Debian 12's clang and llvm-strip, and
// committed, so that a build takes no compiler of C. .ci/run compares what is committed with a fresh build.
//
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-14 -strip llvm-strip-14 -go-package inkernel -target amd64,arm64,riscv64 -no-global-types -output-stem programs programs bpf/counting.bpf.c -- -mcpu=v3 -Wall -Werror

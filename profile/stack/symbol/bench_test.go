package symbol

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkResolve resolves 2,000 addresses of large programs: what the end of a run costs.
func BenchmarkResolve(b *testing.B) {
	programs := map[string]string{}
	if p, err := exec.LookPath("go"); err == nil {
		programs["go tool"] = p
	}
	for name, pattern := range map[string]string{
		"libLLVM": "/usr/lib/*/libLLVM*.so.*", "node": "/usr/bin/node", "libc": "/usr/lib/*/libc.so.6",
		"another": os.Getenv("SYMBOL_BENCH_FILE"), // any large program
	} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			programs[name] = found[len(found)-1]
		}
	}
	for name, p := range programs {
		addrs := codeAddresses(b, p, 16, 2000)
		b.Run(name, func(b *testing.B) {
			named, inlined := 0, 0
			for b.Loop() {
				o := NewObject(fileSource(p))
				list := make([]Address, len(addrs))
				for i, a := range addrs {
					list[i] = Address{Object: o, Offset: a, Vaddr: true}
				}
				named, inlined = 0, 0
				for _, f := range New(Options{}).Resolve(context.Background(), list) {
					if len(f) > 0 {
						named++
					}
					if len(f) > 1 {
						inlined++
					}
				}
			}
			b.ReportAllocs()
			b.ReportMetric(float64(len(addrs)), "addresses")
			b.ReportMetric(float64(named), "named")
			b.ReportMetric(float64(inlined), "inlined")
		})
	}
}

//go:build (amd64 || arm64 || riscv64) && !race && !msan && !asan

package origin

// preMain asks the kernel and fills the variables above. Nobody calls it but the runtime's entry
// code, through _cgo_init; it is declared for the checker of assembly files.
func preMain()

var _ = preMain

package main_test

import (
	"os/exec"
	"testing"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// subcalls makes every subcall of ipc and socketcall through the 32-bit gate, each with arguments that it is to be
// refused for, and subcalls that there are not; and some of the calls that have the names of subcalls.
const subcalls = `
static void call(long nr, long a, long b) {
	long ret = nr;
	__asm__ volatile("int $0x80" : "+a"(ret) : "b"(a), "c"(b), "d"(0), "S"(0), "D"(0) : "memory");
}
int main(void) {
	enum { socketcall = 102, ipc = 117, socket = 359, connect = 362, semget = 393 };
	long arguments[6] = { -1, 0, 0, 0, 0, 0 };
	for (long k = -1; k < 28; k++) {
		for (int i = 0; i <= (k & 3); i++) call(ipc, k, -1);
		call(ipc, 1 << 16 | k, -1);
		for (int i = 0; i <= (k & 3); i++) call(socketcall, k, (long)arguments);
		call(socketcall, k, 0);
		call(socketcall, 1 << 16 | k, (long)arguments);
	}
	for (int i = 0; i < 7; i++) call(socket, -1, 0), call(connect, -1, 0), call(semget, -1, 0);
	return 0;
}
`

// TestCompareSubcalls demands of both tracers that they count subcalls under the same names, and choose the same ones.
func TestCompareSubcalls(t *testing.T) {
	prepare := func(t *testing.T, dir string) {
		t.Helper()
		drive.WriteFile(t, dir+"/subcalls.c", subcalls)
		compile := exec.Command(needs.C32(t), "-m32", "-static", "-o", "subcalls", "subcalls.c")
		compile.Dir = dir
		drive.Succeed(t, compile)
	}
	for expr, row := range map[string]string{
		"all": "semop", "ipc": "semop", "%ipc": "ipc", "%network": "recv", "%desc": "socketcall", "%memory": "shmat",
		"socketcall": "socketcall", "semop": "semop", "semtimedop@32": "semtimedop", "socket": "socket", "semget@32": "semget",
		"/^s.*op": "semtimedop", "/^(ipc|recv)$": "ipc", "!ipc": "socketcall", "!semop,socketcall,execve": "ipc", "102": "socketcall",
		"117@32,accept": "accept",
	} {
		t.Run(expr, func(t *testing.T) {
			p := &realProgram{
				prepare: prepare,
				command: argv("./subcalls"),
				flags:   []string{"-e", "trace=" + expr},
				rows:    []string{row + " (32 bit)"},
			}
			p.compare(t)
		})
	}
}

package ptrace

import "sysprof/ptrace/internal/raw"

type userRegs = raw.UserRegs

const regPC = raw.RegPC

// This file lets fork_unsafe.go declare functions without a body.

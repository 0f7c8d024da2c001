// Package engines holds sysprof's engines against each other, and demands of the one in the kernel what only it can do. It
// has tests alone.
package engines

// Package report writes what a profile.Snapshot holds in the formats that leave sysprof:
//
//   - for people, Table (latencies with small drawings of their distributions), Distribution (one whole
//     distribution) and Failures (call × errno);
//   - Summary, which is the table of strace -c, byte for byte;
//   - under any of these, Notes: what tracing cost, the calls that had not returned, the warnings;
//   - for machines, WriteJSON, which ReadJSON takes back, and WriteCSV (both described in SCHEMA.md);
//   - its subpackage page writes a page for browsers;
//   - Status, the line that shows how a long run is getting on.
//
// It decides how things look and nothing else: it measures nothing, it corrects nothing, and it knows
// nothing of ptrace or terminals, so that a snapshot from any source prints the same everywhere. The
// caller says how wide a line is and whether there are colours. Numbers are written with a decimal point
// whatever the locale.
package report

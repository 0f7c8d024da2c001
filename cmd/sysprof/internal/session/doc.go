// Package session is one run: an engine that sees calls, a profile that they are added up in, and what is
// written of it.
//
// A Session is the profile.Sink of its engine. It decides which calls are counted, counts them, and, if a profile
// with stacks is asked for, keeps samples of them by stack and label. At any time a Snapshot can be taken, and
// written in every format that was asked for. Intervals cut the run into pieces while it goes on; those that are written
// add up to what is written of the whole.
//
// An engine is known by the small interface Engine alone. One that sees no single calls hands over whole rows
// instead (profile.Sink.Counted); what then cannot be had is refused before the run (Abilities).
//
// It is not for flags, signals and exit statuses, which are the command's, nor for formats (package report).
package session

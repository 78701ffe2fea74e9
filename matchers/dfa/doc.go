// Package dfa runs regexes over lines in one pass, by automata that are built as far as lines ask for it.
// Regexes are Go's, and what matches where is what the package regexp says. It knows nothing of logs.
//
//	capture*.go    where a regex matches: its groups
package dfa

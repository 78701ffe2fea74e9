// Package dfa runs regexes over lines in one pass, by automata that are built as far as lines ask for it.
// Regexes are Go's, and what matches where is what the package regexp says, on bytes that are no UTF-8 too.
// It knows nothing of logs.
//
//	set.go         which of many regexes match, at a cost that hardly depends on how many there are
//	capture*.go    where one regex matches: its groups
//
// A set on its way from regexes to a table:
//
//	rules ── tree.go ──► what they begin with, once
//	             │ nfa.go, alphabet.go
//	             ▼
//	         one nondeterministic automaton over few symbols
//	             │ state.go
//	             ▼
//	lines ──► a table of states, made lazily ──► which rules match      scan.go, lanes.go
//	             │ bounds.go, split.go
//	             ▼
//	         bounded in memory and time; the last resort is package regexp
package dfa

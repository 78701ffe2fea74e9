// Package matchers is everything that understands text: it finds the date of a line, takes the line
// apart, and says which jail's filter it offends and who is to blame. Filters are fail2ban's, run as they
// are.
//
// A line passes three stages, a fourth only if names are to be looked up:
//
//	Parse    finds the date, by position, and cuts it out                  parse.go, date*.go
//	Match    runs the rules of all jails of the source                     match.go
//	Names    turns host names into addresses, later                        names.go, lookup.go
//	Session  makes one thing of the lines of one connection                session.go, connection.go
//	         and runs the rules that look at several lines                 linebuffer.go
//
// What Match runs is a Program, compiled once for all jails that look at a source:
//
//	filter.d/x.conf ── LoadFilter ──► Filter ── NewProgram ──► Program ── NewMatcher ──► Matcher
//	ini.go, conf.go,                  filter.go                program.go               engine.go
//	interpolate.go, substitute.go
//
// A Matcher goes over a batch of lines once, for all rules of all jails: package dfa says which rules fit
// (selection.go, compose.go). Only on those lines the steps of fail2ban are gone through, with these rules
// (judge.go), and the groups are looked for (captures.go). Without the set the same steps are the reference.
//
// A regex of a filter is in three languages on its way:
//
//	^(?!x)<HOST>  ── tags.go ──►  Python's re  ── dialect*.go ──►  a tree of nodes
//	                                                                   │ rewrite.go: condition.go,
//	                                                                   │ lookahead.go, tempered.go
//	             the slow path, ◄── slow.go ── what cannot be ◄────────┤
//	             for back-references                                   ▼
//	                                              Go's regexp, in linear time: regex.go
//
// fail2ban's verdicts are the reference: a test has the installed fail2ban judge every line of its own
// sample logs by every one of its filters, and rule and host must be the same (oracle_test.go). Where
// banpipe decides otherwise, it is for one of these reasons:
//
//   - what is no address, as it is written, is no host: 010.1.1.1, 16909060, a name, a piece of a longer
//     word (hosts.go);
//   - <F-NOFAIL> counts nothing, with or without <F-MLFID>;
//   - \b goes by ASCII.
//
// Log lines are hostile. Whether a rule lets a forged one blame somebody else is tried out by forge.go.
package matchers

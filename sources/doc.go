// Package sources reads log lines: from files that others rotate, from the journal, and from a stream
// such as standard input. Each source makes batches of what is ready and says, where it can, how far it
// has come, so that the next run goes on behind the last line that took effect.
package sources

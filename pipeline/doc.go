// Package pipeline turns log lines into bans: sources feed batches of records through stages, and what the
// stages decide goes to sinks.
//
//	files    ─┐                                                                ┌─ outbox ─ sink
//	journald ─┼─► parse ─► match ─► session ─► [yours] ─► window ─► decide ─► finish ─ outbox ─ sink
//	stdin    ─┘                                                                └─ saver ── store
//	                    one channel of *Batch between any two stages
//
// Fill a Pipeline and call Run. This package holds the vocabulary (Record, Action, Batch), the interfaces
// (Source, Stage, Sink), the two stages that everybody needs (Window, Decide) and Run itself; it knows
// neither files nor firewalls nor configuration.
//
// # The contract of the channels
//
//  1. Ownership. One goroutine holds a batch at a time; sending it gives it away. The holder may change
//     anything in it. Nobody keeps a batch or its slices: keep values (netip.Addr, time.Time, copies).
//  2. Batching. A batch is what was ready, up to 512 records or 64 KiB: Read blocks for the first line and never
//     waits for a second. A lone line leaves at once, under load batches fill by themselves. There is no flush
//     timer and no setting. (One cancellable send per line over four hops costs some 680 ns, in batches 31 to 38 ns.)
//  3. Back-pressure. Channels are 4 batches deep and sends block. Between a source and decide nothing is ever
//     dropped: files and the journal wait on disk, a pipe makes its writer wait.
//  4. Fairness. Sources share one channel, and Go serves blocked senders in order: a busy log and a quiet one
//     alternate batch by batch.
//  5. Order. Batches never overtake one another, checkpoints included, also through a Concurrent stage. State is
//     kept by one goroutine without locks, and a test has one right answer.
//  6. Cancellation. Two contexts. The caller's stops the reading; a second one carries the rest and ends on a stage
//     error or after DrainTimeout. With a single one, SIGTERM would throw away lines that were read.
//  7. Errors. The edges retry (1 s, 2 s … 1 min, less some jitter), the middle is fatal: a stage error ends Run. A
//     line that cannot be parsed is counted, not an error.
//  8. Sinks. Each has an outbox keyed by ports and prefix, over a ledger of which jail holds what until when. Apply
//     sees only the resulting longest end, or Unban when nobody holds the target any more. Putting never blocks, so
//     a hung sink holds up nobody; a burst during one Apply leaves with the next: group commit without a timer. In a
//     pause a Gate lets packets through by itself, and any other Keeper is made to hold nothing.
//  9. Checkpoints. An empty batch that carries a checkpoint goes down the same channels; each Stateful stage adds what
//     changed since the last one, the end of the line adds the cursors, and the Store writes all of it in one
//     transaction beside the stream: one in flight, later ones merge, and after a failed commit the next one is
//     full. What is saved is one moment of the log: after SIGKILL no line of a source that can resume is counted twice and
//     none is lost.
package pipeline

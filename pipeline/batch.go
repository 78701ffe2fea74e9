package pipeline

import "time"

// What a batch holds at most before Full says so: enough that the cost of a channel vanishes (from
// 128 lines on there is nothing more to win), little enough to stay in a core's cache.
const (
	maxRecords = 512
	maxBytes   = 64 << 10
)

// A Batch is a run of records from one source, in the order they were read, and the actions that the
// stages have drawn from them. Whoever holds it owns it and everything in it, until it is passed on;
// nobody keeps it or a slice of it after that.
type Batch struct {
	Source  string // where the lines come from: "file:/var/log/auth.log", "journal", "stdin"
	Cursor  []byte // where the source stands behind the last record; nil if it cannot say
	Live    bool   // the source was at its end: the lines have just been written
	Backlog bool   // it was never read before, and has not been at its end since: lines from before the first start
	Gone    bool   // what Source names is gone for good behind the last record: its cursor is forgotten
	Records []Record
	Actions []Action

	buf   []byte      // the bytes behind the lines
	mark  *checkpoint // rides on the batch through the stages; nil on nearly all
	fails []error     // why actions by hand were refused; see Refuse
}

// Append adds a record with a copy of line, read at the time at, and returns it. The pointer is good
// until the next Append.
func (b *Batch) Append(line []byte, at time.Time) *Record {
	start := len(b.buf)
	// Where buf must grow, the lines before keep the old array, which stays as it is.
	b.buf = append(b.buf, line...)
	b.Records = append(b.Records, Record{})
	r := &b.Records[len(b.Records)-1]
	r.Line, r.Time = b.buf[start:len(b.buf):len(b.buf)], at
	return r
}

// Hold copies p into the batch's memory and returns the copy, for a field of a record that is not a part
// of its line. It lives as long as the lines do.
func (b *Batch) Hold(p []byte) []byte {
	start := len(b.buf)
	b.buf = append(b.buf, p...)
	return b.buf[start:len(b.buf):len(b.buf)]
}

// Full reports whether the batch should be passed on before more is read into it: it holds 512 records
// or 64 KiB.
func (b *Batch) Full() bool { return len(b.Records) >= maxRecords || len(b.buf) >= maxBytes }

// Keep drops the records for which keep is false; the others stay in order.
func (b *Batch) Keep(keep func(*Record) bool) {
	kept := b.Records[:0]
	for i := range b.Records {
		if keep(&b.Records[i]) {
			kept = append(kept, b.Records[i])
		}
	}
	clear(b.Records[len(kept):])
	b.Records = kept
}

// Refuse says that an action by hand was not carried out, and why: Pipeline.Do returns it to its caller.
func (b *Batch) Refuse(why error) { b.fails = append(b.fails, why) }

// Reset empties the batch and keeps its memory, unless one long line had made it grow: a pool of
// such batches would never shrink again.
func (b *Batch) Reset() {
	clear(b.Records)
	clear(b.Actions)
	buf := b.buf[:0]
	if cap(buf) > 2*maxBytes {
		buf = nil
	}
	*b = Batch{Cursor: b.Cursor[:0], Records: b.Records[:0], Actions: b.Actions[:0], buf: buf}
}

package pipeline

import (
	"net/netip"
	"time"
)

// A Kind says what the matchers made of a line.
type Kind uint8

const (
	Raw    Kind = iota // as read: no filter has spoken yet
	Hit                // an offence, to be counted
	Note               // seen and remembered by a session, not counted
	Forget             // what was counted against Addr in Jail is forgotten
	Login              // a login won: Addr has an account in what Jail reads
)

// A Span is the part [Start, End) of a line, in bytes; it is empty if both are equal.
type Span struct{ Start, End int }

// Len is the number of bytes in the span.
func (s Span) Len() int { return s.End - s.Start }

// A Record is one log line and what the stages have learnt of it so far.
type Record struct {
	Line   []byte            // as read, without the newline; hostile bytes that belong to the Batch
	Date   Span              // the bytes of Line that hold its date, cut out before matching; empty if none
	Time   time.Time         // when it happened: decoded on a hit, the read time until then
	Fields map[string]string // the journal's trusted fields, shared by records and never changed; nil elsewhere
	Kind   Kind
	Dated  bool       // Time is the entry's own, given by the source: the journal; Line has no date then
	Cut    bool       // Line is not the whole line: it was too long for the source, or its end was never written
	Jail   string     // the jail whose filter matched; "" if none did
	Addr   netip.Addr // who is to blame, unmapped and without a zone; valid for Hit, Forget and Login
	Weight int        // what the hit counts; 0 counts as 1
	Key    []byte     // what `distinct` counts: a port, a user; belongs to the Batch
	Hits   int        // offences by Addr in Jail's window, this one included, each as often as it weighs; set by Window

	Offences int // how many they are, whatever they weigh; 0: as many as Hits; set by Window

	Session []byte // what matchers.Match has left for matchers.Session; belongs to the Batch
}

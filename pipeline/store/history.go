package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"go.etcd.io/bbolt"

	"github.com/banpipe/banpipe/pipeline"
)

// An event as it stands in the history. Lines are bytes, not strings: encoding/json would put U+FFFD in the
// place of what is not UTF-8, and the person who reads them wants what was there.
type event struct {
	Op      string    `json:"op"`
	Prefix  string    `json:"prefix"`
	Jail    string    `json:"jail"`
	Until   time.Time `json:"until,omitzero"`
	Hits    int       `json:"hits,omitempty"`
	Observe bool      `json:"observe,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Lines   [][]byte  `json:"lines,omitempty"`
}

// historyKey sorts by time; seq keeps events of one moment apart.
func historyKey(at time.Time, seq uint64) []byte {
	ns := max(at.UnixNano(), 0)
	if at.Before(time.Unix(0, 0)) { // "since ever" lies outside what UnixNano can say
		ns = 0
	}
	k := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(ns))
	return binary.BigEndian.AppendUint64(k, seq)
}

func putHistory(b *bbolt.Bucket, events []pipeline.Event, maxBytes int) error {
	for _, e := range events {
		seq, err := b.NextSequence()
		if err != nil {
			return err
		}
		v, err := json.Marshal(newEvent(e, maxBytes))
		if err != nil {
			return err
		}
		if err := b.Put(historyKey(e.Time, seq), v); err != nil {
			return err
		}
	}
	return nil
}

func newEvent(e pipeline.Event, maxBytes int) event {
	a := e.Action
	out := event{
		Op: a.Op.String(), Jail: a.Jail, Until: a.Until,
		Hits: a.Hits, Observe: a.Observe, Reason: a.Reason,
	}
	if a.Prefix.IsValid() {
		out.Prefix = a.Prefix.String()
	}
	for _, l := range e.Lines {
		if maxBytes -= len(l); maxBytes < 0 {
			break
		}
		out.Lines = append(out.Lines, []byte(l))
	}
	return out
}

func (e *event) event(at time.Time) (pipeline.Event, error) {
	p, err := netip.ParsePrefix(e.Prefix)
	if err != nil && e.Prefix != "" {
		return pipeline.Event{}, fmt.Errorf("history of %v: %w", at, err)
	}
	out := pipeline.Event{Time: at, Action: pipeline.Action{
		Prefix: p, Jail: e.Jail, Until: e.Until, Hits: e.Hits, Observe: e.Observe, Reason: e.Reason,
	}}
	out.Action.Op, _ = pipeline.ParseOp(e.Op)
	for _, l := range e.Lines {
		out.Lines = append(out.Lines, string(l))
	}
	return out, nil
}

// History yields the events since a time, oldest first. It holds a read transaction while it runs: commits go on beside
// it, but the file grows, so do not stop in the middle. An error ends it.
func (s *Store) History(since time.Time) iter.Seq2[pipeline.Event, error] {
	return func(yield func(pipeline.Event, error) bool) {
		db := s.current()
		if db == nil {
			return
		}
		err := db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket(historyBucket).Cursor()
			for k, v := c.Seek(historyKey(since, 0)); k != nil; k, v = c.Next() {
				var stored event
				if err := json.Unmarshal(v, &stored); err != nil {
					return fmt.Errorf("history: %w", err)
				}
				e, err := stored.event(time.Unix(0, int64(binary.BigEndian.Uint64(k))))
				if err != nil {
					return err
				}
				if !yield(e, nil) {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			yield(pipeline.Event{}, err)
		}
	}
}

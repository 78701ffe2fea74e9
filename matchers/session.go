package matchers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

var _ pipeline.Stateful = (*Session)(nil)

// Limits of what Session remembers. Of a connection's id more than maxID bytes are kept as a digest.
const (
	sessionTime = 5 * time.Minute // from a connection's first line on; fail2ban's figure
	maxSessions = 10_000          // connections per jail; the oldest goes first
	maxID       = 64              // bytes
	maxUsers    = 8               // user names per connection
	maxUser     = 64              // bytes of one
)

// Session makes one thing of the lines of one connection, which a filter tells by <F-MLFID>: a line that
// names the address and one that tells of the failure become one hit, a failure that is none yet
// (<F-NOFAIL>) becomes one unless the login wins (<F-MLFGAINED>, which is a Login if the address is known), a connection that has ended is forgotten
// (<F-MLFFORGET>). A login that wins takes back no hit, and a second user name on the same connection is a
// failure whatever comes after. <F-ONCE>, which fail2ban does not have, marks lines that count only if no
// line of their connection has counted: those that an attempt leaves beside the one that tells of it best.
//
// It stands directly behind Match, in one instance: it needs the lines in their order. Its memory is bounded
// and part of the checkpoint.
//
// Filters with maxlines are run here too, since they look at several lines at once: see lineBuffer.
type Session struct {
	// Programs is the one that Match has; it is asked only about sources with such a filter. Without it
	// they match nothing.
	Programs func(source string) *Program

	jails    map[string]*connections
	buffers  map[bufferKey]*lineBuffer
	matchers map[*Program]*Matcher
}

// Name is the owner of what Session saves.
func (s *Session) Name() string { return "session" }

// Process decides about the records that belong to a connection or to a filter with maxlines; all others
// pass.
func (s *Session) Process(_ context.Context, b *pipeline.Batch) error {
	lines := false
	for i := range b.Records {
		r := &b.Records[i]
		if len(r.Session) == 0 {
			continue
		}
		if r.Session[0] == lineMark {
			r.Session, lines = nil, true
			if !s.line(b, r) {
				r.Kind = pipeline.Raw
				continue
			}
		}
		if err := s.merge(r); err != nil {
			return err
		}
	}
	if lines {
		b.Keep(func(r *pipeline.Record) bool { return r.Kind != pipeline.Raw })
	}
	return nil
}

// merge joins a record with what is known about its connection, if it belongs to one.
func (s *Session) merge(r *pipeline.Record) error {
	if len(r.Session) == 0 {
		return nil
	}
	if r.Session[0] == nameMark { // nobody has looked it up
		r.Kind, r.Session = pipeline.Note, nil
		return nil
	}
	e, err := readEvent(r.Session)
	if err != nil {
		return fmt.Errorf("session: jail %s: %w", r.Jail, err)
	}
	r.Kind, r.Session = pipeline.Note, nil
	switch c, hit := s.of(r.Jail).merge(e, r.Time); {
	case hit:
		r.Kind, r.Addr = pipeline.Hit, c.addr
	case e.gained && c.addr.IsValid():
		r.Kind, r.Addr = pipeline.Login, c.addr
	}
	return nil
}

func (s *Session) of(jail string) *connections {
	c := s.jails[jail]
	if c == nil {
		c = &connections{byID: map[string]*connection{}, dirty: map[string]bool{}}
		if s.jails == nil {
			s.jails = map[string]*connections{}
		}
		s.jails[jail] = c
	}
	return c
}

// Save hands over the connections: under "jail\x00id", each as connection.append writes it.
func (s *Session) Save(full bool, put func(key, value []byte)) {
	var key, value []byte
	for name, jail := range s.jails {
		if full {
			for id := range jail.byID {
				jail.dirty[id] = true
			}
		}
		for id := range jail.dirty {
			key = append(append(append(key[:0], name...), 0), id...)
			if c := jail.byID[id]; c != nil {
				value = c.append(value[:0])
				put(key, value)
			} else if !full {
				put(key, nil)
			}
		}
		clear(jail.dirty)
	}
	s.saveLines(full, put)
}

// Load takes connections back.
func (s *Session) Load(saved iter.Seq2[[]byte, []byte]) error {
	for key, value := range saved {
		if s.loadLines(key, value) {
			continue
		}
		name, id, found := bytes.Cut(key, []byte{0})
		c, err := readConnection(value)
		if !found || err != nil {
			return fmt.Errorf("saved session %q is damaged", key)
		}
		s.of(string(name)).byID[string(id)] = c
	}
	for _, jail := range s.jails {
		jail.sort()
	}
	return nil
}

// An event is what one line says about its connection.
type event struct {
	id     []byte     // <F-MLFID>
	user   []byte     // empty if none is named
	addr   netip.Addr // invalid if none is named
	noFail bool       // remember, do not count
	forget bool       // the connection has ended
	gained bool       // a login won
	once   bool       // it counts only if nothing on its connection has
}

// counts reports whether the line is a failure even if nothing is known about its connection.
func (e *event) counts() bool { return !e.noFail && !e.gained && e.addr.IsValid() }

// event is what a match says about its connection.
func (m *match) event(id []byte, addr netip.Addr) event {
	return event{
		id: id, user: m.get(groupUser), addr: addr,
		noFail: len(m.get(groupNoFail)) > 0,
		forget: len(m.get(groupForget)) > 0,
		gained: len(m.get(groupGained)) > 0,
		once:   len(m.get(groupOnce)) > 0,
	}
}

// append writes e for Record.Session: a byte of flags, then id, user and address, each behind its length.
func (e *event) append(b []byte) []byte {
	var flags byte
	for i, set := range [...]bool{e.noFail, e.forget, e.gained, e.once} {
		if set {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	b = appendBytes(b, e.key())
	b = appendBytes(b, e.user[:min(len(e.user), maxUser)])
	addr, _ := e.addr.MarshalBinary()
	return appendBytes(b, addr)
}

// key is the id, or a digest of it if it is long.
func (e *event) key() []byte {
	if len(e.id) <= maxID {
		return e.id
	}
	sum := sha256.Sum256(e.id)
	return append([]byte{0}, sum[:]...)
}

var errDamaged = errors.New("damaged")

func readEvent(b []byte) (event, error) {
	if len(b) == 0 {
		return event{}, errDamaged
	}
	e := event{noFail: b[0]&1 != 0, forget: b[0]&2 != 0, gained: b[0]&4 != 0, once: b[0]&8 != 0}
	b = b[1:]
	var addr []byte
	for _, field := range []*[]byte{&e.id, &e.user, &addr} {
		var err error
		if *field, b, err = cutBytes(b); err != nil {
			return event{}, err
		}
	}
	return e, e.addr.UnmarshalBinary(addr)
}

func appendBytes(b, field []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

func cutBytes(b []byte) (field, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, errDamaged
	}
	return b[size : size+int(n)], b[size+int(n):], nil
}

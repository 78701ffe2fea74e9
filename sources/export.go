package sources

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// maxField is how much of one field of a journal entry is kept, in bytes; the rest is dropped.
const maxField = 64 << 10

// An exportField is one of the fields that are kept of a journal entry.
type exportField uint8

const (
	fieldOther exportField = iota // not kept
	fieldCursor
	fieldRealtime
	fieldMonotonic
	fieldSource
	fieldMessage
	fieldIdent
	fieldSyslogPID
	fieldPID
	fieldComm
	fieldUnit
	fieldUID
	fieldTransport
	fieldHost
	exportFields // how many there are
)

// exportNames are systemd's names (systemd.journal-fields(7)).
var exportNames = [exportFields]string{
	fieldCursor:    "__CURSOR",
	fieldRealtime:  "__REALTIME_TIMESTAMP",
	fieldMonotonic: "__MONOTONIC_TIMESTAMP",
	fieldSource:    "_SOURCE_REALTIME_TIMESTAMP",
	fieldMessage:   "MESSAGE",
	fieldIdent:     "SYSLOG_IDENTIFIER",
	fieldSyslogPID: "SYSLOG_PID",
	fieldPID:       "_PID",
	fieldComm:      "_COMM",
	fieldUnit:      "_SYSTEMD_UNIT",
	fieldUID:       "_UID",
	fieldTransport: "_TRANSPORT",
	fieldHost:      "_HOSTNAME",
}

func exportFieldOf(name []byte) exportField {
	for f := fieldCursor; f < exportFields; f++ {
		if len(name) == len(exportNames[f]) && string(name) == exportNames[f] {
			return f
		}
	}
	return fieldOther
}

// An entry is a journal entry: of each field the value, of MESSAGE all of them, joined by a blank as
// fail2ban does. It is good until the parser goes on.
type entry struct {
	values [exportFields][]byte
	has    [exportFields]bool
	cut    bool // MESSAGE was longer than is kept
}

func (e *entry) reset() {
	for f := range e.values {
		e.values[f], e.has[f] = e.values[f][:0], false
	}
	e.cut = false
}

func (e *entry) empty() bool {
	for _, has := range e.has {
		if has {
			return false
		}
	}
	return true
}

// number is the value of a field as a decimal number.
func (e *entry) number(f exportField) (int64, bool) {
	n, err := strconv.ParseInt(string(e.values[f]), 10, 64) // does not allocate
	return n, err == nil
}

// begin starts a value of f.
func (e *entry) begin(f exportField) {
	switch {
	case f == fieldOther:
		return
	case !e.has[f]:
	case f == fieldMessage:
		e.values[f] = append(e.values[f], ' ')
	default: // the last one stands
		e.values[f] = e.values[f][:0]
	}
	e.has[f] = true
}

// add appends to the value of f what there is room for.
func (e *entry) add(f exportField, p []byte) {
	if f == fieldOther {
		return
	}
	if room := max(0, maxField-len(e.values[f])); len(p) > room {
		p = p[:room]
		e.cut = e.cut || f == fieldMessage
	}
	e.values[f] = append(e.values[f], p...)
}

// An exportParser reads the Journal Export Format (systemd.io/JOURNAL_EXPORT_FORMATS): an entry is a run of
// fields, each "NAME=value\n" or "NAME\n", its length in 64 bits little endian, the bytes, "\n"; an
// empty line ends it. Text comes in blocks that end anywhere. It keeps no more than the fields above.
type exportParser struct {
	entry entry
	state exportState
	field exportField
	name  []byte // the beginning of a field's name, where the block before ended in it
	size  [8]byte
	have  int    // bytes of size
	left  uint64 // bytes of a binary value that are still to come
}

type exportState uint8

const (
	inName   exportState = iota // at or in a name
	inText                      // in a value that a newline ends
	inSize                      // in the length of a binary value
	inBinary                    // in a binary value
	behind                      // at the newline behind it
)

// longestName is one byte more than any name may have (systemd's journal-file limits it to 64).
const longestName = 65

// next takes p on to the end of the entry and reports whether it has come; entry is then whole. It
// returns how much of p was used up: all of it if the entry goes on. The next call starts a new one.
func (x *exportParser) next(p []byte) (n int, done bool) {
	for n < len(p) {
		rest := p[n:]
		switch x.state {
		case inName:
			used, end := x.inName(rest)
			n += used
			if end {
				return n, true
			}
		case inText:
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				x.entry.add(x.field, rest)
				return len(p), false
			}
			x.entry.add(x.field, rest[:i])
			n += i + 1
			x.state = inName
		case inSize:
			used := copy(x.size[x.have:], rest)
			n, x.have = n+used, x.have+used
			if x.have == len(x.size) {
				x.left = binary.LittleEndian.Uint64(x.size[:])
				x.state = inBinary
			}
		case inBinary:
			if x.left == 0 {
				x.state = behind
				continue
			}
			used := int(min(x.left, uint64(len(rest))))
			x.entry.add(x.field, rest[:used])
			n, x.left = n+used, x.left-uint64(used)
		case behind:
			n++ // whatever it is: the length was right or nothing is
			x.state = inName
		}
	}
	return n, false
}

// inName reads a name up to and with the byte behind it; end is the empty line behind an entry.
func (x *exportParser) inName(p []byte) (n int, end bool) {
	limit := longestName + 1 - len(x.name)
	for n < len(p) && n < limit && p[n] != '=' && p[n] != '\n' {
		n++
	}
	switch {
	case n == limit: // this is no name, and no field of ours
		x.field, x.state, x.name = fieldOther, inText, x.name[:0]
		return n, false
	case n == len(p):
		x.name = append(x.name, p...)
		return n, false
	}
	name := p[:n]
	if len(x.name) > 0 {
		x.name = append(x.name, name...)
		name = x.name
	}
	if p[n] == '\n' && len(name) == 0 {
		return n + 1, !x.entry.empty()
	}
	x.field = exportFieldOf(name)
	x.entry.begin(x.field)
	x.name = x.name[:0]
	if p[n] == '=' {
		x.state = inText
	} else {
		x.state, x.have = inSize, 0
	}
	return n + 1, false
}

// restart drops an entry that will not be finished.
func (x *exportParser) restart() {
	x.entry.reset()
	x.state, x.name = inName, x.name[:0]
}

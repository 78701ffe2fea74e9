package sources

import (
	"bytes"
	"strconv"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// entryLines makes records of journal entries. The zero value is ready.
type entryLines struct {
	line   []byte // scratch memory
	key    []byte
	fields map[string]map[string]string // by the values of the trusted fields
}

// add appends an entry to b: a line without a date, the time, the trusted fields.
func (w *entryLines) add(b *pipeline.Batch, e *entry) {
	at, ok := e.number(fieldSource)
	if !ok {
		at, _ = e.number(fieldRealtime)
	}
	w.line = e.appendLine(w.line[:0])
	line, cut := w.line, e.cut
	if len(line) > defaultMaxLine {
		line, cut = line[:defaultMaxLine], true
	}
	r := b.Append(line, time.UnixMicro(at))
	r.Dated, r.Cut, r.Fields = true, cut, w.fieldsOf(e)
}

// appendLine appends "host ident[pid]: message". Of the kernel there is also the time since the machine
// was started, as in its own log.
func (e *entry) appendLine(p []byte) []byte {
	p = append(p, e.values[fieldHost]...)
	ident := e.values[fieldIdent]
	if len(ident) == 0 {
		ident = e.values[fieldComm]
	}
	if len(ident) > 0 {
		p = blank(p)
		p = append(p, ident...)
		pid := e.values[fieldSyslogPID]
		if len(pid) == 0 {
			pid = e.values[fieldPID]
		}
		if len(pid) > 0 {
			p = append(append(append(p, '['), pid...), ']')
		}
		p = append(p, ':')
		if us, ok := e.number(fieldMonotonic); ok && string(ident) == "kernel" && len(pid) == 0 {
			p = appendUptime(append(p, ' '), us)
		}
	}
	p = append(blank(p), e.values[fieldMessage]...)
	return escapeNewlines(p)
}

func blank(p []byte) []byte {
	if len(p) > 0 {
		p = append(p, ' ')
	}
	return p
}

// appendUptime appends microseconds as the kernel does: "[   12.345678]".
func appendUptime(p []byte, us int64) []byte {
	p = append(p, '[')
	for n := max(1, us/1e6); n < 10_000; n *= 10 {
		p = append(p, ' ')
	}
	p = strconv.AppendInt(p, us/1e6, 10)
	p = append(p, '.')
	frac := us % 1e6
	for n := int64(100_000); n > max(frac, 1); n /= 10 {
		p = append(p, '0')
	}
	return append(strconv.AppendInt(p, frac, 10), ']')
}

// escapeNewlines writes "\n" in words for each newline.
func escapeNewlines(p []byte) []byte {
	n := bytes.Count(p, []byte("\n"))
	if n == 0 {
		return p
	}
	i, j := len(p), len(p)+n
	for p = append(p, make([]byte, n)...); i < j; {
		i, j = i-1, j-1
		if p[j] = p[i]; p[i] == '\n' {
			p[j] = 'n'
			j--
			p[j] = '\\'
		}
	}
	return p
}

// trustedFields are those that only journald sets.
var trustedFields = [...]exportField{fieldUnit, fieldComm, fieldUID, fieldTransport}

// fieldsOf returns the trusted fields; entries of the same sender share a map.
func (w *entryLines) fieldsOf(e *entry) map[string]string {
	key := w.key[:0]
	for _, f := range trustedFields {
		key = append(append(key, e.values[f]...), 0)
	}
	w.key = key
	if fields, ok := w.fields[string(key)]; ok {
		return fields
	}
	fields := map[string]string{}
	for _, f := range trustedFields {
		if e.has[f] {
			fields[exportNames[f]] = string(e.values[f])
		}
	}
	if len(w.fields) >= 1024 { // programs come and go
		clear(w.fields)
	}
	if w.fields == nil {
		w.fields = map[string]map[string]string{}
	}
	w.fields[string(key)] = fields
	return fields
}

package sinks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/banpipe/banpipe/pipeline"
)

// A Writer prints actions, one to a line, and bans nobody. What comes from outside cannot break the line
// or reach a terminal as a control sequence. The actions of one Apply leave in one Write of whole
// lines, so several Writers may share an io.Writer that is safe for concurrent use, as *os.File is; one
// Writer may serve several outputs. After a failed Write all lines of that Apply are written again.
type Writer struct {
	W    io.Writer // nil means standard output
	JSON bool      // an object per line, as Action.MarshalJSON has it, instead of words

	mu  sync.Mutex
	buf []byte
}

var _ pipeline.Sink = (*Writer)(nil)

// Name is "writer".
func (*Writer) Name() string { return "writer" }

// Apply writes a line per action.
func (w *Writer) Apply(ctx context.Context, actions []pipeline.Action) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = w.buf[:0]
	for i := range actions {
		if w.JSON {
			line, err := json.Marshal(actions[i])
			if err != nil {
				return fmt.Errorf("%s %s: %w", actions[i].Op, actions[i].Prefix, err)
			}
			w.buf = appendASCII(w.buf, line)
		} else {
			w.buf = appendWords(w.buf, &actions[i])
		}
		w.buf = append(w.buf, '\n')
	}
	if len(w.buf) == 0 {
		return nil
	}
	out := w.W
	if out == nil {
		out = os.Stdout
	}
	_, err := out.Write(w.buf)
	return err
}

// appendWords writes an action for people: "ban 192.0.2.7 ports 22 jail sshd until 2026-11-23T07:23:11Z: 5
// hits in 10m0s". Nobody should have to parse this form; it may change.
func appendWords(b []byte, a *pipeline.Action) []byte {
	if a.Observe {
		b = append(b, "would "...)
	}
	b = append(b, a.Op.String()...)
	b = append(b, ' ')
	if a.Prefix.IsSingleIP() {
		b = a.Prefix.Addr().AppendTo(b)
	} else {
		b = a.Prefix.AppendTo(b)
	}
	if len(a.Ports) > 0 {
		b = append(b, " ports "...)
		b = append(b, pipeline.PortsString(a.Ports)...)
	}
	if a.Jail != "" {
		b = append(b, " jail "...)
		b = appendPrintable(b, a.Jail)
	}
	if a.Op == pipeline.Ban {
		if a.Until.IsZero() {
			b = append(b, " for ever"...)
		} else {
			b = append(b, " until "...)
			b = a.Until.UTC().AppendFormat(b, time.RFC3339)
		}
	}
	if a.Restored {
		b = append(b, ", restored"...)
	}
	if a.Reason != "" {
		b = append(b, ": "...)
		b = appendPrintable(b, a.Reason)
	}
	return b
}

// appendPrintable appends s with whatever does not print (control characters, direction marks) as Go
// escapes, and U+FFFD for bytes that are no UTF-8. A backslash is escaped too, so that no text can pretend
// to be an escape.
func appendPrintable(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '\\' || !unicode.IsPrint(r):
			q := strconv.QuoteRune(r)
			b = append(b, q[1:len(q)-1]...)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// appendASCII appends a JSON text with every character outside ASCII as \u escapes: encoding/json lets C1
// controls and direction marks through, which some terminals obey.
func appendASCII(b, text []byte) []byte {
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			b = append(b, byte(r))
		case r > 0xffff:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return b
}

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
)

// A fail2banEncoder writes what tools that read fail2ban.log look for:
//
//	2026-11-22 07:23:11,042 fail2ban.filter         [811]: INFO    [sshd] Found 192.0.2.7 - 2026-11-22 07:23:11
//	2026-11-22 07:23:11,042 fail2ban.actions        [811]: NOTICE  [sshd] Ban 192.0.2.7
//
// Whatever is no offence, ban or unban keeps its words, under the name of its logger, with its fields as JSON behind it.
type fail2banEncoder struct {
	zapcore.Encoder // the fields, as JSON
	pool            buffer.Pool
}

func newFail2banEncoder() zapcore.Encoder {
	return &fail2banEncoder{Encoder: zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		EncodeTime: zapcore.RFC3339TimeEncoder, EncodeDuration: zapcore.StringDurationEncoder, SkipLineEnding: true,
	}), pool: buffer.NewPool()}
}

// Clone implements zapcore.Encoder.
func (e *fail2banEncoder) Clone() zapcore.Encoder {
	return &fail2banEncoder{Encoder: e.Encoder.Clone(), pool: e.pool}
}

// The messages of an offence, and of one that ignoreip covers; only this format has them, since each of these lines is one of
// the log that is read.
const (
	found   = "found"
	ignored = "ignored"
)

// logFound has every offence logged, as the tools expect that count them.
func logFound(b *configs.Built, log *zap.Logger) {
	ignore := make(map[string][]netip.Prefix)
	for _, s := range b.Stages {
		if d, ok := s.(*pipeline.Decide); ok {
			for name, j := range d.Jails {
				ignore[name] = j.Ignore
			}
		}
	}
	b.Stages = append(b.Stages, pipeline.StageFunc(func(_ context.Context, batch *pipeline.Batch) error {
		for i := range batch.Records {
			r := &batch.Records[i]
			if r.Kind != pipeline.Hit {
				continue
			}
			fields := []zap.Field{zap.Stringer("addr", r.Addr), zap.String("jail", r.Jail)}
			if slices.ContainsFunc(ignore[r.Jail], func(p netip.Prefix) bool { return p.Contains(r.Addr) }) {
				log.Info(ignored, fields...)
				continue
			}
			log.Info(found, append(fields, zap.Time("at", r.Time))...)
		}
		return nil
	}))
}

// fail2banWord is what fail2ban says (server/actions.py, server/filter.py) for what we say.
func fail2banWord(message string) string {
	switch message {
	case found:
		return "Found"
	case ignored:
		return "Ignore"
	case "banned":
		return "Ban"
	case "unbanned", "ban ended":
		return "Unban"
	}
	return ""
}

// EncodeEntry implements zapcore.Encoder.
func (e *fail2banEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	line := e.pool.Get()
	name, level := "fail2ban.banpipe", entry.Level.CapitalString()
	if entry.LoggerName != "" {
		name += "." + entry.LoggerName
	}
	if entry.Level == zapcore.WarnLevel {
		level = "WARNING"
	}
	text := entry.Message
	if word := fail2banWord(entry.Message); word != "" {
		values := zapcore.NewMapObjectEncoder()
		for _, f := range fields {
			f.AddTo(values)
		}
		text, fields = fmt.Sprintf("[%v] %s %v", values.Fields["jail"], word, values.Fields["addr"]), nil
		switch at, _ := values.Fields["at"].(time.Time); entry.Message {
		case found:
			name, text = "fail2ban.filter", text+" - "+at.Local().Format(time.DateTime)
		case ignored:
			name, text = "fail2ban.filter", text+" by ip"
		default:
			name, level = "fail2ban.actions", "NOTICE"
		}
	}
	// fail2ban's own widths: %(name)-24s, %(levelname)-7s
	fmt.Fprintf(line, "%s %-23s [%d]: %-7s %s", entry.Time.Format("2006-01-02 15:04:05,000"), name, os.Getpid(), level, strings.ReplaceAll(text, "\n", `\n`))
	if len(fields) > 0 {
		rest, err := e.Encoder.EncodeEntry(zapcore.Entry{Time: time.Time{}}, fields)
		if err != nil {
			return nil, err
		}
		line.AppendByte(' ')
		_, _ = line.Write(rest.Bytes())
		rest.Free()
	}
	line.AppendByte('\n')
	return line, nil
}

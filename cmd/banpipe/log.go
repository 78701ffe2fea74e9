package main

import (
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/banpipe/banpipe/configs"
)

// newLogger makes the program's own log. Nothing is sampled: a ban that is not in the log is one that
// nobody can explain.
func newLogger(cfg configs.Log, asJSON bool, stderr zapcore.WriteSyncer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return nil, fmt.Errorf("log: level: %w", err)
	}
	out := stderr
	if cfg.File != "" {
		f, err := openLog(cfg.File)
		if err != nil {
			return nil, fmt.Errorf("log: file: %w", err)
		}
		out = f
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if cfg.Format == "console" && !asJSON {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02 15:04:05")
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		enc.ConsoleSeparator = " "
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	if cfg.Format == "fail2ban" && !asJSON {
		encoder = newFail2banEncoder()
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(out), level)), nil
}

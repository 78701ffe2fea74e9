package main

import (
	"os"
	"sync"
	"time"
)

// A logFile is a file of the log that is opened again when it has been rotated away: nobody has to tell us.
type logFile struct {
	path string

	mu sync.Mutex
	// guarded by mu
	f      *os.File
	looked time.Time
}

// lookEvery is how often a writer looks whether the file at the path is still the one that is open.
const lookEvery = time.Second

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	if l.f != nil {
		l.f.Close()
	}
	l.f = f
	return nil
}

// Write implements zapcore.WriteSyncer. Where the file cannot be opened again the old one is written on.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.looked).Abs() >= lookEvery {
		l.looked = now
		is, err := os.Stat(l.path)
		was, err2 := l.f.Stat()
		if err != nil || err2 != nil || !os.SameFile(is, was) {
			_ = l.open()
		}
	}
	return l.f.Write(p)
}

// Sync implements zapcore.WriteSyncer.
func (l *logFile) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Sync()
}

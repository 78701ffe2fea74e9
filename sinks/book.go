package sinks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/banpipe/banpipe/pipeline"
)

// A book is what a back end that cannot be asked has been told to hold, and may hold: written down before the telling,
// crossed out after it, so that what a crash leaves behind is still known to the next run.
type book struct {
	path    string // "" keeps it in memory only
	entries map[banKey]*entry
	dirty   bool // the file is behind
}

// An entry is one ban.
type entry struct {
	jail  string
	until time.Time // zero: never ends
	done  bool      // the back end has said yes in this run
	tries int       // failed unbans in a row
}

// savedBook is the file: JSON, for whoever must find out what was blocked.
type savedBook struct {
	Version int          `json:"version"`
	Bans    []savedEntry `json:"bans"`
}

type savedEntry struct {
	Prefix netip.Prefix `json:"prefix"`
	Ports  string       `json:"ports,omitempty"`
	Jail   string       `json:"jail,omitempty"`
	Until  *time.Time   `json:"until,omitempty"`
}

const bookVersion = 1

// open reads the file once. One that cannot be read is put aside under another name, and told of: the entries in it would
// never be lifted, but a broken file must not keep a service from banning.
func (b *book) open() (aside error) {
	if b.entries != nil {
		return nil
	}
	b.entries = make(map[banKey]*entry)
	if b.path == "" {
		return nil
	}
	err := b.read()
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	clear(b.entries)
	return errors.Join(fmt.Errorf("%s: %w", b.path, err), os.Rename(b.path, b.path+".broken"))
}

func (b *book) read() error {
	text, err := os.ReadFile(b.path)
	if err != nil {
		return err
	}
	var saved savedBook
	if err := json.Unmarshal(text, &saved); err != nil {
		return err
	}
	if saved.Version != bookVersion {
		return fmt.Errorf("version %d, want %d", saved.Version, bookVersion)
	}
	for _, s := range saved.Bans {
		if _, err := (scope{ports: s.Ports}).portRanges(); err != nil {
			return err
		}
		e := &entry{jail: s.Jail}
		if s.Until != nil {
			e.until = *s.Until
		}
		b.entries[banKey{s.Prefix, s.Ports}] = e
	}
	return nil
}

// save writes the file if it is behind: a new one that takes the old one's place.
func (b *book) save() error {
	if !b.dirty || b.path == "" {
		b.dirty = false
		return nil
	}
	saved := savedBook{Version: bookVersion, Bans: make([]savedEntry, 0, len(b.entries))}
	for k, e := range b.entries {
		s := savedEntry{Prefix: k.prefix, Ports: k.ports, Jail: e.jail}
		if !e.until.IsZero() {
			until := e.until.UTC()
			s.Until = &until
		}
		saved.Bans = append(saved.Bans, s)
	}
	slices.SortFunc(saved.Bans, func(x, y savedEntry) int { return x.Prefix.Compare(y.Prefix) })
	text, err := json.Marshal(saved)
	if err != nil {
		return err
	}
	// After a power cut there is the old one or the new one.
	if err := renameio.WriteFile(b.path, append(text, '\n'), 0o600, renameio.WithTempDir(filepath.Dir(b.path))); err != nil {
		return err
	}
	b.dirty = false
	return nil
}

// action is the ban that an entry stands for.
func (e *entry) action(k banKey) pipeline.Action {
	ports, _ := scope{ports: k.ports}.portRanges()
	return pipeline.Action{Op: pipeline.Ban, Prefix: k.prefix, Ports: ports, Jail: e.jail, Until: e.until}
}

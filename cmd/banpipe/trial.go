package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/configs"
)

// A tree is what a configuration was read from: the main file, conf.d and filter.d, by their paths relative to its folder.
type tree map[string][]byte

// maxTree bounds what is kept of a folder that is none of a configuration.
const maxTree = 16 << 20

// readTree reads what is there; what cannot be read would not have been loaded either.
func readTree(path string) tree {
	t := tree{}
	if path == "" {
		return t
	}
	dir, size := filepath.Dir(path), 0
	add := func(name string) {
		if text, err := os.ReadFile(name); err == nil && size+len(text) < maxTree {
			rel, _ := filepath.Rel(dir, name)
			t[rel], size = text, size+len(text)
		}
	}
	add(path)
	for _, sub := range []string{"conf.d", "filter.d"} {
		_ = filepath.WalkDir(filepath.Join(dir, sub), func(name string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				add(name)
			}
			return nil
		})
	}
	return t
}

// sum tells one tree from another.
func (t tree) sum() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(t)) {
		fmt.Fprintf(h, "%q %d\n", name, len(t[name]))
		h.Write(t[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// write puts a tree under a folder, durably.
func (t tree) write(dir string) error {
	for name, text := range t {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := writeSynced(path, text); err != nil {
			return err
		}
	}
	return nil
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// A trialFile is state_dir/trial/trial.json: a configuration that comes back unless the one that is on trial is
// confirmed. It is there before the switch, so a kill in between changes nothing. Beside it lies the old tree.
type trialFile struct {
	Until  time.Time `json:"until"`
	OnTry  string    `json:"on_try"` // tree.sum of what is on trial
	Main   string    `json:"main"`   // the old main file's name in the old tree; "" if there was none
	Origin string    `json:"origin"` // where the configuration is
}

func trialDir(cfg *configs.Config) string { return filepath.Join(cfg.StateDir, "trial") }

// beginTrial keeps the old configuration; nil: the one that is kept already.
func (s *service) beginTrial(old, to *running, until time.Time) error {
	dir := trialDir(to.cfg)
	t := &trialFile{Until: until, OnTry: to.files.sum(), Origin: to.cfg.Path}
	if old != nil {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := old.files.write(filepath.Join(dir, "before")); err != nil {
			return err
		}
		if old.cfg.Path != "" {
			t.Main = filepath.Base(old.cfg.Path)
		}
	} else {
		t.Main = s.trial.Main
	}
	text, err := json.Marshal(t)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = writeSynced(filepath.Join(dir, "trial.json"), text)
	}
	if err == nil {
		s.await(t)
	}
	return err
}

// await has the old configuration back when the time is up.
func (s *service) await(t *trialFile) {
	s.trial = t
	s.confirms.Store(&t.Until)
	if s.revert != nil {
		s.revert.Stop()
	}
	s.revert = time.AfterFunc(time.Until(t.Until), s.goBack)
}

// endTrial forgets the old configuration.
func (s *service) endTrial() {
	if s.revert != nil {
		s.revert.Stop()
	}
	s.confirms.Store(nil)
	s.trial = nil
	if err := os.RemoveAll(trialDir(s.now.Load().cfg)); err != nil {
		s.log.Error("the end of a trial", zap.Error(err))
	}
}

// goBack runs the configuration before. It stays on record as what runs, also over restarts, until the files are changed
// or loaded again.
func (s *service) goBack() {
	s.reload.Lock()
	defer s.reload.Unlock()
	if until := s.confirms.Load(); until == nil || time.Now().Before(*until) {
		return // confirmed, or longer, while we waited
	}
	cfg, err := loadBefore(s.trial, trialDir(s.now.Load().cfg))
	if err == nil {
		var to *running
		if to, err = s.build(s.now.Load(), cfg); err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			err = s.switchTo(ctx, to)
		}
	}
	if err != nil {
		s.log.Error("the configuration was not confirmed, and the one before does not come back", zap.Error(err))
		return
	}
	s.confirms.Store(nil)
	s.log.Warn("the configuration was not confirmed: the one before runs again", zap.String("config", s.trial.Origin))
}

func loadBefore(t *trialFile, dir string) (*configs.Config, error) {
	if t.Main == "" {
		return configs.Default(), nil
	}
	cfg, err := configs.Load(filepath.Join(dir, "before", t.Main))
	return cfg, err
}

func (s *service) confirm(context.Context) error {
	s.reload.Lock()
	defer s.reload.Unlock()
	if s.confirms.Load() == nil {
		return errors.New("no configuration is on trial")
	}
	s.endTrial()
	s.log.Info("the configuration is confirmed")
	return nil
}

func (s *service) confirmUntil() time.Time {
	if t := s.confirms.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// onTrial reads what a service that ended in the middle of a trial has left. before is the configuration to run if the
// time is up; nil if what was loaded may run, until the trial ends if t is not nil.
func onTrial(cfg *configs.Config) (before *configs.Config, t *trialFile, err error) {
	dir := trialDir(cfg)
	text, err := os.ReadFile(filepath.Join(dir, "trial.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	t = &trialFile{}
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(text)).Decode(t)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("a configuration on trial: %w", err)
	}
	if t.Origin != cfg.Path || readTree(cfg.Path).sum() != t.OnTry {
		return nil, nil, os.RemoveAll(dir) // somebody has changed it since: his word counts
	}
	if time.Now().Before(t.Until) {
		return nil, t, nil
	}
	before, err = loadBefore(t, dir)
	return before, t, err
}

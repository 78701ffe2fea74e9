package configs

import (
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/sources"
)

// Journal is what a jail reads of the journal, in journalctl's words: the alternatives of JournalMatch; ""
// if it reads files.
func (j *Jail) Journal() string { return strings.Join(j.JournalMatch, " + ") }

// journalSource is what the source of a match is called in Batch.Source: jails with the same match share it.
func journalSource(match string) string { return "journal:" + match }

// hasJournal reports whether this machine keeps a journal that can be read: systemd-journald(8) has its files in
// one of these folders.
func (b *builder) hasJournal() bool {
	if len(b.opts.Journal) > 0 {
		_, err := exec.LookPath(b.opts.Journal[0])
		return err == nil
	}
	if _, err := exec.LookPath("journalctl"); err != nil {
		return false
	}
	for _, dir := range []string{"/var/log/journal", "/run/log/journal"} {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return true
		}
	}
	return false
}

// readJournal settles that a jail reads the journal. Its filter is taken in the form for the journal, as fail2ban
// does: only its .conf files have one.
func (b *builder) readJournal(j *Jail) bool {
	j.LogPath = nil
	if _, err := sources.ParseMatches(j.Journal()); err != nil {
		b.problem(j, "journalmatch", err)
		return false
	}
	if j.Loaded == nil || !strings.HasSuffix(j.Loaded.Path, ".conf") {
		return true
	}
	_, params, err := matchers.ParseSpec(j.Filter)
	if err != nil {
		return true // it was loaded by this very spec
	}
	if params == nil {
		params = map[string]string{}
	}
	if params["logtype"] == "" {
		params["logtype"] = "journal"
	}
	f, err := matchers.LoadFilter(j.Loaded.Path, params)
	if err != nil {
		b.problem(j, "filter", err)
		return false
	}
	j.Loaded = j.overlay(f)
	return true
}

// journals are a source for each match.
func (b *builder) journals() (all []pipeline.Source) {
	now := b.opts.Now
	if now == nil {
		now = time.Now
	}
	longest := map[string]Duration{}
	var order []string
	for _, j := range b.jails {
		match := j.Journal()
		if match == "" {
			continue
		}
		if _, known := longest[match]; !known {
			order = append(order, match)
		}
		longest[match] = max(longest[match], j.FindTime)
	}
	for _, match := range order {
		words, err := sources.ParseMatches(match)
		if err != nil {
			continue // readJournal has tried it
		}
		since := b.opts.Since
		if since.IsZero() {
			since = now().Add(-time.Duration(longest[match]))
		}
		all = append(all, sources.NewJournal(sources.JournalOptions{
			Name: journalSource(match), Matches: words, Since: since,
			Once: b.opts.Once, Command: b.opts.Journal, Logger: b.opts.Logger, Now: b.opts.Now,
		}))
	}
	return all
}

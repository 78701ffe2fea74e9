package configs

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
)

// A jail reads a log that is there, else the journal, else a log that it waits for.
func TestLogOrJournal(t *testing.T) {
	dir := tree(t, map[string]string{
		"ok.log": "",
		"filter.d/both.conf": "[Definition]\n_form = <lt_<logtype>/form>\nfailregex = ^%(_form)s from <HOST>$\n[Init]\nlogtype = file\n" +
			"[lt_file]\nform = file\n[lt_journal]\nform = journal\n",
	})
	for _, tt := range []struct {
		name, jail, journalctl string
		sources                string
	}{
		{"a log that is there", "filter = 'sshd'\nlogpath = 'D/ok.log'\njournalmatch = '_COMM=sshd'", "true", "files"},
		{"no log", "filter = 'sshd'\nlogpath = 'D/none.log'\njournalmatch = '_COMM=sshd + _COMM=sshd-session'", "true", "journal:_COMM=sshd + _COMM=sshd-session"},
		{"neither", "filter = 'sshd'\nlogpath = 'D/none.log'\njournalmatch = '_COMM=sshd'", "/no/journalctl", "files"},
		{"several matches", "filter = 'sshd'\njournalmatch = ['_COMM=sshd', '_UID=0']", "true", "journal:_COMM=sshd + _UID=0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			built := buildJails(t, dir, "[jails.j]\nenabled = true\n"+tt.jail+"\n", tt.journalctl)
			var names []string
			for _, s := range built.Sources {
				names = append(names, s.Name())
			}
			if got := strings.Join(names, " "); got != tt.sources {
				t.Errorf("got %s, want %s", got, tt.sources)
			}
		})
	}
	t.Run("jails with one match share a source", func(t *testing.T) {
		jail := "enabled = true\nfilter = 'sshd'\njournalmatch = '_COMM=sshd'\n"
		built := buildJails(t, dir, "[jails.a]\n"+jail+"[jails.b]\n"+jail, "true")
		if len(built.Sources) != 1 {
			t.Errorf("got %d sources, want 1", len(built.Sources))
		}
		for _, j := range built.Jails {
			if !j.readsFrom("journal:_COMM=sshd") || j.readsFrom("journal:_COMM=other") {
				t.Errorf("jail %s does not read its own match alone", j.Name)
			}
		}
	})
	t.Run("a .conf filter has its form for the journal", func(t *testing.T) {
		for source, want := range map[string]string{"journalmatch = '_COMM=x'": "^journal from", "logpath = 'D/ok.log'": "^file from"} {
			built := buildJails(t, dir, "[jails.j]\nenabled = true\nfilter = 'both'\n"+source+"\n", "true")
			rules := built.Jails[0].Loaded.FailRegex
			if len(rules) != 1 || !strings.HasPrefix(rules[0].Regex, want) {
				t.Errorf("%s: got %v, want %s", source, rules, want)
			}
		}
	})
}

func buildJails(t *testing.T, dir, text, journalctl string) *Built {
	t.Helper()
	cfg, err := Parse(filepath.Join(dir, "b.toml"), []byte(strings.ReplaceAll(text, "D/", dir+"/")))
	if err != nil {
		t.Fatal(err)
	}
	built, err := Build(cfg, BuildOptions{Journal: []string{journalctl}, Own: none})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(built.Jails, func(a, b *Jail) int { return strings.Compare(a.Name, b.Name) })
	return built
}

// Programs that write a date of their own into the journal: nothing is cut out of an entry, since it has its own.
func TestJournalEntriesWithADate(t *testing.T) {
	for _, c := range []struct{ filter, line string }{
		{"mysqld-auth", `db1 mariadbd[811]: 2026-11-22  7:23:11 12 [Warning] Access denied for user 'root'@'192.0.2.1' (using password: YES)`},
		{"mysqld-auth", `db1 mysqld[811]: 2026-11-22T07:23:11.483417Z 12 [Note] [MY-010926] [Server] Access denied for user 'root'@'192.0.2.1' (using password: YES)`},
		{"gitea", `web1 gitea[811]: 2026/11/22 07:23:11 routers/web/auth/auth.go:205:SignInPost() [I] Failed authentication attempt for bob from 192.0.2.1:54321: user does not exist [uid: 0, name: bob, keyid: 0]`},
		{"gitea", `web1 forgejo-web[811]: 2026/11/22 07:23:11 ...ers/web/auth/auth.go:205:SignInPost() [W] Failed authentication attempt for bob from 192.0.2.1`},
		{"sshd", `web1 sshd-session[811]: Failed password for root from 192.0.2.1 port 40000 ssh2`},
	} {
		t.Run(c.line, func(t *testing.T) {
			f, err := LoadFilter(c.filter, nil)
			if err != nil {
				t.Fatal(err)
			}
			p, err := matchers.NewProgram([]matchers.JailFilter{{Jail: "j", Filter: f.Filter}})
			if err != nil {
				t.Fatal(err)
			}
			b := &pipeline.Batch{Source: "journal"}
			b.Append([]byte(c.line), time.Now()).Dated = true
			programs := func(string) *matchers.Program { return p }
			for _, s := range []pipeline.Stage{&matchers.Parse{Programs: programs}, &matchers.Match{Programs: programs}, &matchers.Session{Programs: programs}} {
				if err := s.Process(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			if len(b.Records) != 1 || b.Records[0].Addr.String() != "192.0.2.1" {
				t.Errorf("got %+v, want a hit of 192.0.2.1", b.Records)
			}
			if !matchers.HasShape(c.line, f.Shape) {
				t.Errorf("the line has not the shape %q", f.Shape)
			}
		})
	}
}

// The journal is read from the time that was asked for.
func TestJournalSince(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "journalctl")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$@\" > '"+dir+"/args'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse(filepath.Join(dir, "b.toml"), []byte("[jails.sshd]\nenabled = true\nfindtime = '1h'\nlogpath = '"+dir+"/none'\njournalmatch = '_COMM=sshd'\n"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 7, 23, 11, 0, time.UTC)
	for since, want := range map[time.Time]time.Time{{}: at.Add(-time.Hour), at.AddDate(0, 0, -7): at.AddDate(0, 0, -7)} {
		built, err := Build(cfg, BuildOptions{Journal: []string{script}, Own: none, Once: true, DryRun: true, Out: io.Discard, Since: since, Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		if err := built.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		args, err := os.ReadFile(filepath.Join(dir, "args"))
		if err != nil || !strings.Contains(string(args), fmt.Sprintf("--since=@%d.", want.Unix())) {
			t.Errorf("since %v: got %q, %v, want %d", since, args, err, want.Unix())
		}
	}
}

package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
)

// The lines that tools read in fail2ban.log, by the expression of fail2ban's own filter recidive.
func TestFail2banLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fail2ban.log")
	log, err := newLogger(configs.Log{Level: "info", Format: "fail2ban", File: path}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 7, 23, 11, 5e8, time.Local)
	jails := map[string]pipeline.Jail{"sshd": {Ignore: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")}}}
	built := &configs.Built{Pipeline: &pipeline.Pipeline{Stages: []pipeline.Stage{&pipeline.Decide{Jails: jails}}}}
	logFound(built, log)
	batch := &pipeline.Batch{Records: []pipeline.Record{
		{Kind: pipeline.Note, Addr: netip.MustParseAddr("192.0.2.8"), Jail: "sshd", Time: at},
		{Kind: pipeline.Hit, Addr: netip.MustParseAddr("192.0.2.7"), Jail: "sshd", Time: at},
		{Kind: pipeline.Hit, Addr: netip.MustParseAddr("192.0.2.9"), Jail: "sshd", Time: at},
	}}
	if err := built.Stages[1].Process(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	log.Info("banned", zap.String("addr", "192.0.2.7"), zap.String("jail", "sshd"), zap.Duration("for", time.Hour), zap.Int("hits", 5))
	log.Info("unbanned", zap.String("addr", "2001:db8::/64"), zap.String("jail", "sshd"))
	log.Named("store").Warn("state not saved", zap.Error(errors.New("disk\nfull")))
	lines := strings.Split(strings.TrimSpace(read(t, path)), "\n")
	if len(lines) != 5 {
		t.Fatalf("got %q, want 5 lines", lines)
	}
	if !strings.HasSuffix(lines[1], ": INFO    [sshd] Ignore 192.0.2.9 by ip") {
		t.Errorf("got %q, want what fail2ban says of ignoreip", lines[1])
	}
	if m := regexp.MustCompile(`^[-\d]+ [:\d]+,\d{3} fail2ban\.filter         \[\d+\]: INFO    \[sshd\] Found 192\.0\.2\.7 - 2026-11-22 07:23:11$`); !m.MatchString(lines[0]) {
		t.Errorf("got %q, want what fail2ban says of an offence", lines[0])
	}
	lines = lines[2:]
	recidive := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} fail2ban\.(?:actions\s*|banpipe\S*\s*)\[\d+\]: (NOTICE|WARNING)\s+(.*)$`)
	for i, want := range []string{"[sshd] Ban 192.0.2.7", "[sshd] Unban 2001:db8::/64", `state not saved {"error":"disk\nfull"}`} {
		if m := recidive.FindStringSubmatch(lines[i]); m == nil || m[2] != want {
			t.Errorf("got %q, want %q", lines[i], want)
		}
	}
}

func TestLogIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "banpipe.log")
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) {
		t.Helper()
		l.looked = time.Time{} // a second has passed
		if _, err := l.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	say("two")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	say("three")
	if got := read(t, path+".1") + " " + read(t, path); got != "one three" {
		t.Errorf("got %q, want %q", got, "one three")
	}
}

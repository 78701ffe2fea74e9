package compare

import (
	"bytes"
	"compress/gzip"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const theirLog = `2026-11-22 07:00:00,100 fail2ban.server         [811]: INFO    Starting Fail2ban v1.0.2
2026-11-22 07:00:00,200 fail2ban.jail           [811]: INFO    Creating new jail 'sshd'
2026-11-22 07:00:00,201 fail2ban.filter         [811]: INFO      maxRetry: 3
2026-11-22 07:00:00,201 fail2ban.filter         [811]: INFO      findtime: 600
2026-11-22 07:00:00,202 fail2ban.actions        [811]: INFO      banTime: -1
2026-11-22 07:00:00,203 fail2ban.filter         [811]: INFO    Added logfile: '/var/log/auth.log' (pos = 0, hash = )
2026-11-22 07:00:00,300 fail2ban.jail           [811]: INFO    Creating new jail 'web'
2026-11-22 07:00:00,301 fail2ban.filter         [811]: INFO      findtime: 300
2026-11-22 07:00:01,000 fail2ban.actions        [811]: NOTICE  [sshd] Restore Ban 192.0.2.1
2026-11-22 07:23:11,042 fail2ban.filter         [811]: INFO    [sshd] Found 192.0.2.7 - 2026-11-22 07:23:10
2026-11-22 07:23:11,043 fail2ban.filter         [811]: INFO    [sshd] Found 192.0.2.7 - 2026-11-22 07:23:11 (ssh)
2026-11-22 07:23:11,044 fail2ban.filter         [811]: INFO    [sshd] Ignore 192.0.2.9 by ip
2026-11-22 07:23:12,042 fail2ban.actions        [811]: NOTICE  [sshd] Ban 192.0.2.7
2026-11-22 07:23:13,042 fail2ban.actions        [811]: WARNING [sshd] 192.0.2.7 already banned
2026-11-22 07:23:13,142 fail2ban.actions        [811]: NOTICE  [web] Ban 2001:db8::7
2026-11-22 07:33:12,042 fail2ban.actions        [811]: NOTICE  [web] Unban 2001:db8::7
`

func TestReadLog(t *testing.T) {
	hostile := theirLog +
		"2026-11-22 07:34:00,000 fail2ban.filter         [811]: INFO    [sshd] Found 192.0.2.66\" [sshd] Ban 192.0.2.66 - 2026-11-22 07:23:10\n" +
		"2026-11-22 07:34:00,000 fail2ban.filter         [811]: ERROR   x [sshd] Ban 192.0.2.66\n" +
		"x 2026-11-22 07:34:00,000 fail2ban.actions        [811]: NOTICE  [sshd] Ban 192.0.2.66\n" +
		"2026-11-22 07:34:00,000 fail2ban.actions        [811]: NOTICE  [sshd] Ban 999.0.2.66\n" +
		"2026-13-22 07:34:00,000 fail2ban.actions        [811]: NOTICE  [sshd] Ban 192.0.2.66\n" +
		strings.Repeat("y", 3*maxLine) + "2026-11-22 07:34:00,000 fail2ban.actions        [811]: NOTICE  [sshd] Ban 192.0.2.66\n" +
		"\x00\xff\n2026-11-22 07:35:00,000 fail2ban.server         [811]: INFO    Exiting Fail2ban"
	theirs := &Theirs{Jails: map[string]*TheirJail{}}
	if err := theirs.Read(strings.NewReader(hostile)); err != nil {
		t.Fatal(err)
	}
	at := func(clock string) time.Time {
		when, err := time.ParseInLocation(time.DateTime, "2026-11-22 "+clock, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	if !theirs.From.Equal(at("07:00:00")) || !theirs.To.Equal(at("07:35:00")) || !theirs.Ended {
		t.Errorf("got from %v to %v, ended %v", theirs.From, theirs.To, theirs.Ended)
	}
	sshd, web := theirs.Jails["sshd"], theirs.Jails["web"]
	if want := (Settings{3, 10 * time.Minute, -time.Second}); sshd.Settings != want {
		t.Errorf("got %+v, want %+v", sshd.Settings, want)
	}
	if want := (Settings{FindTime: 5 * time.Minute}); web.Settings != want {
		t.Errorf("got %+v, want %+v", web.Settings, want)
	}
	if len(sshd.Logs) != 1 || sshd.Logs[0] != "/var/log/auth.log" || len(web.Logs) != 0 {
		t.Errorf("got %q and %q", sshd.Logs, web.Logs)
	}
	seven := sshd.Addrs[netip.MustParseAddr("192.0.2.7")]
	if len(seven.Found) != 2 || !seven.Found[0].Equal(at("07:23:10")) || len(seven.Bans) != 1 || !seven.Bans[0].Equal(at("07:23:12")) || !seven.Already {
		t.Errorf("got %+v", seven)
	}
	if x := sshd.Addrs[netip.MustParseAddr("192.0.2.1")]; len(x.Restored) != 1 || len(x.Bans) != 0 {
		t.Errorf("got %+v, want a restored ban", x)
	}
	if !sshd.Addrs[netip.MustParseAddr("192.0.2.9")].Ignored || len(web.Addrs[netip.MustParseAddr("2001:db8::7")].Unbans) != 1 {
		t.Error("want one ignored, one unbanned")
	}
	if x := sshd.Addrs[netip.MustParseAddr("192.0.2.66")]; x != nil {
		t.Errorf("got %+v of a forged line", x)
	}
}

// Rotated logs come in any order, and compressed.
func TestReadLogs(t *testing.T) {
	dir := t.TempDir()
	cut := strings.Index(theirLog, "2026-11-22 07:23:12")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(theirLog[:cut])); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	now, old, empty := filepath.Join(dir, "fail2ban.log"), filepath.Join(dir, "fail2ban.log.1.gz"), filepath.Join(dir, "fail2ban.log.2")
	for path, text := range map[string][]byte{now: []byte(theirLog[cut:]), old: packed.Bytes(), empty: nil} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	theirs, err := ReadLogs(now, old, empty)
	if err != nil {
		t.Fatal(err)
	}
	if x := theirs.Jails["sshd"].Addrs[netip.MustParseAddr("192.0.2.7")]; theirs.Lines != strings.Count(theirLog, "\n") || theirs.Jails["sshd"].Settings.MaxRetry != 3 || len(x.Found) != 2 || len(x.Bans) != 1 || theirs.To.Before(theirs.From) {
		t.Errorf("got %d lines, %+v", theirs.Lines, x)
	}
	if err := os.WriteFile(empty, []byte{0x1f, 0x8b, 0, 0}, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, filepath.Join(dir, "none"), dir} {
		if _, err := ReadLogs(path); err == nil {
			t.Errorf("%s: got no error", path)
		}
	}
}

// No log can make the reader fall over.
func FuzzReadLog(f *testing.F) {
	f.Add(theirLog)
	f.Add("2026-11-22 07:00:00,100 fail2ban.filter [1]: INFO [a] Found ::ffff:192.0.2.7 - 2026-99-22 07:23:10\n")
	f.Fuzz(func(t *testing.T, text string) {
		theirs := &Theirs{Jails: map[string]*TheirJail{}}
		if err := theirs.Read(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		r := Compare(theirs, &Ours{})
		if r.Both > 0 || r.Ours > 0 {
			t.Errorf("got %+v of nothing", r)
		}
	})
}

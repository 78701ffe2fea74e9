package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banpipe/banpipe/configs"
)

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.toml")
	write(t, bad, "[jails.sshd]\nenabled = true\nmaxretries = 3\n")
	for _, c := range []struct {
		args string
		want int
		says string // on standard error
	}{
		{"", exitDone, ""},
		{"help", exitDone, ""},
		{"try --help", exitDone, ""},
		{"test sshd", exitDone, ""},
		{"bann", exitUsage, `there is no verb "bann"`},
		{"run --nosuch", exitUsage, "unknown flag: --nosuch"},
		{"run sshd", exitUsage, `unexpected argument "sshd"`},
		{"run --now yesterday", exitUsage, "yesterday"},
		{"test", exitUsage, "FILTER"},
		{"test regex", exitFailed, `there is none`},
		{"check --config " + bad, exitFailed, "bad.toml:3"},
		{"run --config " + bad, exitFailed, "bad.toml:3"},
		{"run --config " + dir + "/nosuch.toml", exitFailed, "no such file"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var out, err bytes.Buffer
			got := execute(strings.Fields(c.args), strings.NewReader(""), &out, &err)
			if got != c.want || !strings.Contains(err.String(), c.says) {
				t.Errorf("got %d and %q, want %d and %q", got, err.String(), c.want, c.says)
			}
			if got == exitDone && err.Len() > 0 {
				t.Errorf("got %q on standard error, want nothing", err.String())
			}
		})
	}
}

// Every verb says in examples how it is called, and those that print can print JSON.
func TestEveryVerbExplainsItself(t *testing.T) {
	for _, cmd := range newRoot().Commands() {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			continue
		}
		if !strings.Contains(cmd.Example, "banpipe "+cmd.Name()) || cmd.Short == "" || cmd.Long == "" {
			t.Errorf("%s: want a short and a long text and an example that calls it", cmd.Name())
		}
		if cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s: want --json", cmd.Name())
		}
	}
}

// Every shipped filter passes its own samples, by the verb that a user calls.
func TestShippedFiltersPass(t *testing.T) {
	for _, name := range configs.ShippedFilters() {
		var out, err bytes.Buffer
		if code := execute([]string{"test", name}, strings.NewReader(""), &out, &err); code != 0 || !strings.Contains(out.String(), "samples are as they should be") {
			t.Errorf("banpipe test %s: exit code %d\n%s%s", name, code, &out, &err)
		}
	}
}

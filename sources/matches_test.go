package sources

import (
	"slices"
	"testing"
)

func TestParseMatches(t *testing.T) {
	for text, want := range map[string][]string{
		"":                           nil,
		"_SYSTEMD_UNIT=sshd.service": {"_SYSTEMD_UNIT=sshd.service"},
		"_SYSTEMD_UNIT=sshd.service + _COMM=sshd":                {"_SYSTEMD_UNIT=sshd.service", "+", "_COMM=sshd"},
		" _COMM=a\t_UID=0\n":                                     {"_COMM=a", "_UID=0"},
		`"_COMM=with blank" '_COMM=it''s' _COMM=a\ b`:            {"_COMM=with blank", "_COMM=its", "_COMM=a b"},
		`SYSLOG_IDENTIFIER=`:                                     {"SYSLOG_IDENTIFIER="},
		"_SYSTEMD_UNIT=ssh.service + _SYSTEMD_UNIT=sshd.service": {"_SYSTEMD_UNIT=ssh.service", "+", "_SYSTEMD_UNIT=sshd.service"},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := ParseMatches(text)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
	for _, text := range []string{"sshd", "--file=/etc/shadow", "=x", "_comm=x", "+ _COMM=x", "_COMM=x +", "_COMM=x + + _COMM=y", `"_COMM=x`, "-u sshd"} {
		t.Run(text, func(t *testing.T) {
			if got, err := ParseMatches(text); err == nil {
				t.Errorf("got %q, want an error", got)
			}
		})
	}
}

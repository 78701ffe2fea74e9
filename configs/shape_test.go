package configs

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const (
	accessLine = `192.0.2.1 - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" 200 1 "-" "-"` + "\n"
	errorLine  = `2026/11/22 07:23:11 [error] 1#1: *1 open() "/x" failed (2: No such file or directory), client: 192.0.2.1, server: _` + "\n"
)

// A filter for the access log that is given the error log, and the other way round.
func TestWrongLogs(t *testing.T) {
	long := strings.Repeat(errorLine, 1000)
	dir := tree(t, map[string]string{
		"access.log": strings.Repeat(accessLine, 5), "error.log": strings.Repeat(errorLine, 5), "short.log": strings.Repeat(errorLine, 4),
		"begins.log": accessLine + long, "ends.log": long + accessLine, "long.log": long, "empty.log": "", "blank.log": strings.Repeat("\r\n", 20),
	})
	for _, c := range []struct{ jail, says string }{
		{"filter = 'nginx-404'\nlogpath = 'D/error.log'", `D/b.toml:4: jail "j": logpath: D/error.log: none of 5 lines looks like what the filter nginx-404 reads, "access"` + "\n" + `hint: is it the right log for this filter?`},
		{"filter = 'nginx-limit-req'\nlogpath = 'D/access.log'", `D/b.toml:4: jail "j": logpath: D/access.log: none of 5 lines`},
		{"filter = 'nginx-404'\nlogpath = 'D/long.log'", `D/b.toml:4: jail "j": logpath: D/long.log: none of 2`},
		{"filter = 'nginx-404'\nlogpath = 'D/access.log D/short.log D/begins.log D/ends.log D/empty.log D/blank.log'", ""},
		{"filter = 'nginx-404'\nfailregex = '^<ADDR>$'\nlogpath = 'D/error.log'", ""},
		{"filter = 'nginx-http-auth'\nlogpath = 'D/error.log D/access.log'", ""},
	} {
		t.Run(c.jail, func(t *testing.T) {
			cfg, err := Parse(filepath.Join(dir, "b.toml"), []byte(strings.ReplaceAll("[jails.j]\nenabled = true\n"+c.jail, "D/", dir+"/")))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Build(cfg, BuildOptions{Strict: true, LookUp: lookUp, Own: none})
			checkErrors(t, err, dir, c.says)
		})
	}
}

// A running jail warns once, after a thousand lines.
func TestForeignLines(t *testing.T) {
	for lines, want := range map[int]int{999: 0, 3000: 1} {
		core, logs := observer.New(zap.WarnLevel)
		built, err := Build(Default(), BuildOptions{
			Jails: []string{"nginx-404"}, Stdin: strings.NewReader(strings.Repeat(errorLine, lines)), Once: true,
			DryRun: true, Out: &bytes.Buffer{}, Own: none, Logger: zap.New(core),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := built.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := logs.FilterField(zap.String("jail", "nginx-404")).FilterField(zap.Int("lines", 1000)).Len()
		if got != want {
			t.Errorf("%d lines: got %d warnings, want %d", lines, got, want)
		}
	}
}

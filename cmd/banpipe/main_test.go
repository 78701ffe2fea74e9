package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The test binary plays the program where it is called by its name.
func TestMain(m *testing.M) {
	if os.Getenv(testPeer) != "" {
		bePeer()
		return
	}
	testscript.Main(m, map[string]func(){"banpipe": main, shimName: main})
}

// One script a verb, each readable as a page of the manual.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			if err := os.WriteFile(filepath.Join(env.WorkDir, "service.sh"), []byte(serviceScript), 0o644); err != nil {
				return err
			}
			return expandWork(env.WorkDir)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "netns":
				return exec.Command("unshare", "-rn", "true").Run() == nil, nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// serviceScript is what scripts begin with that need a service: one runs when it is through, and $c points to it.
const serviceScript = `
c="--config $PWD/banpipe.toml"
touch auth.log
serve() {
	setpriv --pdeathsig KILL banpipe run $c >>service.log 2>&1 &
	service=$!
	until banpipe status $c >/dev/null 2>&1 && nft list chain inet banpipe bans >/dev/null 2>&1; do
		kill -0 $service || { cat service.log >&2; exit 1; }
		sleep 0.05
	done
}
stop() { kill $service; wait $service; }
trap 'kill $service 2>/dev/null; wait' EXIT
offend() { # offend ADDR TIMES
	for i in $(seq $2); do
		echo "$(date -u +%Y-%m-%dT%H:%M:%S+00:00) web1 sshd[$i]: Failed password for root from $1 port 4711 ssh2"
	done >> auth.log
}
banned() { nft list set inet banpipe ban4 | grep -q "$1 "; }
serve
`

// expandWork puts a script's folder in the place of $WORK in its configurations: a logpath is absolute.
func expandWork(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.toml"))
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(f, bytes.ReplaceAll(text, []byte("$WORK"), []byte(dir)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

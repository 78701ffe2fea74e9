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

package sources

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Without inotify files are polled, and it is said. The limits are those of a user namespace of our own.
func TestFilesWithoutInotify(t *testing.T) {
	for _, limit := range []string{"max_inotify_instances", "max_inotify_watches"} {
		t.Run(limit, func(t *testing.T) {
			if os.Getenv("BANPIPE_TEST_INOTIFY") == "" {
				cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^TestFilesWithoutInotify$/^"+limit+"$")
				cmd.Env = append(os.Environ(), "BANPIPE_TEST_INOTIFY=1")
				cmd.SysProcAttr = &syscall.SysProcAttr{
					Cloneflags:  syscall.CLONE_NEWUSER,
					UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
					GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
				}
				out, err := cmd.CombinedOutput()
				if err != nil && strings.Contains(err.Error(), "operation not permitted") {
					t.Skip("no right to make a user namespace")
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				return
			}
			check(os.WriteFile("/proc/sys/user/"+limit, []byte("0"), 0o644))
			logger, logged := observer.New(zap.WarnLevel)
			f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart, Logger: zap.New(logger)})
			f.append("log", "one\n")
			f.wants("log: one")
			f.append("log", "two\n")
			f.wants("log: two")
			f.rename("log", "log.1")
			f.append("log", "three\n")
			f.append("log.1", "late\n")
			f.wants("log: late", "log: three")
			if n := logged.FilterMessage("files are polled").Len(); n == 0 {
				t.Errorf("got no warning, want one that files are polled")
			}
		})
	}
}

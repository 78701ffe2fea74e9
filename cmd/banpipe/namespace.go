package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// insideEnv marks the process that has been started again in namespaces of its own.
const insideEnv = "BANPIPE_INSIDE"

func inside() bool { return os.Getenv(insideEnv) != "" }

// errNoNamespaces is what a distribution's setting makes of `try`.
var errNoNamespaces = errors.New("this system does not let ordinary users make network namespaces " +
	"(on Ubuntu the setting kernel.apparmor_restrict_unprivileged_userns); run it with sudo: nothing outside the namespace is touched then either")

// reenter runs this program again with the same arguments, in a network namespace of its own that ends with it.
// Without root that takes a user namespace around it, in which the caller is root (user_namespaces(7)).
func reenter(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return errSaid // it has printed why
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EINVAL):
		return errNoNamespaces // EPERM: forbidden; ENOSPC: user.max_user_namespaces is 0; EINVAL: not in this kernel
	default:
		return fmt.Errorf("start in a network namespace: %w", err)
	}
}

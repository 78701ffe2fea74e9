package sinks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A command is a program that a sink runs: argv only, no shell anywhere, nothing on standard input, a limit on
// its time and on what is kept of its output.
type command struct {
	argv  []string
	env   []string      // added to this program's own
	limit time.Duration // then it gets SIGTERM, and killWait later SIGKILL with all its children
	keep  int           // bytes of output; more is an error. 0: 1 KiB is kept for an error's text, and the rest overlooked
}

// killWait is how long a program may go on after SIGTERM.
const killWait = 5 * time.Second

// errTooLong is wrapped by what run returns when the time was up.
var errTooLong = errors.New("took too long")

// run runs the program and returns the beginning of its output, both streams as they came. It is not ended with
// ctx: a firewall's program that is killed while it writes leaves half a rule file (ufw 0.36 copies its rules over
// the old ones in place). Whoever has several to run looks at ctx in between.
func (c command) run(ctx context.Context) (out []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	kept := &head{limit: c.keep}
	if kept.limit <= 0 {
		kept.limit = 1 << 10
	}
	cmd.Stdout, cmd.Stderr = kept, kept
	// A group of its own, so that a script's children go with it, and a Ctrl-C meant for us spares it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killWait
	err = cmd.Run()
	if err != nil && cmd.Process != nil && ctx.Err() != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what is left of the group, if anything is
		err = fmt.Errorf("%w, more than %v", errTooLong, c.limit)
	}
	switch {
	case err != nil && len(kept.b) > 0:
		return kept.b, fmt.Errorf("%s: %w: %q", c.argv[0], err, trim(kept.b))
	case err != nil:
		return kept.b, fmt.Errorf("%s: %w", c.argv[0], err)
	case kept.lost && c.keep > 0:
		return kept.b, fmt.Errorf("%s: more than %d bytes of output", c.argv[0], kept.limit)
	}
	return kept.b, nil
}

// trim is the part of an output that goes into an error.
func trim(out []byte) []byte {
	const most = 200
	for len(out) > 0 && out[len(out)-1] == '\n' {
		out = out[:len(out)-1]
	}
	return out[:min(len(out), most)]
}

// A head keeps the first bytes that are written to it.
type head struct {
	b     []byte
	limit int
	lost  bool
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.limit-len(h.b))
	h.b = append(h.b, p[:n]...)
	h.lost = h.lost || n < len(p)
	return len(p), nil
}

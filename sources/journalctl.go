package sources

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A journalctl is a running child. A goroutine reads what it writes and hands it over block by block.
type journalctl struct {
	cancel context.CancelFunc
	blocks chan []byte // closed when it has ended; a block is good until the next but one is received
	killed bool        // it has ended because the context was done; both are to be read behind the close of blocks
	err    error       // else why
}

// An exitError is a journalctl that has failed, and the first line of what it said.
type exitError struct {
	err  error
	said string
}

func (e *exitError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("journalctl: %v: %s", e.err, e.said), ": ")
}
func (e *exitError) Unwrap() error { return e.err }

// startJournalctl runs it until ctx is done. It ends with this process, however that ends.
func startJournalctl(ctx context.Context, name string, args []string) (*journalctl, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &journalctl{cancel: cancel, blocks: make(chan []byte)}
	cmd, said := command(ctx, name, args)
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	started := make(chan error)
	go func() {
		defer close(c.blocks)
		defer cancel()
		// Pdeathsig (prctl(2)) is sent when the thread ends that started the child, so that it must not
		// be given back before.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		var bufs [2][]byte
		for i := range bufs {
			bufs[i] = make([]byte, 64<<10)
		}
		for i := 0; ctx.Err() == nil; i = 1 - i {
			n, err := out.Read(bufs[i])
			if n > 0 && !send(ctx, c.blocks, bufs[i][:n]) || err != nil {
				break
			}
		}
		c.killed = ctx.Err() != nil
		c.err = exited(cmd.Wait(), said)
	}()
	if err := <-started; err != nil {
		<-c.blocks
		return nil, err
	}
	return c, nil
}

// send reports whether the block was taken. Behind one that was not, none may be.
func send(ctx context.Context, blocks chan<- []byte, block []byte) bool {
	select {
	case blocks <- block:
		return true
	case <-ctx.Done():
		return false
	}
}

// runJournalctl runs it to its end and returns what it wrote, a megabyte at most.
func runJournalctl(ctx context.Context, name string, args []string) ([]byte, error) {
	cmd, said := command(ctx, name, args)
	out := &limitedBuffer{limit: 1 << 20}
	cmd.Stdout = out
	err := exited(cmd.Run(), said)
	return out.kept, err
}

func command(ctx context.Context, name string, args []string) (*exec.Cmd, *limitedBuffer) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_URLIFY=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	said := &limitedBuffer{limit: 4 << 10}
	cmd.Stderr = said
	return cmd, said
}

func exited(err error, said *limitedBuffer) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(said.kept)), "\n")
	return &exitError{err, line}
}

// A limitedBuffer keeps the first bytes that are written to it.
type limitedBuffer struct {
	kept  []byte
	limit int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	room := max(0, b.limit-len(b.kept))
	b.kept = append(b.kept, p[:min(room, len(p))]...)
	return len(p), nil
}

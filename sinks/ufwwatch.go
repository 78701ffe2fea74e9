package sinks

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// A ufwStamp tells states of ufw's files apart: ufw writes user.rules for every rule, and ufw.conf when it is
// switched on and off. Looking at them is cheaper than any watch (1 µs each), and sees files that are replaced, too.
type ufwStamp [3]struct {
	inode uint64
	size  int64
	at    int64
}

func (u *UFW) stamp() (s ufwStamp) {
	for i, name := range []string{"user.rules", "user6.rules", "ufw.conf"} {
		info, err := os.Stat(filepath.Join(cmp.Or(u.Dir, "/etc/ufw"), name))
		if err != nil {
			continue
		}
		s[i].size, s[i].at = info.Size(), info.ModTime().UnixNano()
		if sys, ok := info.Sys().(*syscall.Stat_t); ok {
			s[i].inode = sys.Ino
		}
	}
	return s
}

// ufwAudit is how often ufw is asked whether it is active: "systemctl stop ufw" changes no file.
const ufwAudit = time.Minute

// Watch returns nil when somebody else has changed our rules or switched ufw off. It overlooks what others do with rules of
// their own. Rules that are removed with iptables, past ufw, are not noticed ("ufw reload" brings them back).
func (u *UFW) Watch(ctx context.Context) error {
	tick := time.NewTicker(cmp.Or(u.Poll, time.Second))
	defer tick.Stop()
	for audit := time.Now().Add(ufwAudit); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		due := time.Now().After(audit)
		what, err := u.notice(ctx, due)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if due {
			audit = time.Now().Add(ufwAudit)
		}
		if what != "" {
			u.log().Warn("changed by somebody else", zap.String("what", what))
			return u.fight.wait(ctx)
		}
	}
}

// notice says what of ours somebody has changed; "" if nothing. While commands of ours run it does not look: they end
// with a look of their own.
func (u *UFW) notice(ctx context.Context, audit bool) (what string, err error) {
	if !u.mu.TryLock() {
		return "", nil
	}
	defer u.mu.Unlock()
	if u.rules == nil || !audit && u.stamp() == u.seen {
		return "", nil
	}
	before := u.rules
	switch err := u.look(ctx, true); {
	case errors.Is(err, errInactive):
		return "ufw is switched off", nil
	case err != nil:
		u.rules = before // to be compared again
		u.seen = ufwStamp{}
		return "", err
	}
	for key, r := range before {
		if now := u.rules[key]; r.ours && now != r || u.leant[key] && !now.blocks() {
			return "rule", nil
		}
	}
	for key, r := range u.rules {
		if r.ours && !before[key].ours { // a restored backup
			return "rule", nil
		}
	}
	return "", nil
}

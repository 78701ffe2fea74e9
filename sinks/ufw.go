package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// UFW bans with rules of ufw, by "ufw prepend deny from ADDR". NFTables is the better back end: it needs no program,
// ends bans by itself, and holds millions, where each rule here costs some 0.2 s of a processor to add and slows every
// packet down. UFW is for those who want to see their bans in "ufw status".
//
// Our rules carry a comment ("banpipe: sshd until 2026-11-23T07:23:11Z") and only those are changed or deleted. Where somebody
// has a rule for exactly the same source and ports, it stands: if it blocks, there is nothing to do; if it allows, the ban
// is refused.
//
// ufw accepts packets of connections that exist before it looks at any rule, so whoever is banned keeps those; Kill
// ends them, too. Its rules are about this machine's own ports, not about those of containers and what is
// forwarded. "prepend" is in ufw since 0.36. ufw has no timeouts: wrap it in Expire, which ends the bans.
//
// All fields are optional and must not change after the first call. It needs to be root, as ufw does.
type UFW struct {
	Command  []string      // the program and its first arguments; nil means ufw
	Dir      string        // where ufw keeps its rules, to see others change them; "" means /etc/ufw
	Kill     string        // how to end the connections of the banned: "ss", "conntrack" (the program), "" not at all
	MaxRules int           // of ours; 0 means 500
	Timeout  time.Duration // for one command; 0 means 30 s
	Poll     time.Duration // how often Watch looks at the files; 0 means 1 s
	Logger   *zap.Logger   // nil means no logs

	mu sync.Mutex
	// guarded by mu
	rules map[string]ufwRule // all of ufw's, by key; nil: not known
	seen  ufwStamp           // of the files, before rules was read
	leant map[string]bool    // keys of bans that need no rule of ours, since somebody has one

	fight fight // of Watch only
}

var (
	_ pipeline.Keeper  = (*UFW)(nil)
	_ pipeline.Adopter = (*UFW)(nil)
)

// Name is "ufw".
func (*UFW) Name() string { return "ufw" }

func (u *UFW) log() *zap.Logger {
	if u.Logger == nil {
		return zap.NewNop()
	}
	return u.Logger.Named("ufw")
}

// errInactive is returned while ufw is switched off: rules could be added, and would block nobody.
var errInactive = errors.New(`ufw is not active, so its rules block nobody: "ufw enable" switches it on`)

// ufwOutput is the most that a listing may have: some 100,000 rules.
const ufwOutput = 16 << 20

// ufw runs one command.
func (u *UFW) ufw(ctx context.Context, args ...string) (string, error) {
	argv := u.Command
	if len(argv) == 0 {
		argv = []string{"ufw"}
	}
	out, err := command{
		argv: append(slices.Clone(argv), args...), env: []string{"LC_ALL=C", "LANGUAGE=C"},
		limit: cmp.Or(u.Timeout, 30*time.Second), keep: ufwOutput,
	}.run(ctx)
	return string(out), err
}

// look brings rules up to date if the files have changed since, or nothing is known; again in any case.
func (u *UFW) look(ctx context.Context, again bool) error {
	stamp := u.stamp()
	if !again && u.rules != nil && stamp == u.seen {
		return nil
	}
	u.rules = nil
	status, err := u.ufw(ctx, "status")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "Status: active") {
		return errInactive
	}
	return u.list(ctx, stamp)
}

// list reads the rules. stamp is from before, so that what changes meanwhile will be seen.
func (u *UFW) list(ctx context.Context, stamp ufwStamp) error {
	u.rules = nil
	out, err := u.ufw(ctx, "show", "added")
	if err != nil {
		return err
	}
	u.rules, u.seen = parseUFWRules([]byte(out)), stamp
	return nil
}

// ours is how many rules carry our mark.
func (u *UFW) ours() (n int) {
	for _, r := range u.rules {
		if r.ours {
			n++
		}
	}
	return n
}

// Held is the bans that our rules stand for, of whatever run.
func (u *UFW) Held(ctx context.Context) ([]pipeline.Action, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.list(ctx, u.stamp()); err != nil {
		return nil, err
	}
	held := make(map[banKey]pipeline.Action)
	for key, r := range u.rules {
		if !r.ours {
			continue
		}
		a, err := r.ban(key)
		if err != nil {
			u.log().Warn("a rule with our mark is not one of ours", zap.String("rule", key), zap.Error(err))
			continue
		}
		held[keyOf(&a)] = a
	}
	return slices.Collect(maps.Values(held)), nil
}

// A ufwChange is one command.
type ufwChange struct {
	key    string
	mark   ufwMark
	remove bool
	a      *pipeline.Action // that asks for it
}

// argv is the command. Deleting names the comment, so that only the rule that is ours can be hit; changing a comment
// is done by adding the rule once more, without "prepend", and leaves it where it is.
func (c ufwChange) argv(old ufwRule) []string {
	comment := c.mark
	verb := []string{"prepend", "deny"}
	switch {
	case c.remove:
		comment, verb = old.mark, []string{"delete", "deny"}
	case old.ours:
		verb = []string{"deny"}
	}
	return append(append(verb, strings.Fields(c.key)...), "comment", comment.String())
}

// Apply runs the commands that the actions need, one after the other: first the new bans, last the ends that move.
func (u *UFW) Apply(ctx context.Context, actions []pipeline.Action) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(actions) == 0 {
		return ctx.Err()
	}
	if err := u.look(ctx, false); err != nil {
		return err
	}
	p := u.plan()
	for i := range actions {
		if actions[i].Op == pipeline.Unban {
			p.unban(&actions[i])
		}
	}
	for i := range actions {
		if actions[i].Op == pipeline.Ban && !actions[i].Observe {
			p.ban(&actions[i])
		}
	}
	return u.carryOut(ctx, p)
}

// Sync makes our rules those of the live bans. Rules with our mark that no live ban needs are deleted.
func (u *UFW) Sync(ctx context.Context, live iter.Seq[pipeline.Action]) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.look(ctx, true); err != nil {
		return err
	}
	u.leant = nil
	bans := slices.DeleteFunc(slices.Collect(live), func(a pipeline.Action) bool { return a.Observe })
	wanted := make(map[string]bool)
	for i := range bans {
		keys, _ := ufwKeys(&bans[i])
		for _, key := range keys {
			wanted[key] = true
		}
	}
	p := u.plan()
	for key, r := range u.rules {
		if r.ours && !wanted[key] {
			p.remove(key, nil)
		}
	}
	for i := range bans {
		p.ban(&bans[i])
	}
	return u.carryOut(ctx, p)
}

// A ufwPlan is what is to be done, worked out from the rules as they are.
type ufwPlan struct {
	u       *UFW
	changes []ufwChange
	ours    int // rules there will be
	refused refusals
}

func (u *UFW) plan() *ufwPlan { return &ufwPlan{u: u, ours: u.ours()} }

func (p *ufwPlan) unban(a *pipeline.Action) {
	keys, _ := ufwKeys(a) // what cannot be banned is not there
	for _, key := range keys {
		delete(p.u.leant, key)
		if p.u.rules[key].ours {
			p.remove(key, a)
		}
	}
}

func (p *ufwPlan) remove(key string, a *pipeline.Action) {
	p.changes = append(p.changes, ufwChange{key: key, remove: true, a: a})
	p.ours--
}

func (p *ufwPlan) ban(a *pipeline.Action) {
	keys, err := ufwKeys(a)
	if err != nil {
		p.refused.add(*a, err)
		return
	}
	var adds, moves []ufwChange
	m := ufwMarkOf(a)
	for _, key := range keys {
		switch r, exists := p.u.rules[key]; {
		case !exists:
			adds = append(adds, ufwChange{key: key, mark: m, a: a})
		case r.ours && !r.mark.until.Equal(m.until):
			moves = append(moves, ufwChange{key: key, mark: m, a: a})
		case r.ours:
		case r.blocks():
			if p.u.leant == nil {
				p.u.leant = make(map[string]bool)
			}
			p.u.leant[key] = true
		default:
			p.refused.add(*a, fmt.Errorf(`"ufw %s %s" is somebody's own rule, and stands`, r.action, key))
			return
		}
	}
	if most := cmp.Or(p.u.MaxRules, 500); len(adds) > 0 && p.ours+len(adds) > most {
		p.refused.add(*a, fmt.Errorf(`the limit of %d rules (max_rules) is reached: each makes every packet and every command of ufw slower; banaction = ["nftables"] holds millions`, most))
		return
	}
	p.ours += len(adds)
	p.changes = append(append(p.changes, adds...), moves...)
}

// maxUFWFailures is how many commands in a row may fail before the rest is put off: one bad address must not keep the
// others from being banned, nor a broken ufw take half a minute for each.
const maxUFWFailures = 3

// carryOut runs the commands and looks whether they have done what they should. ufw says so with exit code 0 in
// any case where it skips a rule.
func (u *UFW) carryOut(ctx context.Context, p *ufwPlan) error {
	if len(p.changes) == 0 {
		return p.refused.err()
	}
	rank := func(c ufwChange) int {
		switch {
		case c.remove:
			return 1
		case u.rules[c.key].ours:
			return 2
		}
		return 0
	}
	slices.SortStableFunc(p.changes, func(a, b ufwChange) int { return cmp.Compare(rank(a), rank(b)) })
	before := u.rules
	var failed failures
	var refused []ufwChange
	row := 0
	for _, c := range p.changes {
		if err := ctx.Err(); err != nil {
			failed.add(err)
			break
		}
		_, err := u.ufw(ctx, c.argv(before[c.key])...)
		if err == nil {
			row = 0
			continue
		}
		if c.a != nil && strings.Contains(err.Error(), "IPv6 not enabled") {
			p.refused.add(*c.a, errors.New("ufw leaves IPv6 alone (IPV6=no in /etc/default/ufw)"))
			refused = append(refused, c)
			continue
		}
		failed.add(err)
		if row++; row == maxUFWFailures || errors.Is(err, errTooLong) {
			break
		}
	}
	if err := u.list(context.WithoutCancel(ctx), u.stamp()); err != nil {
		return cmp.Or(failed.first, err)
	}
	if failed.n == 0 {
		failed.add(u.verify(p.changes, refused))
	}
	u.kill(ctx, p.changes, before)
	return cmp.Or(failed.err(), p.refused.err())
}

// verify says which command has not done what it should.
func (u *UFW) verify(changes, but []ufwChange) error {
	for _, c := range changes {
		if slices.Contains(but, c) {
			continue
		}
		r, exists := u.rules[c.key]
		wrong := exists && r.ours
		if !c.remove {
			wrong = !r.blocks() || r.ours && r.mark != c.mark
		}
		if wrong {
			return fmt.Errorf("ufw %s: it said that all was well, and it is not", strings.Join(c.argv(r), " "))
		}
	}
	return nil
}

// Flush deletes every rule with our mark and says how many there were.
func (u *UFW) Flush(ctx context.Context) (n int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.list(ctx, u.stamp()); err != nil {
		return 0, err
	}
	p := u.plan()
	for key, r := range u.rules {
		if r.ours {
			p.remove(key, nil)
		}
	}
	return len(p.changes), u.carryOut(ctx, p)
}

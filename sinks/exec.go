package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// Exec bans by running programs: whatever a user has. There is no shell; each word of Ban and Unban becomes one argument,
// in which these are replaced:
//
//	{addr}     192.0.2.7 or 2001:db8::7; a network with its length, 192.0.2.0/24
//	{prefix}   192.0.2.7/32: always with the length
//	{family}   ipv4 or ipv6
//	{jail}     the jail that bans; "manual" by hand
//	{ports}    22,80-443, or all
//	{seconds}  until the ban ends, rounded up; -1 if never
//
// Exit code 0 means done, 65 (EX_DATAERR, sysexits.h) that this ban can never be carried out, and anything else, like a
// program that takes too long or is not there, that it is to be tried again. One program runs at a time.
//
// What was told to the back end is written to State, since it cannot be asked: a ban whose end comes while nobody runs is
// lifted at the next start. All live bans are told again then (a reboot may have emptied the back end), so
// a ban program must be content with an address that it has. Wrap it in Expire, which ends the bans.
type Exec struct {
	Label string   // its name; "" means "exec"
	Ban   []string // the program and its arguments
	Unban []string // none: the back end ends bans by itself, by {seconds}, or only wants to know of them

	Timeout time.Duration    // for one program; 0 means 10 s
	MaxBans int              // that it is told of at most; 0 means 10,000
	State   string           // the file that remembers what is banned, in a folder that exists; "": nothing does
	Now     func() time.Time // the clock that Until is read by; nil means time.Now
	Logger  *zap.Logger      // nil means no logs

	mu sync.Mutex
	// guarded by mu
	book    book
	leaving int // entries that the apply that goes on is about to cross out
}

var (
	_ pipeline.Keeper  = (*Exec)(nil)
	_ pipeline.Adopter = (*Exec)(nil)
	_ pipeline.Lifter  = (*Exec)(nil)
)

// exitRefused is EX_DATAERR of sysexits.h.
const exitRefused = 65

// An unban that its program has refused so often is given up: "iptables -D" fails for ever once somebody has flushed the rules.
const maxUnbanTries = 5

// Name is the label.
func (x *Exec) Name() string { return cmp.Or(x.Label, "exec") }

// Lifts says whether there is a program that ends bans.
func (x *Exec) Lifts() bool { return len(x.Unban) > 0 }

func (x *Exec) log() *zap.Logger {
	if x.Logger == nil {
		return zap.NewNop()
	}
	return x.Logger.Named(x.Name())
}

func (x *Exec) now() time.Time {
	if x.Now == nil {
		return time.Now()
	}
	return x.Now()
}

// Held is what the back end was told to hold, by the file: the bans of an earlier run, too.
func (x *Exec) Held(context.Context) ([]pipeline.Action, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open()
	var held []pipeline.Action
	for k, e := range x.book.entries {
		a := e.action(k)
		a.Jail, a.Restored = cmp.Or(a.Jail, pipeline.RestoredJail), true
		held = append(held, a)
	}
	return held, nil
}

func (x *Exec) open() {
	x.book.path = x.State
	if err := x.book.open(); err != nil {
		x.log().Error("what is banned by an earlier run is not known", zap.Error(err))
	}
}

// Watch waits for ctx: a back end that cannot be asked does not tell, either.
func (*Exec) Watch(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Apply runs a program for each action that changes something. One that fails does not keep the others from being tried.
func (x *Exec) Apply(ctx context.Context, actions []pipeline.Action) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open()
	return x.apply(ctx, actions)
}

// Sync bans what is live and was not yet told in this run, and lifts what was told and is not live.
func (x *Exec) Sync(ctx context.Context, live iter.Seq[pipeline.Action]) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open()
	surplus := maps.Clone(x.book.entries)
	var bans, actions []pipeline.Action
	for a := range live {
		a.Op = pipeline.Ban
		delete(surplus, keyOf(&a))
		bans = append(bans, a)
	}
	for k, e := range surplus {
		a := e.action(k)
		a.Op = pipeline.Unban
		actions = append(actions, a)
	}
	return x.apply(ctx, append(actions, bans...))
}

// Flush lifts all that the file remembers, and says how much that was. Without Unban it only forgets.
func (x *Exec) Flush(ctx context.Context) (n int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.open()
	var all []pipeline.Action
	for k, e := range x.book.entries {
		a := e.action(k)
		a.Op = pipeline.Unban
		all = append(all, a)
	}
	err = x.apply(ctx, all)
	return len(all) - len(x.book.entries), err
}

func (x *Exec) apply(ctx context.Context, actions []pipeline.Action) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var refused refusals
	var todo []pipeline.Action
	x.leaving = 0
	// Room is made first.
	actions = slices.SortedStableFunc(slices.Values(actions), func(a, b pipeline.Action) int { return cmp.Compare(b.Op, a.Op) })
	for _, a := range actions {
		switch need, err := x.enter(&a); {
		case err != nil:
			refused.add(a, err)
		case need:
			todo = append(todo, a)
		}
	}
	if err := x.book.save(); err != nil {
		return fmt.Errorf("state of sink %s: %w", x.Name(), err)
	}
	var failed failures
	for i := range todo {
		if err := ctx.Err(); err != nil {
			failed.add(err)
			break
		}
		err := x.run(ctx, &todo[i])
		if errors.Is(err, errRefused) {
			refused.add(todo[i], err)
		} else {
			failed.add(err)
		}
		if errors.Is(err, errTooLong) {
			break // it hangs; the others would wait as long
		}
	}
	failed.add(x.book.save())
	return cmp.Or(failed.err(), refused.err())
}

// enter books an action and reports whether a program must run for it.
func (x *Exec) enter(a *pipeline.Action) (need bool, err error) {
	k := keyOf(a)
	e := x.book.entries[k]
	over := a.Op == pipeline.Ban && !a.Until.IsZero() && !a.Until.After(x.now())
	switch {
	case a.Observe || a.Op != pipeline.Ban && a.Op != pipeline.Unban:
		return false, nil
	case a.Op == pipeline.Unban || over:
		if e == nil && over {
			return false, nil
		}
		if a.Op, a.Until = pipeline.Unban, (time.Time{}); e != nil {
			x.leaving++
		}
		return true, nil
	case !a.Prefix.IsValid():
		return false, errors.New("no address")
	case e == nil && len(x.book.entries)-x.leaving >= cmp.Or(x.MaxBans, 10_000):
		return false, fmt.Errorf(`the limit of %d bans (max_rules) is reached; banaction = ["nftables"] holds millions`, cmp.Or(x.MaxBans, 10_000))
	case e == nil:
		e = &entry{}
		x.book.entries[k] = e
	case e.done && (e.until.Equal(a.Until) || !x.tellsEnd()):
		x.book.dirty = x.book.dirty || !e.until.Equal(a.Until)
		e.until = a.Until
		return false, nil
	}
	e.jail, e.until, e.done, e.tries = a.Jail, a.Until, false, 0
	x.book.dirty = true
	return true, nil
}

// tellsEnd reports whether the back end knows when bans end, and so must hear of another end.
func (x *Exec) tellsEnd() bool {
	return slices.ContainsFunc(x.Ban, func(word string) bool { return strings.Contains(word, "{seconds}") })
}

// errRefused is a program's exit code 65.
var errRefused = errors.New("refused")

// run runs the program of one action and books what came of it.
func (x *Exec) run(ctx context.Context, a *pipeline.Action) error {
	k := keyOf(a)
	e := x.book.entries[k]
	template := x.Ban
	if a.Op == pipeline.Unban {
		template = x.Unban
		if e != nil {
			a.Jail = cmp.Or(e.jail, a.Jail) // the words that were used for the ban
		}
	}
	var err error
	if len(template) > 0 {
		_, err = command{argv: x.argv(template, a), limit: cmp.Or(x.Timeout, 10*time.Second)}.run(ctx)
	}
	exit := (*exec.ExitError)(nil)
	said := errors.As(err, &exit) && !errors.Is(err, errTooLong)
	if said && exit.ExitCode() == exitRefused {
		err = fmt.Errorf("%s %s: %w: %w", a.Op, a.Prefix, errRefused, err)
	} else if err != nil {
		err = fmt.Errorf("%s %s: %w", a.Op, a.Prefix, err)
	}
	switch {
	case a.Op == pipeline.Ban && err == nil:
		e.done = true
	case a.Op == pipeline.Ban && errors.Is(err, errRefused):
		x.forget(k)
	case a.Op == pipeline.Ban:
	case err == nil || errors.Is(err, errRefused):
		x.forget(k)
	case e == nil: // nothing was known of it
		x.log().Warn("an unban of what is not known to be banned has failed", zap.Error(err))
		return nil
	case said:
		if e.tries++; e.tries >= maxUnbanTries {
			x.log().Error("a ban cannot be lifted; it is given up", zap.Int("tries", e.tries), zap.Error(err))
			x.forget(k)
			return nil
		}
	}
	return err
}

func (x *Exec) forget(k banKey) {
	delete(x.book.entries, k)
	x.book.dirty = true
}

// argv fills a template in.
func (x *Exec) argv(template []string, a *pipeline.Action) []string {
	addr, family, seconds := a.Prefix.String(), "ipv6", "-1"
	if a.Prefix.IsSingleIP() {
		addr = a.Prefix.Addr().String()
	}
	if a.Prefix.Addr().Unmap().Is4() {
		family = "ipv4"
	}
	if !a.Until.IsZero() {
		seconds = strconv.FormatInt(max(1, int64((a.Until.Sub(x.now())+time.Second-1)/time.Second)), 10)
	}
	// A Replacer goes over each word once: what is put in is not looked at again.
	r := strings.NewReplacer("{addr}", addr, "{prefix}", a.Prefix.String(), "{family}", family, "{jail}", a.Jail,
		"{ports}", cmp.Or(pipeline.PortsString(a.Ports), "all"), "{seconds}", seconds)
	argv := []string{template[0]}
	for _, word := range template[1:] {
		argv = append(argv, strings.ReplaceAll(r.Replace(word), "\x00", ""))
	}
	return argv
}

// CheckCommand says what is wrong with a program and its arguments: there is no program, or arguments stand in its name.
func CheckCommand(argv []string) error {
	if len(argv) == 0 || argv[0] == "" {
		return errors.New("no program")
	}
	if strings.ContainsAny(argv[0], "{} \t") {
		return fmt.Errorf("program %q: want a path or a name; each argument is a string of its own", argv[0])
	}
	return nil
}

// CheckArgv says what is wrong with a template for Ban or Unban: no program, or a placeholder that does not exist.
func CheckArgv(template []string) error {
	if err := CheckCommand(template); err != nil {
		return err
	}
	for _, word := range template[1:] {
		for rest := word; ; {
			_, after, open := strings.Cut(rest, "{")
			name, more, closed := strings.Cut(after, "}")
			if !open || !closed {
				break
			}
			if isWord(name) && !slices.Contains([]string{"addr", "prefix", "family", "jail", "ports", "seconds"}, name) {
				return fmt.Errorf("%q: there is no {%s}, but {addr}, {prefix}, {family}, {jail}, {ports} and {seconds}", word, name)
			}
			rest = more
		}
	}
	return nil
}

// isWord reports whether s looks like the name of a placeholder, as a regex's {2,3} or JSON's {"a":1} does not.
func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// failures gathers what will be tried again: the first error stands for all.
type failures struct {
	first error
	n     int
}

func (f *failures) add(err error) {
	if err == nil {
		return
	}
	if f.n++; f.first == nil {
		f.first = err
	}
}

func (f *failures) err() error {
	if f.n > 1 {
		return fmt.Errorf("%w (and %d more)", f.first, f.n-1)
	}
	return f.first
}

package pipelinetest

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// memory is a correct Keeper and Adopter over a map, except for the one fault that it is told to have.
type memory struct {
	fault string

	mu      sync.Mutex
	held    map[string]pipeline.Action
	broken  bool
	changed chan struct{}
}

func newMemory(fault string) *memory {
	return &memory{fault: fault, held: map[string]pipeline.Action{}, changed: make(chan struct{}, 1)}
}

func (m *memory) backend() Backend {
	return Backend{Sink: m, Held: m.look, Break: m.smash, Disturb: m.disturb, Many: 500}
}

func (m *memory) Name() string {
	if m.fault == "no name" {
		return ""
	}
	return "memory"
}

func (m *memory) key(a pipeline.Action) string {
	switch m.fault {
	case "ports do not matter":
		return a.Prefix.String()
	case "IPv4 only":
		if a.Prefix.Addr().Is6() {
			return "v6"
		}
	}
	return a.Prefix.String() + " " + pipeline.PortsString(a.Ports)
}

func (m *memory) Apply(ctx context.Context, actions []pipeline.Action) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.fault == "refuses when done" && ctx.Err() != nil:
		return &pipeline.RefusedError{Actions: actions, Err: ctx.Err()}
	case m.fault == "half when done" && ctx.Err() != nil:
		actions = actions[:len(actions)/2]
	case m.fault == "slow when done" && ctx.Err() != nil:
		time.Sleep(3 * time.Second)
	case ctx.Err() != nil:
		return ctx.Err()
	case m.broken && m.fault != "hides errors":
		return errors.New("broken")
	case m.fault == "big batches are cut":
		actions = actions[:min(len(actions), 100)]
	case m.fault == "own work shows":
		m.notify()
	}
	for _, a := range actions {
		if err := m.put(a); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) put(a pipeline.Action) error {
	old, ok := m.held[m.key(a)]
	switch {
	case a.Op == pipeline.Unban && m.fault == "unban does nothing":
	case a.Op == pipeline.Unban && !ok && m.fault == "unban of the absent fails":
		return errors.New("no such element")
	case a.Op == pipeline.Unban:
		delete(m.held, m.key(a))
	case ok && m.fault == "a ban again fails":
		return errors.New("exists")
	case ok && m.fault == "a ban again changes nothing":
	case ok && m.fault == "an end moves only out" && a.Until.Before(old.Until) && !a.Until.IsZero():
	case ok && m.fault == "an end moves only in" && a.Until.After(old.Until):
	case !a.Until.IsZero() && !a.Until.After(time.Now()):
		delete(m.held, m.key(a))
		if m.fault == "past is for ever" {
			a.Until = time.Time{}
			m.held[m.key(a)] = a
		}
	case a.Until.IsZero() && m.fault == "for ever is a day":
		a.Until = time.Now().Add(24 * time.Hour)
		m.held[m.key(a)] = a
	case m.fault == "ends are a minute off":
		a.Until = a.Until.Add(time.Minute)
		m.held[m.key(a)] = a
	default:
		m.held[m.key(a)] = a
	}
	return nil
}

func (m *memory) look() ([]pipeline.Action, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var held []pipeline.Action
	for _, a := range m.held {
		if m.fault == "hosts only" {
			a.Prefix = netip.PrefixFrom(a.Prefix.Addr(), a.Prefix.Addr().BitLen())
		}
		held = append(held, pipeline.Action{Prefix: a.Prefix, Ports: a.Ports, Until: a.Until, Jail: "restored"})
	}
	return held, nil
}

func (m *memory) smash() func() {
	m.broken = true
	return func() { m.broken = false }
}

func (m *memory) disturb() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.held)
	m.notify()
}

func (m *memory) notify() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

func (m *memory) Sync(_ context.Context, live iter.Seq[pipeline.Action]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != "Sync only adds" {
		clear(m.held)
	}
	for a := range live {
		if m.fault == "Sync keeps old ends" && a.Prefix == net6 {
			continue
		}
		if err := m.put(a); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Watch(ctx context.Context) error {
	changed := m.changed
	switch m.fault {
	case "Watch is blind":
		changed = nil
	case "Watch ends well":
		<-ctx.Done()
		return nil
	case "Watch has no end":
		if ctx.Err() == nil {
			ctx = context.WithoutCancel(ctx)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(time.Minute):
		}
		return ctx.Err()
	case "Watch forgets what it missed":
		select {
		case <-changed:
		default:
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
		return nil
	}
}

func (m *memory) Held(context.Context) ([]pipeline.Action, error) {
	held, _ := m.look()
	switch m.fault {
	case "Held leaves out prefixes":
		held = slices.DeleteFunc(held, func(a pipeline.Action) bool { return !a.Prefix.IsSingleIP() })
	case "Held has no jail":
		for i := range held {
			held[i].Jail = ""
		}
	case "Held invents":
		held = append(held, pipeline.Action{Prefix: netip.MustParsePrefix("192.0.2.99/32"), Jail: "restored"})
	}
	return held, nil
}

func TestSinkContract(t *testing.T) {
	TestSink(t, func(*testing.T) Backend { return newMemory("").backend() })
}

// A sink that is only a sink is not asked for more.
func TestSinkPlain(t *testing.T) {
	m := newMemory("")
	b := Backend{Sink: struct{ pipeline.Sink }{m}, Held: m.look}
	for _, c := range sinkChecks() {
		if extra := strings.HasPrefix(c.name, "Sync") || strings.HasPrefix(c.name, "Watch") || strings.HasPrefix(c.name, "Held") || strings.HasPrefix(c.name, "an error"); c.applies(&b) == extra {
			t.Errorf("%s: applies %v to a plain sink, want %v", c.name, !extra, extra)
		}
	}
}

// Each fault is found, by the check that says so.
func TestSinkFaults(t *testing.T) {
	for _, c := range []struct{ fault, check string }{
		{"no name", "has a name"},
		{"IPv4 only", "bans"},
		{"hosts only", "bans"},
		{"ends are a minute off", "bans"},
		{"a ban again fails", "the same ban again"},
		{"a ban again changes nothing", "a later end moves the end"},
		{"an end moves only in", "a later end moves the end"},
		{"an end moves only out", "an earlier end moves the end"},
		{"for ever is a day", "for ever and back"},
		{"unban does nothing", "unbans"},
		{"unban of the absent fails", "unban of the absent"},
		{"ports do not matter", "ports and prefixes are apart"},
		{"past is for ever", "an end in the past"},
		{"big batches are cut", "many at once"},
		{"refuses when done", "a done context"},
		{"half when done", "a done context"},
		{"slow when done", "a done context"},
		{"hides errors", "an error, then again"},
		{"Sync only adds", "Sync makes it exact"},
		{"Sync keeps old ends", "Sync makes it exact"},
		{"Watch ends well", "Watch ends with its context"},
		{"Watch has no end", "Watch ends with its context"},
		{"own work shows", "Watch overlooks the sink's own work"},
		{"Watch is blind", "Watch sees others"},
		{"Watch forgets what it missed", "Watch sees others"},
		{"Held leaves out prefixes", "Held is what was put"},
		{"Held has no jail", "Held is what was put"},
		{"Held invents", "Held is what was put"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				checks := sinkChecks()
				i := slices.IndexFunc(checks, func(check sinkCheck) bool { return check.name == c.check })
				b := newMemory(c.fault).backend()
				err := checks[i].run(t.Context(), &b)
				time.Sleep(time.Hour) // whatever still runs
				if err == nil {
					t.Fatalf("%s: got no error from a sink with the fault %q", c.check, c.fault)
				}
				if strings.Contains(err.Error(), "%!") {
					t.Errorf("%s: got %q, a broken format", c.check, err)
				}
			})
		})
	}
}

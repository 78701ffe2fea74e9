package configs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A timed is the stages of one jail, with a clock that the test sets: 3 hits in 10 minutes mean a ban of an hour. Its lines
// are "DATE by ADDR".
type timed struct {
	t   *testing.T
	now time.Time
	*Built
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newTimed(t *testing.T, more string) *timed {
	t.Helper()
	cfg, err := Parse("b.toml", []byte("[jails.j]\nenabled = true\nlogpath = '/log'\nfailregex = '^ ?by <HOST>$'\nmaxretry = 3\nfindtime = '10m'\nbantime = '1h'\n"+more))
	if err != nil {
		t.Fatal(err)
	}
	c := &timed{t: t, now: noon}
	c.Built, err = Build(cfg, BuildOptions{DryRun: true, Own: none, Workers: 1, Now: func() time.Time { return c.now }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reads puts lines through, all in one batch, and says what comes of it: "ban ADDR until HH:MM:SS".
func (c *timed) reads(live bool, lines ...string) string {
	c.t.Helper()
	b := &pipeline.Batch{Source: "file:/log", Live: live}
	for _, line := range lines {
		b.Append([]byte(line), c.now)
	}
	for _, s := range c.Stages {
		if err := s.Process(context.Background(), b); err != nil {
			c.t.Fatal(err)
		}
	}
	var all []string
	for _, a := range b.Actions {
		all = append(all, fmt.Sprintf("%v %v until %s", a.Op, a.Prefix.Addr(), a.Until.UTC().Format(time.TimeOnly)))
	}
	return strings.Join(all, "; ")
}

// times are lines by one address, a minute apart.
func times(at time.Time, layout, addr string, n int) (lines []string) {
	for i := range n {
		lines = append(lines, at.Add(time.Duration(i)*time.Minute).Format(layout)+" by "+addr)
	}
	return lines
}

// What design says of time, sentence by sentence.
func TestTime(t *testing.T) {
	const iso, naive, stamp = time.RFC3339, "2006-01-02 15:04:05", time.Stamp
	for _, tt := range []struct {
		name, jail string
		now        time.Time
		live       bool
		lines      []string
		want       string
		odd        int64
	}{
		{"a backlog is judged as it happened", "", noon, false, times(noon.Add(-30*time.Minute), iso, "192.0.2.1", 3), "ban 192.0.2.1 until 12:32:00", 0},
		{
			"hits that lay apart do not count together, read in one go", "", noon, false,
			[]string{"2026-11-22T09:00:00Z by 192.0.2.1", "2026-11-22T09:11:00Z by 192.0.2.1", "2026-11-22T11:59:00Z by 192.0.2.1"},
			"", 0,
		},
		{"a ban that would be over by now is none", "", noon, false, times(noon.Add(-2*time.Hour), iso, "192.0.2.1", 3), "", 0},
		{"without a date it happened when it was read", "", noon, false, []string{"by 192.0.2.1", "by 192.0.2.1", "by 192.0.2.1"}, "ban 192.0.2.1 until 13:00:00", 0},
		{"live, a minute is nothing", "", noon, true, times(noon.Add(-2*time.Minute+time.Second), iso, "192.0.2.1", 3)[1:], "", 0},
		{"live, five hours behind is a zone: it counts as now", "", noon, true, times(noon.Add(-5*time.Hour), naive, "192.0.2.1", 3), "ban 192.0.2.1 until 13:00:00", 3},
		{"live, five hours ahead too", "", noon, true, times(noon.Add(5*time.Hour), naive, "192.0.2.1", 3), "ban 192.0.2.1 until 13:00:00", 3},
		{
			"logtimezone cures it", "logtimezone = '-0500'\n", noon, true,
			[]string{"2026-11-22 06:59:10 by 192.0.2.1", "2026-11-22 06:59:20 by 192.0.2.1", "2026-11-22 06:59:30 by 192.0.2.1"},
			"ban 192.0.2.1 until 12:59:30", 0,
		},
		{"and judges a backlog right", "logtimezone = '-0500'\n", noon, false, times(noon.Add(-5*time.Hour-30*time.Minute), naive, "192.0.2.1", 3), "ban 192.0.2.1 until 12:32:00", 0},
		{
			"new year: December, read in January", "", time.Date(2027, 1, 1, 0, 0, 30, 0, time.UTC), false,
			[]string{"Dec 31 23:59:50 by 192.0.2.1", "Dec 31 23:59:58 by 192.0.2.1", "Jan  1 00:00:05 by 192.0.2.1"},
			"ban 192.0.2.1 until 01:00:05", 0,
		},
		{
			"new year: January, read in December by a clock that is behind", "", time.Date(2026, 12, 31, 23, 59, 50, 0, time.UTC), false,
			[]string{"Dec 31 23:59:49 by 192.0.2.1", "Jan  1 00:00:05 by 192.0.2.1", "Jan  1 00:00:06 by 192.0.2.1"},
			"ban 192.0.2.1 until 00:59:50", 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.jail == "" {
				tt.jail = "logtimezone = 'UTC'\n"
			}
			c := newTimed(t, tt.jail)
			c.now = tt.now
			if got := c.reads(tt.live, tt.lines...); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := c.Counts.OddDates.Load(); got != tt.odd {
				t.Errorf("got %d dates flagged, want %d", got, tt.odd)
			}
		})
	}
}

// The clock is set while the log is followed.
func TestClockSteps(t *testing.T) {
	now := func(c *timed, n int, addr string) (lines []string) {
		for range n {
			lines = append(lines, c.now.Format(time.RFC3339)+" by "+addr)
		}
		return lines
	}
	for _, tt := range []struct {
		name string
		step time.Duration
		want string // of a third hit
		over bool   // the ban that was there has ended
	}{
		{"not at all", 0, "ban 192.0.2.1 until 13:00:00", false},
		{"a little back", -time.Minute, "ban 192.0.2.1 until 12:59:00", false},
		{"back by an hour", -time.Hour, "ban 192.0.2.1 until 12:00:00", false},
		{"ahead by half an hour", 30 * time.Minute, "", false},
		{"ahead by more than the ban, or a night asleep", 8 * time.Hour, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newTimed(t, "")
			if got := c.reads(true, now(c, 3, "192.0.2.2")...); got != "ban 192.0.2.2 until 13:00:00" {
				t.Fatalf("got %q, want a ban", got)
			}
			if got := c.reads(true, now(c, 2, "192.0.2.1")...); got != "" {
				t.Fatalf("got %q, want nothing yet", got)
			}
			c.now = c.now.Add(tt.step)
			got := c.reads(true, now(c, 1, "192.0.2.1")...)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			live := strings.Count(tt.want, "ban")
			if !tt.over {
				live++
			}
			if n := c.decide().Live("j"); n != live {
				t.Errorf("got %d live bans, want %d", n, live)
			}
			if tt.want == "" {
				want := "ban 192.0.2.1 until " + c.now.Add(time.Hour).Format(time.TimeOnly)
				if got := c.reads(true, now(c, 2, "192.0.2.1")...); got != want {
					t.Errorf("got %q behind the step, want %q", got, want)
				}
			}
		})
	}
}

func (c *timed) decide() *pipeline.Decide {
	for _, s := range c.Stages {
		if d, ok := s.(*pipeline.Decide); ok {
			return d
		}
	}
	return nil
}

// With a saved cursor everything is judged that came while nobody was there, and as it happened.
func TestBacklogOfARestart(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	var store pipeline.MemStore
	now := noon
	run := func() string {
		t.Helper()
		cfg, err := Parse("b.toml", []byte("[jails.j]\nenabled = true\nlogpath = '"+log+"'\nfailregex = '^ ?by <HOST>$'\nmaxretry = 3\nfindtime = '10m'\nbantime = '1h'\n"))
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		built, err := Build(cfg, BuildOptions{Once: true, DryRun: true, JSON: true, Out: &out, Own: none, Store: &store, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		if err := built.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	write := func(lines ...string) {
		t.Helper()
		f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := fmt.Fprintln(f, strings.Join(lines, "\n")); err != nil {
			t.Fatal(err)
		}
	}
	write("2026-11-22T11:55:00Z by 192.0.2.1", "2026-11-22T11:56:00Z by 192.0.2.1", "2026-11-22T11:57:00Z by 192.0.2.2", "2026-11-22T11:58:00Z by 192.0.2.2")
	if got := run(); got != "" {
		t.Fatalf("got %s, want nothing", got)
	}
	write("2026-11-22T12:04:00Z by 192.0.2.1", "2026-11-22T12:30:00Z by 192.0.2.2") // within ten minutes of two, and not
	now = noon.Add(45 * time.Minute)
	got := run()
	if !strings.Contains(got, `"prefix":"192.0.2.1/32"`) || !strings.Contains(got, `"until":"2026-11-22T13:04:00Z"`) || strings.Contains(got, "192.0.2.2") {
		t.Errorf("got %s, want a ban of 192.0.2.1 until 13:04", got)
	}
}

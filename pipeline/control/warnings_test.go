package control

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// What is amiss is said in a sentence, and nothing else is.
func TestWarnings(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 23, 11, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	late := func(last time.Duration) pipeline.Snapshot {
		return pipeline.Snapshot{Late: &pipeline.LateHit{Jail: "web", Addr: netip.MustParseAddr("192.0.2.7"), Since: now.Add(-2 * time.Hour), Last: now.Add(-last)}}
	}
	const proxy = "192.0.2.7 goes on offending in jail web although it has been banned since 2026-11-22T05:23:11Z: its packets come another way (a proxy or CDN in front?); of all who are banned the kernel has dropped "
	for _, c := range []struct {
		name   string
		s      Status
		snap   pipeline.Snapshot
		err    error
		own    []string
		wanted []string
	}{
		{name: "all is well", s: Status{Sources: []Source{{Source: "stdin", BehindBytes: 5, BehindSeconds: 9}}, Sinks: []Sink{{Sink: "nftables", Healthy: true}}}},
		{
			name: "a pause", s: Status{PausedUntil: ago(-time.Hour)}, snap: pipeline.Snapshot{Paused: now.Add(time.Hour)},
			wanted: []string{"everything is paused until 2026-11-22T08:23:11Z: nobody is kept out"},
		},
		{
			name: "a trial", s: Status{ConfirmUntil: ago(-time.Minute)},
			wanted: []string{"the configuration is on trial: the one before comes back at " + now.Add(time.Minute).Local().Format(time.RFC3339) + " unless it is confirmed (banpipe reload --yes)"},
		},
		{
			name: "no state", s: Status{State: State{Error: "disk full"}},
			wanted: []string{"the state cannot be saved, so a restart would lose what was decided since: disk full"},
		},
		{
			name: "a back end", s: Status{Sinks: []Sink{{Sink: "ufw", FailingSince: ago(time.Minute), Waiting: 3, Error: "no such file"}}},
			wanted: []string{"ufw has been failing since " + now.Add(-time.Minute).Local().Format(time.RFC3339) + " and 3 addresses wait for it: no such file"},
		},
		{
			name: "a log that cannot be read", s: Status{Sources: []Source{{Source: "journal", Error: "exit status 1"}}},
			wanted: []string{"journal cannot be read: exit status 1"},
		},
		{
			name: "sources that fall behind", s: Status{Sources: []Source{{Source: "file:/a", BehindBytes: 4096, BehindSeconds: 11}, {Source: "journal", BehindSeconds: 3600}}},
			wanted: []string{"file:/a is read more slowly than it is written: 4096 bytes, 11 s behind", "journal is read more slowly than it is written: 3600 s behind"},
		},
		{name: "a proxy", snap: late(time.Minute), wanted: []string{proxy + "nothing"}},
		{name: "a proxy, and others", s: Status{DroppedPackets: 17}, snap: late(time.Minute), wanted: []string{proxy + "17 packets"}},
		{name: "a proxy, long ago", snap: late(2 * time.Hour)},
		{name: "no counters", err: errors.New("no right"), wanted: []string{"what the kernel has dropped cannot be read: no right"}},
		{name: "those of whoever embeds it", own: []string{"a", "b"}, wanted: []string{"a", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.State.Healthy = c.s.State.Error == ""
			h := &Handler{Warnings: func() []string { return c.own }}
			if got := h.warnings(&c.s, c.snap, c.err, now); !slices.Equal(got, c.wanted) {
				t.Errorf("got %q, want %q", got, c.wanted)
			}
		})
	}
}

// A source that is behind has been since it was last at its end, or since the start; the journal says how old its entries are.
func TestLags(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		lag   Lag
		since time.Time
		want  string
	}{
		{Lag{}, now.Add(-time.Hour), ""},
		{Lag{Bytes: 7}, now.Add(-time.Minute), "7 bytes, 60 s"},
		{Lag{Bytes: 7}, now.Add(time.Minute), "7 bytes, 0 s"},
		{Lag{Age: time.Hour}, now, "3600 s"},
	} {
		var s Source
		if s.lags(c.lag, c.since, now); s.Behind() != c.want {
			t.Errorf("%v: got %q, want %q", c.lag, s.Behind(), c.want)
		}
	}
}

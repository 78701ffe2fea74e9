package control

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// status answers GET /v1/status; with jail=NAME only that jail, with addrs=1 the banned addresses, too. Without
// them it takes the same time however many bans there are.
func (h *Handler) status(r *http.Request) (any, error) {
	p, now := h.Pipeline(), h.now()
	snap := p.Snapshot()
	s := Status{
		Version: h.Version, Config: h.Config, PID: os.Getpid(), Started: h.Started.UTC(),
		Allowed: snap.Allowed, PausedUntil: moment(snap.Paused),
		Jails: h.jails(p, snap.Jails), Sources: h.sources(snap.Sources, now), Sinks: []Sink{},
		State: State{Healthy: snap.State.Error == "", Kept: snap.State.Kept, Saved: moment(snap.State.Saved), Error: snap.State.Error},
	}
	for _, k := range snap.Sinks {
		s.Sinks = append(s.Sinks, Sink{
			Sink: k.Sink, Healthy: k.Failing.IsZero(), Waiting: k.Waiting, Applied: moment(k.Applied),
			FailingSince: moment(k.Failing), Error: k.Error,
		})
	}
	for i := range s.Jails {
		j := &s.Jails[i]
		s.Bans += j.Bans
		if at := slices.IndexFunc(snap.Held, func(a pipeline.Action) bool { return a.Jail == j.Jail }); at >= 0 {
			j.HeldUntil = moment(snap.Held[at].Until)
		}
		for _, x := range snap.Spared {
			if x.Jail == j.Jail {
				j.SparedTotal += x.Count
			}
		}
		if at := slices.IndexFunc(snap.Pending, func(p pipeline.Pending) bool { return p.Jail == j.Jail }); at >= 0 {
			j.Pending, j.PendingUntil = snap.Pending[at].Addrs, moment(snap.Pending[at].At)
		}
	}
	for _, src := range s.Sources {
		s.LinesPerSecond += src.LinesPerSecond
	}
	if h.Slow != nil {
		s.SlowRules = h.Slow()
	}
	if h.Matching != nil {
		m := h.Matching()
		s.Matching = &m
	}
	if h.Confirms != nil {
		s.ConfirmUntil = moment(h.Confirms())
	}
	var dropErr error
	if h.Dropped != nil {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		s.DroppedPackets, s.DroppedBytes, dropErr = h.Dropped(ctx)
	}
	s.Warnings = h.warnings(&s, snap, dropErr, now)
	return s, h.narrow(&s, p, r)
}

// narrow leaves the jail that was asked for, and adds who is banned.
func (h *Handler) narrow(s *Status, p *pipeline.Pipeline, r *http.Request) error {
	name := r.FormValue("jail")
	if name != "" {
		s.Jails = slices.DeleteFunc(s.Jails, func(j Jail) bool { return j.Jail != name })
		if len(s.Jails) == 0 {
			return &problem{http.StatusNotFound, fmt.Errorf("there is no jail %q", name)}
		}
	}
	if r.FormValue("addrs") == "" {
		return nil
	}
	at := make(map[string]int, len(s.Jails))
	for i, j := range s.Jails {
		at[j.Jail] = i
	}
	for a := range p.Live() {
		if i, ok := at[a.Jail]; ok && a.Op == pipeline.Ban {
			s.Jails[i].Addrs = append(s.Jails[i].Addrs, Word(a.Prefix))
		}
	}
	for i := range s.Jails {
		slices.SortFunc(s.Jails[i].Addrs, compareAddrs)
	}
	return nil
}

func (h *Handler) jails(p *pipeline.Pipeline, stats []pipeline.JailStats) []Jail {
	var infos map[string]JailInfo
	if h.Jails != nil {
		infos = h.Jails()
	}
	limits := jailsOf(p)
	all := make([]Jail, 0, len(stats))
	for _, s := range stats {
		limit, configured := limits[s.Jail]
		j := Jail{
			Jail: s.Jail, Filter: infos[s.Jail].Filter, LogPath: infos[s.Jail].LogPath,
			JournalMatch: infos[s.Jail].Journal, Ports: pipeline.PortsString(limit.Ports),
			Enforce: !limit.Observe, Tracked: s.Tracked, HitsTotal: s.Hits, Bans: s.Live, BansTotal: s.Bans, LastHit: moment(s.LastHit),
		}
		if configured {
			j.MaxRetry, j.FindTimeSeconds, j.BanTimeSeconds = limit.MaxRetry, limit.FindTime.Seconds(), limit.BanTime.Seconds()
		}
		all = append(all, j)
	}
	return all
}

// jailsOf are the jails that Decide judges.
func jailsOf(p *pipeline.Pipeline) map[string]pipeline.Jail {
	if d := decideOf(p); d != nil {
		return d.Jails
	}
	return nil
}

func decideOf(p *pipeline.Pipeline) *pipeline.Decide {
	for _, s := range p.Stages {
		if d, ok := s.(*pipeline.Decide); ok {
			return d
		}
	}
	return nil
}

func (h *Handler) sources(stats []pipeline.SourceStats, now time.Time) []Source {
	var behind map[string]Lag
	if h.Behind != nil {
		behind = h.Behind()
	}
	all := []Source{}
	for _, s := range stats {
		out := Source{
			Source: s.Source, LinesTotal: s.Lines, LinesPerSecond: s.Rate,
			LastLine: s.LastLine, LastRead: moment(s.LastRead), Error: s.Error,
		}
		out.lags(behind[s.Source], cmp.Or(s.AtEnd, h.Started), now)
		delete(behind, s.Source)
		all = append(all, out)
	}
	for name, lag := range behind { // of which no line has been read yet
		out := Source{Source: name}
		out.lags(lag, h.Started, now)
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b Source) int { return cmp.Compare(a.Source, b.Source) })
	return all
}

// lags fills in how far behind a source is, which was last at its end at the time since.
func (s *Source) lags(lag Lag, since, now time.Time) {
	s.BehindBytes, s.BehindSeconds = lag.Bytes, lag.Age.Seconds()
	if lag.Bytes > 0 {
		s.BehindSeconds = max(0, now.Sub(since)).Seconds()
	}
}

// fallsBehind is from when on a source that is not at its end is worth a word.
const fallsBehind = 10 * time.Second

// warnings are what a person should know, in sentences.
func (h *Handler) warnings(s *Status, snap pipeline.Snapshot, dropErr error, now time.Time) []string {
	all := []string{}
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if s.PausedUntil != nil {
		say("everything is paused until %s: nobody is kept out", snap.Paused.Format(time.RFC3339))
	}
	if s.ConfirmUntil != nil {
		say("the configuration is on trial: the one before comes back at %s unless it is confirmed (banpipe reload --yes)", s.ConfirmUntil.Local().Format(time.RFC3339))
	}
	for _, a := range snap.Held {
		say("jail %s bans nobody until %s: it came to %s, so its filter may have gone mad; what it has banned is in banpipe list, and banpipe resume lets it go on at once",
			a.Jail, a.Until.Local().Format(time.RFC3339), a.Reason)
	}
	if !s.State.Healthy {
		say("the state cannot be saved, so a restart would lose what was decided since: %s", s.State.Error)
	}
	for _, k := range s.Sinks {
		if !k.Healthy {
			say("%s has been failing since %s and %d addresses wait for it: %s", k.Sink, k.FailingSince.Local().Format(time.RFC3339), k.Waiting, k.Error)
		}
	}
	for _, src := range s.Sources {
		if src.Error != "" {
			say("%s cannot be read: %s", src.Source, src.Error)
		}
		if src.BehindSeconds > fallsBehind.Seconds() {
			say("%s is read more slowly than it is written: %s behind", src.Source, src.Behind())
		}
	}
	if late := snap.Late; late != nil && now.Sub(late.Last) < time.Hour {
		dropped := "nothing"
		if s.DroppedPackets > 0 {
			dropped = fmt.Sprintf("%d packets", s.DroppedPackets)
		}
		say("%v goes on offending in jail %s although it has been banned since %s: its packets come another way (a proxy or CDN in front?); of all who are banned the kernel has dropped %s",
			late.Addr, late.Jail, late.Since.Format(time.RFC3339), dropped)
	}
	for _, p := range snap.Pending {
		say("%v", p)
	}
	for _, x := range snap.Spared {
		if now.Sub(x.Last) < time.Hour {
			say("%v", x)
		}
	}
	if dropErr != nil {
		say("what the kernel has dropped cannot be read: %v", dropErr)
	}
	if h.Warnings != nil {
		all = append(all, h.Warnings()...)
	}
	return all
}

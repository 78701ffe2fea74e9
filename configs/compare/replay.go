package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
)

// An Ours is what banpipe makes of its logs.
type Ours struct {
	From, To time.Time // of the first and the last offence
	Service  time.Time // since when the service runs whose bans these are; zero: they are those of a replay
	Jails    map[string]*OurJail
}

// An OurJail is one jail of it.
type OurJail struct {
	Limits pipeline.Jail
	Logs   []string // that it reads, paths and globs; or the journal
	Addrs  map[netip.Addr]*OurAddr
	Wide   []Ban // of networks
}

// A Ban is one that was made, or would have been if the jail did not only observe.
type Ban struct {
	Prefix netip.Prefix
	At     time.Time
	Reason string
}

// An OurAddr is what was made of one address.
type OurAddr struct {
	Hits    []time.Time
	Weighty bool // some of them counted for more than one
	Most    int  // the score that it reached
	Bans    []Ban
	Refused string // why it was not banned although it had offended often enough
	Login   bool   // that is because somebody had logged in
	Forgot  bool   // it has logged in: what was counted before was forgotten
}

// Replay lets banpipe read its logs once, as if it had run when they were written: every ban is judged at the time of
// the offence. Files are read from their beginning, the journal from a day before since. jails are as configs.BuildOptions has
// them. Nothing is banned and no state is touched.
func Replay(ctx context.Context, cfg *configs.Config, jails []string, since time.Time, log *zap.Logger) (*Ours, error) {
	o := &Ours{Jails: map[string]*OurJail{}}
	built, err := configs.Build(cfg, configs.BuildOptions{
		Jails: jails, Once: true, DryRun: true, Workers: 1, Since: since.AddDate(0, 0, -1), Logger: log,
	})
	if err != nil {
		return nil, err
	}
	r := &replay{ours: o}
	n := len(built.Stages) - 2 // the last two judge
	r.window, r.decide = built.Stages[n].(*pipeline.Window), built.Stages[n+1].(*pipeline.Decide)
	clock := func() time.Time { return r.now }
	r.window.Now, r.decide.Now, r.decide.Notice = clock, clock, 0
	for name, j := range r.decide.Jails {
		o.Jails[name] = &OurJail{Limits: j, Addrs: map[netip.Addr]*OurAddr{}}
	}
	for _, j := range built.Jails {
		if own := o.Jails[j.Name]; own != nil {
			if own.Logs = j.LogPath; len(own.Logs) == 0 && j.Journal() != "" {
				own.Logs = []string{"the journal"}
			}
		}
	}
	built.Stages = append(built.Stages[:n:n], pipeline.StageFunc(r.process))
	built.Outputs = nil
	return o, built.Run(ctx)
}

// A replay judges one record after the other, each at its own time.
type replay struct {
	ours   *Ours
	window *pipeline.Window
	decide *pipeline.Decide
	now    time.Time
	one    pipeline.Batch
}

func (r *replay) process(ctx context.Context, b *pipeline.Batch) error {
	// In the order of their dates: two logs are read one after the other, and a jail may read both.
	for i := range b.Records {
		rec := &b.Records[i]
		if rec.Kind != pipeline.Hit && rec.Kind != pipeline.Forget && rec.Kind != pipeline.Login {
			continue
		}
		r.now = rec.Time
		r.one.Reset()
		r.one.Source, r.one.Records = b.Source, append(r.one.Records, *rec)
		for _, s := range []pipeline.Stage{r.window, r.decide} {
			if err := s.Process(ctx, &r.one); err != nil {
				return err
			}
		}
		for i := range r.one.Records { // those behind it are of the jails that count bans
			if judged := &r.one.Records[i]; r.ours.Jails[judged.Jail] != nil {
				r.note(r.ours.Jails[judged.Jail], judged)
			}
		}
		for _, a := range r.one.Actions {
			if j := r.ours.Jails[a.Jail]; j != nil && a.Op == pipeline.Ban {
				j.ban(Ban{a.Prefix, r.now, a.Reason})
			}
		}
	}
	b.Keep(func(*pipeline.Record) bool { return false })
	return nil
}

// note books one record and what was made of it.
func (r *replay) note(j *OurJail, rec *pipeline.Record) {
	x := j.addr(rec.Addr)
	switch rec.Kind {
	case pipeline.Forget:
		x.Forgot = x.Forgot || len(x.Hits) > 0
	case pipeline.Hit:
		x.Hits = keep(x.Hits, rec.Time)
		x.Most, x.Weighty = max(x.Most, rec.Hits), x.Weighty || rec.Weight > 1
		if r.ours.From.IsZero() || rec.Time.Before(r.ours.From) {
			r.ours.From = rec.Time
		}
		if rec.Time.After(r.ours.To) {
			r.ours.To = rec.Time
		}
		if rec.Hits < cmp.Or(j.Limits.MaxRetry, 5) {
			return
		}
		if why := r.decide.Spares(rec.Jail, rec.Addr); why != nil {
			login := (*pipeline.LoginError)(nil)
			x.Refused, x.Login = why.Error(), errors.As(why, &login)
		} else if slices.ContainsFunc(r.one.Actions, func(a pipeline.Action) bool { return a.Op == pipeline.Hold && a.Jail == rec.Jail }) {
			x.Refused = fmt.Sprintf("the jail's breaker tripped: more than %d bans in a minute", j.Limits.MaxBansPerMinute)
		}
	}
}

func (j *OurJail) addr(a netip.Addr) *OurAddr {
	x := j.Addrs[a]
	if x == nil {
		x = &OurAddr{}
		j.Addrs[a] = x
	}
	return x
}

func (j *OurJail) ban(b Ban) {
	if !b.Prefix.IsSingleIP() {
		j.Wide = append(j.Wide, b)
		return
	}
	if x := j.addr(b.Prefix.Addr()); len(x.Bans) < maxTimes {
		x.Bans = append(x.Bans, b)
	}
}

// bans are those that hold an address.
func (j *OurJail) bans(a netip.Addr) []Ban {
	var all []Ban
	if x := j.Addrs[a]; x != nil {
		all = slices.Clone(x.Bans)
	}
	for _, b := range j.Wide {
		if b.Prefix.Contains(a) {
			all = append(all, b)
		}
	}
	return all
}

// Served puts the bans of a service's history in place of the replay's, from since on. What the replay has found out
// about offences stays: the history does not have them.
func (o *Ours) Served(since time.Time, events []pipeline.Event) {
	o.Service = since
	for _, j := range o.Jails {
		j.Wide = nil
		for _, x := range j.Addrs {
			x.Bans = nil
		}
	}
	for _, e := range events {
		j := o.Jails[e.Action.Jail]
		if j == nil || e.Action.Op != pipeline.Ban || e.Action.Restored || !e.Action.Prefix.IsValid() {
			continue
		}
		j.ban(Ban{e.Action.Prefix, e.Time, e.Action.Reason})
	}
}

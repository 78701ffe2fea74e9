package control

import (
	"fmt"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A Status answers GET /v1/status.
type Status struct {
	Version        string     `json:"version"`
	Config         string     `json:"config"` // the file; "" if there is none
	PID            int        `json:"pid"`
	Started        time.Time  `json:"started"`
	LinesPerSecond float64    `json:"lines_per_second"` // of all sources, over the last 10 s
	Bans           int        `json:"bans"`             // live, of all jails
	Allowed        int        `json:"allowed"`          // addresses that pass
	PausedUntil    *time.Time `json:"paused_until,omitempty"`
	ConfirmUntil   *time.Time `json:"confirm_until,omitempty"` // when the configuration before comes back, unless it is confirmed
	SlowRules      int        `json:"slow_rules"`              // rules that do not run in linear time by themselves
	Matching       *Matching  `json:"matching,omitempty"`
	DroppedPackets uint64     `json:"dropped_packets"` // by the kernel, since the rules were made
	DroppedBytes   uint64     `json:"dropped_bytes"`
	Jails          []Jail     `json:"jails"`
	Sources        []Source   `json:"sources"`
	Sinks          []Sink     `json:"sinks"`
	State          State      `json:"state"`
	Warnings       []string   `json:"warnings"` // in sentences
}

// Matching counts what took another way than one pass of all rules over a line, since the start or the last reload.
type Matching struct {
	Backtracked int64 `json:"backtracked_total"` // rules that a backtracking engine was asked about, for a line
	Confirmed   int64 `json:"confirmed_total"`   // rules that were run alone, for a line: their automaton had too many states
	GivenUp     int64 `json:"given_up_total"`    // of those that were backtracked: no match
	Flushes     int64 `json:"flushes_total"`     // caches that were full and were emptied
	Splits      int64 `json:"splits_total"`      // sets of rules that had too many states together
}

// A Jail is how one jail is doing.
type Jail struct {
	Jail            string     `json:"jail"`
	Filter          string     `json:"filter,omitempty"`
	LogPath         []string   `json:"logpath,omitempty"`
	JournalMatch    string     `json:"journalmatch,omitempty"` // instead of LogPath
	Ports           string     `json:"ports"`                  // "" is all
	MaxRetry        int        `json:"maxretry,omitempty"`
	FindTimeSeconds float64    `json:"findtime_seconds,omitempty"`
	BanTimeSeconds  float64    `json:"bantime_seconds,omitempty"` // negative never ends
	Enforce         bool       `json:"enforce"`                   // false: it only says whom it would ban
	HeldUntil       *time.Time `json:"held_until,omitempty"`      // it bans nobody: its breaker has tripped
	Tracked         int        `json:"tracked"`                   // addresses with offences that still count: fail2ban's "currently failed"
	HitsTotal       uint64     `json:"hits_total"`                // offences since the start: fail2ban's "total failed"
	Bans            int        `json:"bans"`                      // live
	BansTotal       uint64     `json:"bans_total"`                // since the start
	SparedTotal     int64      `json:"spared_total"`              // how often a proxy had offended often enough, and was not banned
	Pending         int        `json:"pending,omitempty"`         // addresses that will be banned for lines from before the first start
	PendingUntil    *time.Time `json:"pending_until,omitempty"`   // when that is
	LastHit         *time.Time `json:"last_hit,omitempty"`
	Addrs           []string   `json:"addrs,omitempty"` // who is banned, if it was asked for
}

// A Source is one log.
type Source struct {
	Source         string     `json:"source"`
	LinesTotal     uint64     `json:"lines_total"`
	LinesPerSecond float64    `json:"lines_per_second"`
	BehindBytes    int64      `json:"behind_bytes"`   // written and not read
	BehindSeconds  float64    `json:"behind_seconds"` // since when the source has not been at its end; of the journal: the age of what is read now
	LastLine       string     `json:"last_line"`      // hostile: escape it
	LastRead       *time.Time `json:"last_read,omitempty"`
	Error          string     `json:"error,omitempty"`
}

// Behind is how far the source is behind, in words: "123 bytes, 11 s"; "" if it is not.
func (s *Source) Behind() string {
	switch {
	case s.BehindBytes > 0:
		return fmt.Sprintf("%d bytes, %.0f s", s.BehindBytes, s.BehindSeconds)
	case s.BehindSeconds > 0:
		return fmt.Sprintf("%.0f s", s.BehindSeconds)
	}
	return ""
}

// A Sink is one back end.
type Sink struct {
	Sink         string     `json:"sink"`
	Healthy      bool       `json:"healthy"`
	Waiting      int        `json:"waiting"` // addresses that it has not been told of
	Applied      *time.Time `json:"applied,omitempty"`
	FailingSince *time.Time `json:"failing_since,omitempty"`
	Error        string     `json:"error,omitempty"`
}

// State is whether what must outlive a restart does.
type State struct {
	Healthy bool       `json:"healthy"`
	Kept    bool       `json:"kept"` // false: nothing outlives a restart, by configuration
	Saved   *time.Time `json:"saved,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// An Action is a pipeline.Action in the form that every output has, with what is known beyond it.
type Action struct {
	Op               string     `json:"op"`     // ban, unban, allow, disallow, pause, resume, hold or release
	Prefix           string     `json:"prefix"` // "" for all but the first four
	Jail             string     `json:"jail"`
	Until            *time.Time `json:"until,omitempty"`
	Hits             int        `json:"hits"`
	Reason           string     `json:"reason"`
	Ports            string     `json:"ports,omitempty"`
	Observe          bool       `json:"observe,omitempty"`
	Restored         bool       `json:"restored,omitempty"`
	Since            *time.Time `json:"since,omitempty"`
	RemainingSeconds *float64   `json:"remaining_seconds,omitempty"` // absent if it never ends
}

// Bans answers GET /v1/bans, sorted by end.
type Bans struct {
	Bans []Action `json:"bans"`
}

// An Event is what was decided, and when.
type Event struct {
	Time time.Time `json:"time"`
	Action
	Lines []string `json:"lines,omitempty"` // that led to it, oldest first; hostile: escape them
}

// History answers GET /v1/history: the youngest events that were asked for, oldest first; or how many bans there were.
type History struct {
	Events []Event `json:"events"`
	Counts []Count `json:"counts,omitempty"` // if it was asked for, the most first
}

// A Count is how many bans something has.
type Count struct {
	Key  string `json:"key"` // an address or a network, or a day and a jail: "2026-11-22 sshd"
	Bans int    `json:"bans"`
}

// A Why answers GET /v1/why.
type Why struct {
	Addr    string   `json:"addr"`
	Banned  bool     `json:"banned"`   // its packets are kept out now
	By      []Action `json:"by"`       // the bans that hold it, of networks that it lies in too
	SavedBy []string `json:"saved_by"` // what keeps it from being banned or lets it through, in words
	Bans    int      `json:"bans"`     // how often it was banned, as far as the history goes
	Events  []Event  `json:"events"`   // the last ones about it
}

// An Order is the body of POST /v1/ban, unban, allow, disallow, pause and reload. What a verb has no use for must not be
// there.
type Order struct {
	Addrs      []string `json:"addrs,omitempty"`       // addresses or prefixes
	ForSeconds *float64 `json:"for_seconds,omitempty"` // absent: the verb's default; negative: for ever
	Jail       string   `json:"jail,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Force      bool     `json:"force,omitempty"` // ban in spite of Spare, of ignoreip, of logins and of this machine's own addresses
	Spare      []string `json:"spare,omitempty"` // addresses that must not be hit by mistake: where the caller sits
	All        bool     `json:"all,omitempty"`   // unban everybody, of Jail if it is given
}

// Results answers an Order. The status is 200 if all was done, else 422.
type Results struct {
	Results []Result `json:"results"`
}

// A Result is what became of one address.
type Result struct {
	Addr   string   `json:"addr"`
	Done   bool     `json:"done"` // and saved: it outlives a crash from now on
	Action *Action  `json:"action,omitempty"`
	Notes  []string `json:"notes,omitempty"` // what the caller should know, in sentences
	Error  string   `json:"error,omitempty"`
}

// A Reloaded answers POST /v1/reload.
type Reloaded struct {
	Jails        []string   `json:"jails"` // that run now
	Lifted       int        `json:"lifted"`
	ConfirmUntil *time.Time `json:"confirm_until,omitempty"`
	Notes        []string   `json:"notes,omitempty"`
}

// A Failure is the body of every answer that is no success and has none of the forms above.
type Failure struct {
	Error string `json:"error"`
}

// NewAction is the wire form of a, with the time that it has left.
func NewAction(a pipeline.Action, now time.Time) Action {
	out := Action{
		Op: a.Op.String(), Jail: a.Jail, Until: moment(a.Until), Hits: a.Hits, Reason: a.Reason,
		Ports: pipeline.PortsString(a.Ports), Observe: a.Observe, Restored: a.Restored, Since: moment(a.Since),
	}
	if a.Prefix.IsValid() {
		out.Prefix = a.Prefix.String()
	}
	if !a.Until.IsZero() && !a.Op.Ends() {
		left := max(0, a.Until.Sub(now)).Seconds()
		out.RemainingSeconds = &left
	}
	return out
}

func newEvent(e pipeline.Event, now time.Time) Event {
	return Event{Time: e.Time.UTC(), Action: NewAction(e.Action, now), Lines: e.Lines}
}

// moment is nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

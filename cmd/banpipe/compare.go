package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/banpipe/banpipe/configs/compare"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
)

func compareCommand() *cobra.Command {
	var f verbFlags
	var jails []string
	var replay bool
	cmd := &cobra.Command{
		Use:   "compare FAIL2BAN_LOG...",
		Short: "where fail2ban and banpipe differ, and why",
		Long: `compare reads fail2ban's log (rotated and compressed ones, too) and tells, jail by jail, which addresses both have banned,
which only one has, and why. With enforce = false banpipe decides beside a running fail2ban and bans nobody: then compare is the
trial's result.

banpipe's bans are those in the history of the service, from its start on; where none answers, or with --replay, those that
banpipe would have made of the logs of its jails, read once from their beginning. The offences that explain a difference come
from the logs in either case, so what was rotated away is not seen. A jail is compared with that of the same name.`,
		Example: `  banpipe compare /var/log/fail2ban.log
  banpipe compare --replay --jail sshd /var/log/fail2ban.log*
  banpipe compare --json /var/log/fail2ban.log | jq '.jails[].differences[].why'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{errors.New("which log of fail2ban? /var/log/fail2ban.log, as a rule")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := compareLogs(cmd.Context(), &f, jails, replay, args)
			if err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			return printComparison(cmd.OutOrStdout(), r)
		},
	}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&jails, "jail", nil, "compare this jail, enabled or not, instead of those that are; may be repeated")
	cmd.Flags().BoolVar(&replay, "replay", false, "read banpipe's logs, whether a service runs or not")
	return cmd
}

func compareLogs(ctx context.Context, f *verbFlags, jails []string, replay bool, paths []string) (*compare.Result, error) {
	theirs, err := compare.ReadLogs(paths...)
	if err != nil {
		return nil, err
	}
	if theirs.Lines == 0 {
		return nil, fmt.Errorf("%s: no line is of fail2ban's log (logtarget in fail2ban.conf names it)", paths[0])
	}
	cfg, err := load(f.config)
	if err != nil {
		return nil, err
	}
	ours, err := compare.Replay(ctx, cfg, jails, theirs.From, zap.NewNop())
	if err != nil {
		return nil, err
	}
	some := false
	if !replay {
		if some, err = served(ctx, f.client(), ours); err != nil {
			return nil, err
		}
	}
	only := map[string]bool{}
	for _, name := range jails {
		only[name] = true
	}
	for name := range theirs.Jails {
		if len(only) > 0 && !only[name] {
			delete(theirs.Jails, name)
		}
	}
	r := compare.Compare(theirs, ours)
	if some {
		r.Notes = append(r.Notes, fmt.Sprintf("only the last %d events of the service are compared", maxEvents))
	}
	return r, nil
}

// maxEvents is what the service answers at most.
const maxEvents = 10_000

// served takes the bans from a service's history; none answers: the replay's stay. some is true if there are more than it tells.
func served(ctx context.Context, c *client, ours *compare.Ours) (some bool, err error) {
	var s control.Status
	if err := c.get(ctx, "/v1/status", &s); errors.Is(err, errNoService) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	var h control.History
	if err := c.get(ctx, fmt.Sprintf("/v1/history?limit=%d&since=%.0f", maxEvents, time.Since(s.Started).Seconds()+1), &h); err != nil {
		return false, err
	}
	events := make([]pipeline.Event, 0, len(h.Events))
	for _, e := range h.Events {
		op, _ := pipeline.ParseOp(e.Op)
		prefix, err := netip.ParsePrefix(e.Prefix)
		if err != nil {
			continue // a pause
		}
		events = append(events, pipeline.Event{Time: e.Time, Action: pipeline.Action{
			Op: op, Prefix: prefix, Jail: e.Jail, Reason: e.Reason, Restored: e.Restored, Observe: e.Observe,
		}})
	}
	ours.Served(s.Started, events)
	return len(h.Events) == maxEvents, nil
}

// maxDifferences is how many are printed of each jail; --json has all.
const maxDifferences = 50

func printComparison(w io.Writer, r *compare.Result) error {
	what := "what banpipe makes of its logs"
	if r.Source == "service" {
		what = "the history of the service"
	}
	fmt.Fprintf(w, "fail2ban's log and %s, from %s to %s: %d banned by both, %d only by fail2ban, %d only by banpipe\n", what,
		r.From.Local().Format(time.DateTime), r.To.Local().Format(time.DateTime), r.Both, r.Theirs, r.Ours)
	for _, j := range r.Jails {
		fmt.Fprintf(w, "\njail %s: %d by both, %d only by fail2ban, %d only by banpipe\n", plain(j.Jail), j.Both, j.Theirs, j.Ours)
		for _, s := range j.Settings {
			fmt.Fprintf(w, "  %s is %s in banpipe and %s in fail2ban\n", s.Key, s.Banpipe, s.Fail2ban)
		}
		for _, by := range []string{compare.ByFail2ban, compare.ByBanpipe} {
			codes, counts := j.Reasons(by)
			for i, code := range codes {
				codes[i] = fmt.Sprintf("%s %d", code, counts[code])
			}
			if len(codes) > 1 {
				fmt.Fprintf(w, "  only by %s: %s\n", by, strings.Join(codes, ", "))
			}
		}
		for i, d := range j.Differences {
			if i == maxDifferences {
				fmt.Fprintf(w, "  and %d more: --json has them\n", len(j.Differences)-i)
				break
			}
			fmt.Fprintf(w, "  %s  only by %s  %s  %s\n", d.Time.Local().Format(time.DateTime), d.By, d.Addr, plain(d.Why))
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\nnote: %s\n", plain(n))
	}
	return nil
}

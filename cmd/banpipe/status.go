package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/pipeline/control"
)

func statusCommand() *cobra.Command {
	var f verbFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "status [JAIL]",
		Short: "what runs, what it reads, whom it bans, and what is wrong",
		Long: `status shows the jails, the logs with how far behind they are, the back ends and the state, and warns in
sentences. With a JAIL it is the page that fail2ban-client prints; with --all, that page for every jail.`,
		Example: `  banpipe status
  banpipe status sshd
  banpipe status --json | jq .warnings`,
		Args:              atMost(1),
		ValidArgsFunction: jailNames(&f),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 1 {
				query.Set("jail", args[0])
			}
			if all || len(args) == 1 {
				query.Set("addrs", "1")
			}
			if f.json {
				var raw json.RawMessage
				if err := f.client().get(cmd.Context(), "/v1/status?"+query.Encode(), &raw); err != nil {
					return err
				}
				_, err := cmd.OutOrStdout().Write(raw)
				return err
			}
			var s control.Status
			if err := f.client().get(cmd.Context(), "/v1/status?"+query.Encode(), &s); err != nil {
				return err
			}
			if query.Has("addrs") {
				printJails(cmd.OutOrStdout(), s)
				return nil
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every jail with its banned addresses")
	return cmd
}

// printJails is fail2ban's page, for each jail.
func printJails(w io.Writer, s control.Status) {
	for _, j := range s.Jails {
		fmt.Fprintf(w, "Status for the jail: %s\n", plain(j.Jail))
		reads := "File list:\t" + plain(strings.Join(j.LogPath, " "))
		if j.JournalMatch != "" {
			reads = "Journal matches:\t" + plain(j.JournalMatch)
		}
		fmt.Fprintf(w, "|- Filter\n|  |- Currently failed:\t%d\n|  |- Total failed:\t%d\n|  `- %s\n", j.Tracked, j.HitsTotal, reads)
		fmt.Fprintf(w, "`- Actions\n   |- Currently banned:\t%d\n   |- Total banned:\t%d\n   `- Banned IP list:\t%s\n",
			j.Bans, j.BansTotal, strings.Join(j.Addrs, " "))
	}
}

func printStatus(out io.Writer, s control.Status) error {
	now := time.Now()
	fmt.Fprintf(out, "banpipe %s, up %v, %.1f lines/s, %d banned, %d packets dropped\n",
		plain(s.Version), now.Sub(s.Started).Round(time.Second), s.LinesPerSecond, s.Bans, s.DroppedPackets)
	config := s.Config
	if config == "" {
		config = "none: the shipped defaults"
	}
	fmt.Fprintf(out, "configuration %s\n\n", plain(config))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "jail\tbanned\tbans in all\ttracked\thits\tlast hit")
	for _, j := range s.Jails {
		name := plain(j.Jail)
		if !j.Enforce {
			name += " (observes)"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\n", name, j.Bans, j.BansTotal, j.Tracked, j.HitsTotal, ago(j.LastHit, now))
	}
	fmt.Fprintln(w, "\nlog\tlines\tlines/s\tbehind\tlast line\t")
	for _, src := range s.Sources {
		behind := cmp.Or(src.Behind(), "no")
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%s\t%s\t%s\n", plain(src.Source), src.LinesTotal, src.LinesPerSecond, behind, ago(src.LastRead, now), cut(plain(src.LastLine), 60))
	}
	fmt.Fprintln(w, "\nback end\thealth")
	for _, k := range s.Sinks {
		health := "ok"
		if !k.Healthy {
			health = "failing since " + ago(k.FailingSince, now) + ": " + plain(k.Error)
		}
		fmt.Fprintf(w, "%s\t%s\n", plain(k.Sink), health)
	}
	switch {
	case !s.State.Kept:
		fmt.Fprintf(w, "state\tnot kept\n")
	case s.State.Healthy && s.State.Saved == nil:
		fmt.Fprintf(w, "state\tok, nothing to save yet\n")
	case s.State.Healthy:
		fmt.Fprintf(w, "state\tok, saved %s\n", ago(s.State.Saved, now))
	default:
		fmt.Fprintf(w, "state\tnot saved: %s\n", plain(s.State.Error))
	}
	if s.SlowRules > 0 {
		fmt.Fprintf(w, "rules\t%d on the slow path\n", s.SlowRules)
	}
	if s.Allowed > 0 {
		fmt.Fprintf(w, "allowed\t%d addresses: banpipe list --allowed\n", s.Allowed)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, text := range s.Warnings {
		fmt.Fprintf(out, "\nwarning: %s\n", plain(text))
	}
	return nil
}

func ago(t *time.Time, now time.Time) string {
	if t == nil {
		return "never"
	}
	return max(0, now.Sub(*t)).Round(time.Second).String() + " ago"
}

// cut shortens a text for a table.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// jailNames completes the name of a jail.
func jailNames(f *verbFlags) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		var s control.Status
		if len(args) == 0 && f.client().get(cmd.Context(), "/v1/status", &s) == nil {
			for _, j := range s.Jails {
				names = append(names, j.Jail)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

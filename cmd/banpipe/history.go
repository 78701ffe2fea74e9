package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/pipeline/control"
)

func historyCommand() *cobra.Command {
	var f verbFlags
	var jail, since string
	var limit int
	var top, byDay bool
	cmd := &cobra.Command{
		Use:   "history [ADDR]",
		Short: "what was decided, and who offends most",
		Long: `history shows the last bans and unbans, of one address or network if it is given. --top counts bans by
address, --by-day by day and jail.`,
		Example: `  banpipe history --since 1d
  banpipe history 192.0.2.7
  banpipe history --top --since 1w`,
		Args:              atMost(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			if top || byDay {
				query.Set("limit", "10000")
			}
			ago, err := seconds(since)
			if err != nil {
				return err
			}
			if ago != nil {
				query.Set("since", fmt.Sprint(*ago))
			}
			if len(args) == 1 {
				query.Set("addr", args[0])
			}
			if jail != "" {
				query.Set("jail", jail)
			}
			var h control.History
			if err := f.client().get(cmd.Context(), "/v1/history?"+query.Encode(), &h); err != nil {
				return err
			}
			if (top || byDay) && len(h.Events) == 10_000 {
				fmt.Fprintln(cmd.ErrOrStderr(), "banpipe: only the last 10,000 events are counted: --since or --jail narrows them")
			}
			out := cmd.OutOrStdout()
			switch {
			case top:
				return printCounts(out, f.json, limit, count(h, func(e control.Event) string { return address(e.Prefix) }))
			case byDay:
				return printCounts(out, f.json, limit, count(h, func(e control.Event) string {
					return e.Time.Local().Format("2006-01-02") + " " + plain(e.Jail)
				}))
			}
			for _, e := range h.Events {
				if f.json {
					if err := json.NewEncoder(out).Encode(e); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintln(out, eventLine(e, false))
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&jail, "jail", "", "only this jail")
	cmd.Flags().StringVar(&since, "since", "", "how far back: 1h, 1d, 1w (default all that is kept)")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	cmd.Flags().BoolVar(&top, "top", false, "the addresses with the most bans")
	cmd.Flags().BoolVar(&byDay, "by-day", false, "bans by day and jail")
	cmd.MarkFlagsMutuallyExclusive("top", "by-day")
	_ = cmd.RegisterFlagCompletionFunc("jail", jailNames(&f))
	return cmd
}

// A tally is how many bans something has.
type tally struct {
	Key  string `json:"key"`
	Bans int    `json:"bans"`
}

// count counts bans; the most come first.
func count(h control.History, key func(control.Event) string) (all []tally) {
	n := make(map[string]int)
	for _, e := range h.Events {
		if e.Op == "ban" && !e.Observe {
			n[key(e)]++
		}
	}
	for _, k := range slices.Sorted(maps.Keys(n)) {
		all = append(all, tally{k, n[k]})
	}
	slices.SortStableFunc(all, func(a, b tally) int { return cmp.Compare(b.Bans, a.Bans) })
	return all
}

func printCounts(out io.Writer, asJSON bool, limit int, all []tally) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, t := range all[:min(len(all), limit)] {
		if asJSON {
			if err := json.NewEncoder(out).Encode(t); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%d\t%s\n", t.Bans, t.Key)
	}
	return w.Flush()
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
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
			switch {
			case top:
				query.Set("count", "addr")
			case byDay:
				query.Set("count", "day")
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
			out := cmd.OutOrStdout()
			if top || byDay {
				return printCounts(out, f.json, h.Counts)
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

func printCounts(out io.Writer, asJSON bool, all []control.Count) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, t := range all {
		if asJSON {
			if err := json.NewEncoder(out).Encode(t); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%d\t%s\n", t.Bans, plain(t.Key))
	}
	return w.Flush()
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/pipeline/control"
)

func whyCommand() *cobra.Command {
	var f verbFlags
	cmd := &cobra.Command{
		Use:   "why ADDR",
		Short: "all about one address: banned or not, by which jail, on which lines",
		Long: `why says whether an address is kept out, by which jails and until when, what lets it through, how often it was
banned before, and which lines led to it.`,
		Example:           `  banpipe why 192.0.2.7`,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := atLeastOne(cmd, args); err != nil {
				return err
			}
			return atMost(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var y control.Why
			if err := f.client().get(cmd.Context(), "/v1/why?addr="+url.QueryEscape(args[0]), &y); err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(y)
			}
			printWhy(cmd.OutOrStdout(), y)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func printWhy(w io.Writer, y control.Why) {
	verdict := "is not banned"
	if y.Banned {
		verdict = "is banned"
	}
	fmt.Fprintf(w, "%s %s\n", y.Addr, verdict)
	for _, a := range y.By {
		what := "banned"
		if a.Observe {
			what = "would be banned"
		}
		fmt.Fprintf(w, "  %s by jail %s", what, plain(a.Jail))
		if p := address(a.Prefix); p != y.Addr {
			fmt.Fprintf(w, " as part of %s", p)
		}
		if a.Ports != "" {
			fmt.Fprintf(w, " on ports %s", plain(a.Ports))
		}
		if a.Since != nil {
			fmt.Fprintf(w, " since %s", a.Since.Local().Format(time.RFC3339))
		}
		until := "for ever"
		if a.Until != nil {
			until = "until " + a.Until.Local().Format(time.RFC3339)
		}
		fmt.Fprintf(w, " %s: %s\n", until, plain(a.Reason))
	}
	for _, s := range y.SavedBy {
		fmt.Fprintf(w, "  saved: %s\n", plain(s))
	}
	fmt.Fprintf(w, "  bans on record: %d\n", y.Bans)
	for _, e := range y.Events {
		fmt.Fprintf(w, "%s\n", eventLine(e, false))
		for _, l := range e.Lines {
			fmt.Fprintf(w, "    %s\n", plain(l))
		}
	}
}

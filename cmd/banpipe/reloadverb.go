package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/pipeline/control"
)

func reloadCommand() *cobra.Command {
	var f verbFlags
	var confirm string
	var yes bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "run on with the configuration as its files are now",
		Long: `reload loads and builds the configuration, as strictly as check, and only if all is well the service goes on with
it: no line is lost or counted twice and no ban lifted, but for those that a new ignoreip covers. With a mistake in it the old one
runs on, and reload says what is wrong.

--confirm TIME puts the new configuration on trial: unless reload --yes follows in time, the service goes back to the old one by
itself, also if it was restarted meanwhile. The files are left as they are.`,
		Example: `  banpipe reload
  banpipe reload --confirm 10m
  banpipe reload --yes`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if yes {
				var r control.Results
				if err := f.client().post(cmd.Context(), "confirm", control.Order{}, &r); err != nil {
					return err
				}
				return printResults(cmd, &f, "confirmed", r)
			}
			var o control.Order
			var err error
			if o.ForSeconds, err = seconds(confirm); err != nil {
				return err
			}
			var r control.Reloaded
			if err := f.client().post(cmd.Context(), "reload", o, &r); err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "reloaded: %s\n", plain(strings.Join(r.Jails, " ")))
			if r.Lifted > 0 {
				fmt.Fprintf(out, "%d bans lifted, which ignoreip covers now\n", r.Lifted)
			}
			for _, note := range r.Notes {
				fmt.Fprintf(out, "note: %s\n", plainLines(note))
			}
			if r.ConfirmUntil != nil {
				fmt.Fprintf(out, "on trial until %s: banpipe reload --yes keeps it\n", r.ConfirmUntil.Local().Format(time.RFC3339))
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&confirm, "confirm", "", "go back by itself after this time unless reload --yes follows")
	cmd.Flags().BoolVar(&yes, "yes", false, "keep the configuration that is on trial")
	cmd.MarkFlagsMutuallyExclusive("confirm", "yes")
	return cmd
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/pipeline/control"
)

func allowCommand() *cobra.Command {
	var f verbFlags
	var o control.Order
	var length string
	var remove bool
	cmd := &cobra.Command{
		Use:   "allow ADDR...",
		Short: "let addresses in, whatever they do",
		Long: `allow lifts an address's bans, lets it through even where its network is banned, and keeps every jail from
banning it, until the time given with --for, or until --remove. It survives restarts. For good, or for a network, put it into ignoreip.`,
		Example: `  banpipe allow 192.0.2.7 --for 1h
  banpipe allow --remove 192.0.2.7
  banpipe list --allowed`,
		Args:              atLeastOne,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.ForSeconds, err = seconds(length); err != nil {
				return err
			}
			o.Addrs = args
			verb, done := "allow", "allowed"
			if remove {
				verb, done, o.ForSeconds = "disallow", "no longer allowed:", nil
			}
			var r control.Results
			if err := f.client().post(cmd.Context(), verb, o, &r); err != nil {
				return err
			}
			return printResults(cmd, &f, done, r)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&length, "for", "", `how long: 600, "10m", "1d12h", "1w" (default until --remove)`)
	cmd.Flags().StringVar(&o.Reason, "reason", "", "for those who ask why later")
	cmd.Flags().BoolVar(&remove, "remove", false, "take it back")
	return cmd
}

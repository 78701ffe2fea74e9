package main

import (
	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/pipeline/control"
)

func banCommand() *cobra.Command {
	var f verbFlags
	var o control.Order
	var length string
	cmd := &cobra.Command{
		Use:   "ban ADDR...",
		Short: "ban addresses or networks by hand",
		Long: `ban bans at once, and the ban outlives a crash when the verb says so. Without --for it lasts as long as the
configuration's bantime, or that of the jail named with --jail, whose ports are used, too. It refuses this machine's own addresses,
gateways, resolvers and container networks, what is in ignoreip or trusted_proxies, the address that you are connected from over SSH, whoever has logged in over SSH within a week, and networks wider than a /8, or a /32 of
IPv6; --force bans these all the same. Loopback and link-local addresses are never banned.`,
		Example: `  banpipe ban 192.0.2.7
  banpipe ban 198.51.100.0/24 --for 1d --reason "scans from the whole network"
  banpipe ban 2001:db8:bad::/48 --for -1`,
		Args:              atLeastOne,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.ForSeconds, err = seconds(length); err != nil {
				return err
			}
			o.Addrs, o.Spare = args, sshPeers()
			var r control.Results
			if err := f.client().post(cmd.Context(), "ban", o, &r); err != nil {
				return err
			}
			return printResults(cmd, &f, "banned", r)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&length, "for", "", `how long: 600, "10m", "1d12h", "1w"; -1 never ends`)
	cmd.Flags().StringVar(&o.Jail, "jail", "", "ban as this jail does: its ports, its bantime")
	cmd.Flags().StringVar(&o.Reason, "reason", "", "for those who ask why later")
	cmd.Flags().BoolVar(&o.Force, "force", false, "ban even what should not be")
	_ = cmd.RegisterFlagCompletionFunc("jail", jailNames(&f))
	return cmd
}

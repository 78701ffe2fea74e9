package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/sinks"
)

func flushCommand() *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "remove banpipe's table from the kernel: every ban is lifted at once",
		Long: `flush removes the nftables table of banpipe, and with it every ban: the way out when somebody is
locked out. It needs no running service and no working configuration. A service that runs takes it for what it is: it puts
nothing back, and goes on with the next ban.`,
		Example: `  sudo banpipe flush`,
		Args:    atMost(0),
	}
	cmd.Flags().StringVar(&config, "config", "", "read the tables' names from this file (default "+configs.DefaultPath+")")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per table")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(config)
		if err != nil {
			if config != "" {
				return err
			}
			// A broken configuration must not keep anybody locked out.
			fmt.Fprintf(cmd.ErrOrStderr(), "banpipe: the configuration cannot be read, so the table is taken to be called banpipe\n")
			cfg = configs.Default()
		}
		for _, table := range configs.Tables(cfg) {
			set := &sinks.NFTables{Table: table}
			removed, err := set.Flush(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					Table   string `json:"table"`
					Removed bool   `json:"removed"`
				}{table, removed}); err != nil {
					return err
				}
				continue
			}
			if removed {
				fmt.Fprintf(cmd.OutOrStdout(), "removed table inet %s: no ban of banpipe is left in the kernel\n", table)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "there is no table inet %s: nothing to remove\n", table)
			}
		}
		return nil
	}
	return cmd
}

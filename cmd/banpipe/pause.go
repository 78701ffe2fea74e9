package main

import (
	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/pipeline/control"
)

func pauseCommand() *cobra.Command {
	var f verbFlags
	cmd := &cobra.Command{
		Use:   "pause [TIME]",
		Short: "keep nobody out for a while",
		Long: `pause lets everybody through for ten minutes, or the TIME given, at most a day. Jails go on counting and banning,
so that all is as it should be afterwards; the kernel itself ends the pause.`,
		Example: `  banpipe pause
  banpipe pause 1h`,
		Args:              atMost(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var o control.Order
			if len(args) == 1 {
				if o.ForSeconds, err = seconds(args[0]); err != nil {
					return err
				}
			}
			var r control.Results
			if err := f.client().post(cmd.Context(), "pause", o, &r); err != nil {
				return err
			}
			return printResults(cmd, &f, "paused", r)
		},
	}
	f.add(cmd)
	return cmd
}

func resumeCommand() *cobra.Command {
	var f verbFlags
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "end a pause, and let jails ban again that have stopped",
		Long: `resume ends a pause: who is banned is kept out again. It also lets a jail go on that has stopped because it would have banned more
than max_bans_per_minute (banpipe status says so).`,
		Example: `  banpipe resume`,
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r control.Results
			if err := f.client().post(cmd.Context(), "resume", control.Order{}, &r); err != nil {
				return err
			}
			return printResults(cmd, &f, "resumed", r)
		},
	}
	f.add(cmd)
	return cmd
}

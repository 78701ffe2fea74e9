package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
)

func unbanCommand() *cobra.Command {
	var f verbFlags
	var o control.Order
	cmd := &cobra.Command{
		Use:   "unban ADDR... | --all",
		Short: "lift bans, and forget what was counted",
		Long: `unban lifts the bans of exactly these addresses or networks and forgets their offences, and says when a
network that is banned still holds an address. When no service answers, it takes them out of the kernel directly, out of ufw, deny files and
what programs of your own hold, and out of the saved state; with a configuration that cannot be read the state stays as it is, and
the next service would put them back.`,
		Example: `  banpipe unban 192.0.2.7
  banpipe unban --all --jail sshd`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Addrs = args
			if (len(args) == 0) != o.All {
				return &usageError{errors.New("which address? or --all?")}
			}
			var r control.Results
			err := f.client().post(cmd.Context(), "unban", o, &r)
			if errors.Is(err, errNoService) && o.Jail == "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "banpipe: %v\nbanpipe: taken out of the kernel, the other back ends and the saved state directly\n", err)
				r, err = unbanDirectly(cmd, f.config, o)
			}
			if err != nil {
				return err
			}
			if o.All && !f.json {
				fmt.Fprintf(cmd.OutOrStdout(), "%d bans lifted\n", len(r.Results))
				return nil
			}
			return printResults(cmd, &f, "unbanned", r)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&o.All, "all", false, "everybody")
	cmd.Flags().StringVar(&o.Jail, "jail", "", "only what this jail holds")
	_ = cmd.RegisterFlagCompletionFunc("jail", jailNames(&f))
	return cmd
}

// unbanDirectly takes addresses out of every back end that holds them.
func unbanDirectly(cmd *cobra.Command, config string, o control.Order) (r control.Results, err error) {
	ctx := cmd.Context()
	asked := make(map[string]bool)
	for _, s := range o.Addrs {
		p, err := control.ParsePrefix(s)
		if err != nil {
			return r, &usageError{err}
		}
		asked[p.String()] = false
	}
	var errs []error
	for _, b := range backEnds(config) { // all of them: somebody may be locked out
		held, err := b.Sink.Held(ctx)
		var out []pipeline.Action
		for _, a := range held {
			if _, ok := asked[a.Prefix.String()]; ok || o.All {
				a.Op = pipeline.Unban
				out = append(out, a)
				asked[a.Prefix.String()] = true
			}
		}
		if len(out) > 0 {
			err = b.Sink.Apply(ctx, out)
		}
		if c, ok := b.Sink.(io.Closer); ok {
			c.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sink %s: %w", b.Name, err))
		}
	}
	if cfg, err := load(config); err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "banpipe: the saved state is left as it is, since the configuration cannot be read\n")
	} else {
		lifted, err := liftSaved(ctx, cfg, cmd.ErrOrStderr(), func(a pipeline.Action) bool {
			_, ok := asked[a.Prefix.String()]
			return ok || o.All
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("the saved state is left as it is, and the next service would ban again: %w", err))
		}
		for _, a := range lifted {
			asked[a.Prefix.String()] = true
		}
	}
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	for _, p := range slices.Sorted(maps.Keys(asked)) {
		one := control.Result{Addr: address(p), Done: true}
		if !asked[p] {
			one.Notes = []string{control.NotBanned}
		}
		r.Results = append(r.Results, one)
	}
	return r, nil
}

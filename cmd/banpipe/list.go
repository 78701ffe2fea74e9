package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
	"github.com/banpipe/banpipe/sinks"
)

func listCommand() *cobra.Command {
	var f verbFlags
	var jail string
	var allowed bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "who is banned, by which jail, until when and why",
		Long: `list shows the bans, sorted by their end. When no service answers, it reads the kernel, which knows addresses
and ends, but neither jails nor reasons, and what ufw, deny files and programs of your own hold. With --json it prints one object per
line.`,
		Example: `  banpipe list
  banpipe list --jail sshd
  banpipe list --json | jq -r .prefix`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if jail != "" {
				query.Set("jail", jail)
			}
			if allowed {
				query.Set("op", "allow")
			}
			var bans control.Bans
			err := f.client().get(cmd.Context(), "/v1/bans?"+query.Encode(), &bans)
			if errors.Is(err, errNoService) && !allowed && jail == "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "banpipe: %v\nbanpipe: this is what the kernel and the other back ends hold\n", err)
				bans.Bans, err = heldByBackEnds(cmd.Context(), f.config)
			}
			if err != nil {
				return err
			}
			if f.json {
				out := json.NewEncoder(cmd.OutOrStdout())
				for _, a := range bans.Bans {
					if err := out.Encode(a); err != nil {
						return err
					}
				}
				return nil
			}
			return printBans(cmd.OutOrStdout(), bans.Bans)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&jail, "jail", "", "only the bans of this jail")
	cmd.Flags().BoolVar(&allowed, "allowed", false, "who is let through by hand, instead")
	_ = cmd.RegisterFlagCompletionFunc("jail", jailNames(&f))
	return cmd
}

// backEnds are what may hold bans of ours, by whatever can be read of the configuration. A ufw without rules of ours is
// left alone.
func backEnds(config string) (all []configs.BackEnd) {
	cfg, err := load(config)
	if err != nil {
		cfg = configs.Default()
	}
	return slices.DeleteFunc(configs.BackEnds(cfg), func(b configs.BackEnd) bool {
		u, ok := b.Sink.(*sinks.UFW)
		return ok && !u.Marked()
	})
}

// heldByBackEnds are the bans that are in force, each once. Only ufw and programs of the user's own know of jails.
func heldByBackEnds(ctx context.Context, config string) (all []control.Action, err error) {
	type key struct {
		prefix netip.Prefix
		ports  string
	}
	held := make(map[key]pipeline.Action)
	for _, b := range backEnds(config) {
		some, err := b.Sink.Held(ctx)
		if c, ok := b.Sink.(io.Closer); ok {
			c.Close()
		}
		if err != nil {
			return nil, err
		}
		for _, a := range some {
			k := key{a.Prefix, pipeline.PortsString(a.Ports)}
			if _, kernel := b.Sink.(*sinks.NFTables); kernel {
				a.Jail = ""
			}
			if before, ok := held[k]; ok && a.Jail == "" {
				a.Jail = before.Jail
			}
			a.Restored, held[k] = false, a
		}
	}
	now := time.Now()
	for _, a := range slices.SortedFunc(maps.Values(held), control.ByEnd) {
		all = append(all, control.NewAction(a, now))
	}
	return all, nil
}

func printBans(out io.Writer, bans []control.Action) error {
	if len(bans) == 0 {
		fmt.Fprintln(out, "nobody")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "address\tjail\tsince\tuntil\tremaining\treason")
	for _, a := range bans {
		since, until, left := "?", "ever", "ever"
		if a.Since != nil {
			since = a.Since.Local().Format(time.DateTime)
		}
		if a.Until != nil {
			until = a.Until.Local().Format(time.DateTime)
			left = time.Duration(*a.RemainingSeconds * float64(time.Second)).Round(time.Second).String()
		}
		jail := plain(a.Jail)
		if a.Observe {
			jail += " (observes)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", address(a.Prefix), jail, since, until, left, plain(a.Reason))
	}
	return w.Flush()
}

// address is a prefix as people write it: a host without its /32.
func address(prefix string) string {
	if p, err := control.ParsePrefix(prefix); err == nil {
		return control.Word(p)
	}
	return plain(prefix)
}

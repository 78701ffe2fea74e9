package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
	"github.com/banpipe/banpipe/sinks"
)

func flushCommand() *cobra.Command {
	var f verbFlags
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "lift every ban at once: remove banpipe's table from the kernel, and its bans everywhere else",
		Long: `flush removes the nftables table of banpipe, and with it every ban in the kernel: the way out when somebody is
locked out. It needs no running service and no working configuration. A service that answers lifts all its bans as well, and goes on
with the next one. Where none answers, the rules that banpipe has made in ufw are deleted, deny files are emptied, and programs of your own are run to
unban what they were told to ban, and the saved state is cleared of bans, so that a service that starts later does not put them back.`,
		Example: `  sudo banpipe flush`,
		Args:    atMost(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return flush(cmd, &f) },
	}
	f.add(cmd)
	return cmd
}

// A flushed is one object of "flush --json".
type flushed struct {
	Table   string `json:"table,omitempty"` // of the kernel
	Removed *bool  `json:"removed,omitempty"`
	Sink    string `json:"sink,omitempty"`    // another back end
	Service bool   `json:"service,omitempty"` // a service that runs
	State   bool   `json:"state,omitempty"`   // what is saved, without one
	Lifted  *int   `json:"lifted,omitempty"`  // bans
	Note    string `json:"note,omitempty"`
}

// flush goes on after an error: whatever can be lifted is.
func flush(cmd *cobra.Command, f *verbFlags) error {
	cfg, err := load(f.config)
	broken := err != nil
	if broken {
		if f.config != "" && errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// A broken configuration must not keep anybody locked out.
		fmt.Fprintf(cmd.ErrOrStderr(), "banpipe: the configuration cannot be read, so the table is taken to be called banpipe, and what programs of your own hold stays\n")
		cfg = configs.Default()
	}
	var errs []error
	say := func(one flushed, err error) {
		if errs = append(errs, err); err == nil {
			errs = append(errs, printFlushed(cmd.OutOrStdout(), f.json, one))
		}
	}
	all := configs.BackEnds(cfg)
	for _, b := range all {
		if n, ok := b.Sink.(*sinks.NFTables); ok {
			removed, err := n.Flush(cmd.Context())
			say(flushed{Table: n.Table, Removed: &removed}, err)
		}
	}
	served, lifted, err := flushService(cmd.Context(), f.client())
	switch {
	case served != nil:
		say(flushed{Service: true, Lifted: &lifted}, err)
	case err != nil:
		errs = append(errs, err)
	case broken:
		fmt.Fprintf(cmd.ErrOrStderr(), "banpipe: the saved state is left as it is, and the next service puts its bans back\n")
	default:
		lifted, err := liftSaved(cmd.Context(), cfg, cmd.ErrOrStderr(), func(pipeline.Action) bool { return true })
		n := len(lifted)
		if err != nil {
			err = fmt.Errorf("the saved state is left as it is, and the next service puts its bans back: %w", err)
		}
		if n > 0 || err != nil {
			say(flushed{State: true, Lifted: &n}, err)
		}
	}
	for _, b := range all {
		if one, err := flushBackEnd(cmd.Context(), b, served); one.Sink != "" {
			say(one, err)
		}
	}
	return errors.Join(errs...)
}

// flushService has a service lift all its bans, and names its sinks; nil if none answers.
func flushService(ctx context.Context, c *client) (sinks []string, lifted int, err error) {
	var status control.Status
	if err := c.get(ctx, "/v1/status", &status); errors.Is(err, errNoService) {
		return nil, 0, nil
	} else if err != nil {
		return nil, 0, err
	}
	sinks = []string{""}
	for _, s := range status.Sinks {
		sinks = append(sinks, s.Sink)
	}
	var r control.Results
	err = c.post(ctx, "unban", control.Order{All: true}, &r)
	return sinks, len(r.Results), err
}

// flushBackEnd empties one that is not the kernel, unless a service does; one without a name says that there is nothing to do.
func flushBackEnd(ctx context.Context, b configs.BackEnd, served []string) (one flushed, err error) {
	if slices.Contains(served, b.Sink.Name()) {
		return flushed{}, nil
	}
	n := 0
	switch s := b.Sink.(type) {
	case *sinks.UFW:
		if !s.Marked() {
			return flushed{}, nil
		}
		n, err = s.Flush(ctx)
	case *sinks.Exec:
		held, _ := s.Held(ctx)
		if len(held) == 0 {
			return flushed{}, nil
		}
		if !b.Lifts {
			return flushed{Sink: b.Name, Lifted: &n, Note: fmt.Sprintf("it has no unban: %d bans end when it ends them", len(held))}, nil
		}
		n, err = s.Flush(ctx)
	case *sinks.DenyFile:
		if n, err = s.Flush(ctx); n == 0 && err == nil {
			return flushed{}, nil
		}
	default:
		return flushed{}, nil
	}
	if err != nil {
		err = fmt.Errorf("sink %s: %w", b.Name, err)
	}
	return flushed{Sink: b.Name, Lifted: &n}, err
}

func printFlushed(out io.Writer, asJSON bool, one flushed) (err error) {
	switch {
	case asJSON:
		err = json.NewEncoder(out).Encode(one)
	case one.Service:
		_, err = fmt.Fprintf(out, "the service has lifted %d bans\n", *one.Lifted)
	case one.State:
		_, err = fmt.Fprintf(out, "%d bans lifted in the saved state\n", *one.Lifted)
	case one.Note != "":
		_, err = fmt.Fprintf(out, "sink %s: %s\n", plain(one.Sink), one.Note)
	case one.Sink != "":
		_, err = fmt.Fprintf(out, "sink %s: %d bans lifted\n", plain(one.Sink), *one.Lifted)
	case *one.Removed:
		_, err = fmt.Fprintf(out, "removed table inet %s: no ban of banpipe is left in the kernel\n", one.Table)
	default:
		_, err = fmt.Fprintf(out, "there is no table inet %s: nothing to remove\n", one.Table)
	}
	return err
}

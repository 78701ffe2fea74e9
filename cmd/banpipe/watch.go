package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline/control"
)

func watchCommand() *cobra.Command {
	var f verbFlags
	var jail string
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "bans and unbans as they happen",
		Long: `watch prints what is decided, as it happens: coloured lines on a terminal, one JSON object per line in a pipe or
with --json.`,
		Example: `  banpipe watch
  banpipe watch | jq -r 'select(.op == "ban") | .prefix'`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if jail != "" {
				query.Set("jail", jail)
			}
			out := cmd.OutOrStdout()
			tty := isTerminal(out)
			return f.client().events(cmd.Context(), "/v1/events?"+query.Encode(), func(name string, data []byte) error {
				if f.json || !tty {
					_, err := fmt.Fprintf(out, "%s\n", data)
					return err
				}
				if name == "missed" {
					_, err := fmt.Fprintf(out, "some were missed: %s\n", plain(string(data)))
					return err
				}
				var e control.Event
				if err := json.Unmarshal(data, &e); err != nil {
					return err
				}
				_, err := fmt.Fprintln(out, eventLine(e, os.Getenv("NO_COLOR") == ""))
				return err
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&jail, "jail", "", "only this jail")
	_ = cmd.RegisterFlagCompletionFunc("jail", jailNames(&f))
	return cmd
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// eventLine is an event for people.
func eventLine(e control.Event, colour bool) string {
	op := e.Op
	if e.Observe {
		op = "would " + op
	}
	if colour {
		switch e.Op {
		case "ban":
			op = "\x1b[31m" + op + "\x1b[0m"
		case "pause", "hold":
			op = "\x1b[33m" + op + "\x1b[0m"
		default:
			op = "\x1b[32m" + op + "\x1b[0m"
		}
	}
	line := e.Time.Local().Format(time.DateTime) + " " + op
	if e.Prefix != "" {
		line += " " + address(e.Prefix)
	}
	if e.Jail != "" {
		line += " by jail " + plain(e.Jail)
	}
	if e.Until != nil {
		line += " until " + e.Until.Local().Format(time.DateTime)
	} else if e.Op == "ban" || e.Op == "allow" {
		line += " for ever"
	}
	if e.Reason != "" {
		line += ": " + plain(e.Reason)
	}
	return line
}

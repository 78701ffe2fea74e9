package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
)

func checkCommand() *cobra.Command {
	var config string
	var asJSON bool
	var jails []string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "load and compile the configuration, and say what would run",
		Long: `check loads the configuration, compiles every filter, looks for every log, and prints what would run. It
is strict where run is not: a broken jail is an error, and so is a log that is there and of another kind than its filter reads. A log
that is not there is a warning, since the service waits for it. Nothing is changed.`,
		Example: `  banpipe check
  banpipe check --config banpipe.toml --json`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			built, err := check(cmd.Context(), config, jails)
			if asJSON {
				return checkJSON(cmd.OutOrStdout(), built, err)
			}
			if err != nil {
				return err
			}
			for _, warning := range built.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %v\n", warning)
			}
			return checkWords(cmd.OutOrStdout(), built)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config, "config", "", "the configuration (default "+configs.DefaultPath+", if it is there)")
	flags.StringArrayVar(&jails, "jail", nil, "check this jail, enabled or not, instead of those that are; may be repeated")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func check(ctx context.Context, path string, jails []string) (*configs.Built, error) {
	cfg, err := load(path)
	if err != nil {
		return nil, err
	}
	built, err := configs.Build(cfg, configs.BuildOptions{Jails: jails, Strict: true})
	if err == nil {
		built.Warnings = slices.Concat(built.Warnings, built.RuleWarnings(), built.ProxyWarnings(ctx))
	}
	return built, err
}

func checkWords(out io.Writer, built *configs.Built) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "jail\tfilter\tlimit\tbans\treads")
	for _, j := range built.Jails {
		fmt.Fprintf(w, "%s\t%s\t%s in %v\t%s\t%s\n", j.Name, j.Loaded.Name, limit(j), j.FindTime, bans(j), reads(j))
	}
	return w.Flush()
}

// limit says in words what it takes.
func limit(j *configs.Jail) string {
	switch {
	case j.CountsBans():
		return fmt.Sprintf("%d bans", j.MaxRetry)
	case j.Weighted():
		return fmt.Sprintf("a score of %d", j.MaxRetry)
	}
	return fmt.Sprint(int(j.MaxRetry))
}

// reads says in words what a jail looks at.
func reads(j *configs.Jail) string {
	if j.CountsBans() {
		return "the bans of the other jails"
	}
	words := strings.Join(j.LogPath, " ")
	if match := j.Journal(); match != "" {
		words = "journal: " + match
	}
	switch {
	case len(j.Waits) == 0:
	case len(j.Waits) < len(j.LogPath):
		words += " (not there yet: " + strings.Join(j.Waits, " ") + ")"
	default:
		words += " (not there yet)"
	}
	return words
}

// bans says in words what a jail does to an offender.
func bans(j *configs.Jail) string {
	ports := pipeline.PortsString(j.Port)
	if ports == "" {
		ports = "all ports"
	}
	length := j.BanTime.String()
	if j.BanTime < 0 {
		length = "for ever"
	} else if j.BanTimeIncrement {
		length += " and longer each time"
	}
	words := fmt.Sprintf("%s, %s", length, ports)
	if !j.Enforce {
		words += ", nobody: enforce = false"
	}
	return words
}

// A checkedJail is a jail in the output of `check --json`.
type checkedJail struct {
	Jail     string   `json:"jail"`
	Filter   string   `json:"filter"`
	LogPath  []string `json:"logpath"`
	Journal  string   `json:"journalmatch,omitempty"` // instead of LogPath
	WaitsFor []string `json:"waits_for,omitempty"`    // logs that are not there (yet), or "journal"
	MaxRetry int      `json:"maxretry"`
	Weighted bool     `json:"weighted,omitempty"` // a hit may count more than once
	Counts   string   `json:"counts"`             // lines or bans
	FindTime float64  `json:"findtime_seconds"`
	BanTime  float64  `json:"bantime_seconds"` // negative never ends
	Ports    string   `json:"ports"`           // "" is all
	Enforce  bool     `json:"enforce"`
}

// A mistake is a place in a configuration in the output of `check --json`.
type mistake struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Msg  string `json:"error"`
	Hint string `json:"hint,omitempty"`
}

// checkJSON prints everything, mistakes too, so that a program need not read standard error.
func checkJSON(out io.Writer, built *configs.Built, err error) error {
	result := struct {
		OK       bool          `json:"ok"`
		Jails    []checkedJail `json:"jails"`
		Mistakes []mistake     `json:"mistakes"`
		Warnings []mistake     `json:"warnings"`
	}{OK: err == nil, Jails: []checkedJail{}, Mistakes: mistakes(err), Warnings: []mistake{}}
	if err == nil {
		result.Warnings = mistakes(built.Warnings)
		for _, j := range built.Jails {
			result.Jails = append(result.Jails, checkedJail{
				Jail: j.Name, Filter: j.Loaded.Name, LogPath: j.LogPath, Journal: j.Journal(), WaitsFor: j.Waits, MaxRetry: int(j.MaxRetry),
				FindTime: time.Duration(j.FindTime).Seconds(), BanTime: time.Duration(j.BanTime).Seconds(),
				Weighted: j.Weighted(), Counts: j.Counts, Ports: pipeline.PortsString(j.Port), Enforce: j.Enforce,
			})
		}
	}
	if err := json.NewEncoder(out).Encode(result); err != nil {
		return err
	}
	if !result.OK {
		return errSaid
	}
	return nil
}

func mistakes(err error) []mistake {
	all := []mistake{}
	var errs configs.Errors
	switch {
	case err == nil:
	case errors.As(err, &errs):
		for _, e := range errs {
			all = append(all, mistake{e.File, e.Line, e.Msg, e.Hint})
		}
	default:
		all = append(all, mistake{Msg: err.Error()})
	}
	return all
}

// Command banpipe follows logs as a stream, counts offences per address, and has the kernel ban offenders.
//
// The verbs live in one file each. This package does only what a program must and a library must not:
// flags, signals, exit codes, and words for people.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/configs"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // the operation failed
	exitUsage  = 2 // the call was wrong
)

func main() {
	if filepath.Base(os.Args[0]) == shimName {
		os.Exit(runShim(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// execute runs one verb and returns the exit code.
func execute(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// The first signal ends the verb in an orderly way; a second one, the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errSaid):
		return exitFailed
	case errors.As(err, &usage):
		complain(stderr, err)
		fmt.Fprintln(stderr, "hint: banpipe help shows the verbs, banpipe VERB --help how to call one")
		return exitUsage
	default:
		complain(stderr, err)
		return exitFailed
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "banpipe",
		Short: "log lines in, kernel bans out",
		Long: `banpipe follows logs as a stream, counts offences per address and puts offenders into an
nftables set whose elements carry their own timeout: the kernel itself ends every ban.`,
		Example: `  banpipe try                                  # watch it work, in a private network namespace, without root
  banpipe run                                  # the service: /etc/banpipe/banpipe.toml
  journalctl -f -o short-iso | banpipe run --stdin --jail sshd`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{fmt.Errorf("there is no verb %q", args[0])}
		}
		return cmd.Help()
	}
	root.Args = cobra.ArbitraryArgs
	root.AddCommand(runCommand(), checkCommand(), testCommand(), tryCommand(), flushCommand(),
		statusCommand(), listCommand(), whyCommand(), watchCommand(), historyCommand(),
		banCommand(), unbanCommand(), allowCommand(), pauseCommand(), resumeCommand(), reloadCommand(), compareCommand())
	return root
}

// A usageError is a call that was wrong: exit code 2.
type usageError struct{ error }

// errSaid is a failure of which everything has been printed already.
var errSaid = errors.New("failed")

// atMost makes the number of arguments the caller's mistake.
func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return &usageError{fmt.Errorf("unexpected argument %q", args[n])}
		}
		return nil
	}
}

// complain prints an error for people: mistakes in a configuration stand by themselves, a line and a hint
// each; the rest says who is speaking.
func complain(w io.Writer, err error) {
	var mistakes configs.Errors
	if errors.As(err, &mistakes) {
		fmt.Fprintln(w, mistakes)
		return
	}
	fmt.Fprintf(w, "banpipe: %v\n", err)
}

// load reads the configuration that was named, or the one in its usual place, or the defaults.
func load(path string) (*configs.Config, error) {
	if path != "" {
		return configs.Load(path)
	}
	cfg, err := configs.Load(configs.DefaultPath)
	if errors.Is(err, os.ErrNotExist) {
		return configs.Default(), nil
	}
	return cfg, err
}

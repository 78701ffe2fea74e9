package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
)

// shimName is the name under which the program answers as fail2ban's client does, so that scripts go on working.
const shimName = "fail2ban-client"

// shimFailed is fail2ban-client's exit code for whatever went wrong.
const shimFailed = 255

// A shim is one call of fail2ban-client.
type shim struct {
	flags verbFlags
	out   io.Writer
	test  bool
}

// runShim answers in fail2ban's words.
func runShim(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s := &shim{out: stdout}
	words, err := s.options(args)
	if err == nil {
		err = s.run(ctx, words)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s\n", plainLines(err.Error()))
		return shimFailed
	}
	return exitDone
}

// options takes those of fail2ban-client off that mean something here.
func (s *shim) options(args []string) (words []string, err error) {
	for len(args) > 0 {
		switch a := args[0]; {
		case a == "-s" || a == "--socket" || a == "-c" || a == "--conf":
			if len(args) < 2 {
				return nil, fmt.Errorf("%s: what is missing is a path", a)
			}
			if a == "-s" || a == "--socket" {
				s.flags.socket = args[1]
			}
			args = args[1:]
		case a == "-t" || a == "--test":
			s.test = true
		case a == "-q" || a == "-v" || a == "-x":
		case a == "-V" || a == "--version":
			words = []string{"version"}
		case strings.HasPrefix(a, "-") && len(words) == 0:
			return nil, unknown(a)
		default:
			return append(words, args...), nil
		}
		args = args[1:]
	}
	return words, nil
}

func unknown(what string) error {
	return fmt.Errorf("this fail2ban-client is banpipe, and does not know %q: it answers status, status JAIL, set JAIL banip|unbanip IP, unban IP|--all, banned, ping, reload and -t; banpipe help shows what it has instead", what)
}

func (s *shim) run(ctx context.Context, words []string) error {
	verb := strings.Join(words, " ")
	switch {
	case s.test:
		var st control.Status // the configuration to test is that of the service, if one answers
		if err := s.flags.client().get(ctx, "/v1/status", &st); err != nil || !filepath.IsAbs(st.Config) {
			st.Config = ""
		}
		if _, err := check(ctx, st.Config, nil); err != nil {
			return fmt.Errorf("ERROR: %w", err)
		}
		return s.say("OK: configuration test is successful")
	case verb == "ping":
		var st control.Status
		if err := s.flags.client().get(ctx, "/v1/status", &st); err != nil {
			return err
		}
		return s.say("Server replied: pong")
	case verb == "version":
		return s.say("banpipe " + version())
	case verb == "status":
		return s.jails(ctx)
	case len(words) == 2 && words[0] == "status" && words[1] != "--all":
		return s.jail(ctx, "jail="+url.QueryEscape(words[1]))
	case verb == "status --all":
		return s.jail(ctx, "")
	case verb == "banned":
		return s.banned(ctx)
	case verb == "reload":
		var r control.Reloaded
		if err := s.flags.client().post(ctx, "reload", control.Order{}, &r); err != nil {
			return err
		}
		return s.say("OK")
	case len(words) >= 2 && words[0] == "unban":
		if words[1] == "--all" {
			return s.order(ctx, "unban", control.Order{All: true})
		}
		return s.order(ctx, "unban", control.Order{Addrs: s.heldBy(ctx, "", words[1:])})
	case len(words) >= 4 && words[0] == "set" && words[2] == "banip":
		return s.order(ctx, "ban", control.Order{Jail: words[1], Addrs: words[3:], Spare: sshPeers()})
	case len(words) >= 4 && words[0] == "set" && words[2] == "unbanip":
		return s.order(ctx, "unban", control.Order{Jail: words[1], Addrs: s.heldBy(ctx, words[1], words[3:])})
	}
	return unknown(verb)
}

func (s *shim) say(text string) error {
	_, err := fmt.Fprintln(s.out, text)
	return err
}

func (s *shim) jails(ctx context.Context) error {
	var st control.Status
	if err := s.flags.client().get(ctx, "/v1/status", &st); err != nil {
		return err
	}
	var names []string
	for _, j := range st.Jails {
		names = append(names, plain(j.Jail))
	}
	return s.say(fmt.Sprintf("Status\n|- Number of jail:\t%d\n`- Jail list:\t%s", len(names), strings.Join(names, ", ")))
}

func (s *shim) jail(ctx context.Context, query string) error {
	var st control.Status
	if err := s.flags.client().get(ctx, "/v1/status?addrs=1&"+query, &st); err != nil {
		return err
	}
	printJails(s.out, st)
	return nil
}

// banned is Python's way to write a list of dictionaries: what scripts have learnt to read.
func (s *shim) banned(ctx context.Context) error {
	var st control.Status
	if err := s.flags.client().get(ctx, "/v1/status?addrs=1", &st); err != nil {
		return err
	}
	var all []string
	for _, j := range st.Jails {
		addrs := make([]string, len(j.Addrs))
		for i, a := range j.Addrs {
			addrs[i] = "'" + plain(a) + "'"
		}
		all = append(all, fmt.Sprintf("{'%s': [%s]}", plain(j.Jail), strings.Join(addrs, ", ")))
	}
	return s.say("[" + strings.Join(all, ", ") + "]")
}

// heldBy replaces addresses by the networks that jails have banned for them: fail2ban knows of single addresses only, and its
// unban lets them in. A network that was banned by hand stays.
func (s *shim) heldBy(ctx context.Context, jail string, addrs []string) (all []string) {
	for _, addr := range addrs {
		all = append(all, addr)
		var y control.Why
		if s.flags.client().get(ctx, "/v1/why?addr="+url.QueryEscape(addr), &y) != nil {
			continue
		}
		for _, a := range y.By {
			if a.Jail != pipeline.Manual && (jail == "" || a.Jail == jail) && address(a.Prefix) != y.Addr {
				all[len(all)-1] = a.Prefix
			}
		}
	}
	return all
}

// order prints the number of addresses for which something was done, as fail2ban does.
func (s *shim) order(ctx context.Context, verb string, o control.Order) error {
	var r control.Results
	if err := s.flags.client().post(ctx, verb, o, &r); err != nil {
		return err
	}
	n := 0
	var errs []error
	for _, one := range r.Results {
		switch {
		case !one.Done:
			errs = append(errs, errors.New(one.Error))
		case verb == "unban" && len(one.Notes) > 0 && one.Notes[0] == control.NotBanned:
		default:
			n++
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.say(fmt.Sprint(n))
}

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline/control"
)

// verbFlags are those of every verb that asks the service.
type verbFlags struct {
	config, socket string
	json           bool
}

func (f *verbFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "read the socket's path from this file (default "+configs.DefaultPath+")")
	cmd.Flags().StringVar(&f.socket, "socket", "", "the control socket (default the configuration's)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// client finds the service. A broken configuration must not keep anybody from talking to a service that runs.
func (f *verbFlags) client() *client {
	path := f.socket
	if path == "" {
		cfg, err := load(f.config)
		if err != nil {
			cfg = configs.Default()
			cfg.Socket = socketIn(cmp.Or(f.config, configs.DefaultPath), cfg.Socket)
		}
		path = cfg.Socket
	}
	return &client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		},
	}}}
}

// socketIn reads the one key that is needed from a configuration with mistakes in it.
func socketIn(path, usual string) string {
	text, _ := os.ReadFile(path)
	if m := regexp.MustCompile(`(?m)^\s*socket\s*=\s*["']([^"']*)["']`).FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return usual
}

// A client talks to the service over its control socket.
type client struct {
	path string
	http *http.Client
}

// errNoService is wrapped by what a call returns when nobody listens.
var errNoService = errors.New("no service answers")

// answerTime is how long a verb waits: longer than the service takes at most.
const answerTime = 60 * time.Second

// get asks for path and reads the answer into out.
func (c *client) get(ctx context.Context, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return c.call(ctx, http.MethodGet, path, nil, out)
}

// post orders.
func (c *client) post(ctx context.Context, verb string, order control.Order, out any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, "/v1/"+verb, bytes.NewReader(body), out)
}

func (c *client) call(ctx context.Context, method, path string, body io.Reader, out any) error {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, results := out.(*control.Results); resp.StatusCode != http.StatusOK && !(results && resp.StatusCode == http.StatusUnprocessableEntity) {
		return failureOf(resp)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = text
		return nil
	}
	if resp.StatusCode == http.StatusUnprocessableEntity {
		var failure control.Failure
		if json.Unmarshal(text, &failure) == nil && failure.Error != "" {
			return errors.New(plain(failure.Error))
		}
	}
	return json.Unmarshal(text, out)
}

func (c *client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	if c.path == "" {
		return nil, fmt.Errorf("%w: its configuration says socket = \"\"", errNoService)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://banpipe"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case err == nil:
		return resp, nil
	case noService(err):
		return nil, fmt.Errorf("%w at %s: is banpipe run running?", errNoService, c.path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("no right to talk to the service at %s: be root or in the group %s", c.path, socketGroup)
	}
	return nil, err
}

func failureOf(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var failure control.Failure
	if err := json.Unmarshal(text, &failure); err != nil || failure.Error == "" {
		return fmt.Errorf("the service answers %s", resp.Status)
	}
	return errors.New(plainLines(failure.Error))
}

// plainLines escapes each line of a text for a terminal.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = plain(l)
	}
	return strings.Join(lines, "\n")
}

// events calls each with every server-sent event until ctx is done or the service ends.
func (c *client) events(ctx context.Context, path string, each func(name string, data []byte) error) error {
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return failureOf(resp)
	}
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	name := ""
	for in.Scan() {
		if n, ok := strings.CutPrefix(in.Text(), "event: "); ok {
			name = n
		} else if data, ok := bytes.CutPrefix(in.Bytes(), []byte("data: ")); ok {
			if err := each(name, data); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return nil // Ctrl-C
	}
	if err := in.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return errors.New("the service has ended")
}

// seconds reads a duration as the configuration has it; "" is nil, the verb's default.
func seconds(text string) (*float64, error) {
	if text == "" {
		return nil, nil
	}
	d, err := configs.ParseDuration(text)
	if err != nil {
		return nil, &usageError{err}
	}
	s := time.Duration(d).Seconds()
	switch {
	case d < 0:
		s = -1
	case d == 0:
		return nil, &usageError{fmt.Errorf("%q: want a time that is not 0", text)}
	}
	return &s, nil
}

// printResults prints what became of an order, and makes exit code 1 of a refusal.
func printResults(cmd *cobra.Command, f *verbFlags, done string, r control.Results) error {
	var err error
	for _, one := range r.Results {
		if !one.Done {
			err = errSaid
		}
		if f.json {
			json.NewEncoder(cmd.OutOrStdout()).Encode(one)
			continue
		}
		if !one.Done {
			fmt.Fprintf(cmd.ErrOrStderr(), "banpipe: %s\n", plain(one.Error))
			continue
		}
		line := strings.TrimSpace(done + " " + one.Addr)
		if a := one.Action; a != nil && a.Op != "disallow" && a.Op != "resume" {
			if a.Jail != "manual" {
				line += " in jail " + plain(a.Jail)
			}
			if a.Until != nil {
				line += " until " + a.Until.Local().Format(time.RFC3339)
			} else {
				line += " for ever"
			}
		}
		fmt.Fprintln(cmd.OutOrStdout(), line)
		for _, note := range one.Notes {
			fmt.Fprintf(cmd.OutOrStdout(), "  note: %s\n", plain(note))
		}
	}
	return err
}

// atLeastOne makes an address the least that a verb takes.
func atLeastOne(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return &usageError{errors.New("which address?")}
	}
	return nil
}

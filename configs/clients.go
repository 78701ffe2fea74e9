package configs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
)

// webShapes are the shapes of the logs of web servers and what runs behind them: where one of them names a proxy, the
// others do.
var webShapes = [...]string{"access", "nginx", "nginx-error", "apache-error", "python", "json"}

// whyHeld is why an address that has most lines of a log is not banned.
const whyHeld = "has more than half of the lines of %s, and most of them are no offences: a proxy, whose clients the log does not name"

// A frontier is what stands for others before this machine: the bridges of its containers, and the proxies that
// logs name in place of clients.
type frontier struct {
	bridges func() []pipeline.Proxy // nil: none
	clients *matchers.Clients
	jails   []*Jail
	trusted map[string][]netip.Prefix // by jail

	mu    sync.Mutex // guards the rest
	held  []matchers.Held
	inner []pipeline.Proxy // of held
}

// newFrontier watches the logs that the programs are for.
func (b *builder) newFrontier(bridges func() []pipeline.Proxy) *frontier {
	return &frontier{
		bridges: bridges, jails: b.jails, trusted: b.trusted,
		clients: &matchers.Clients{Programs: b.programs.of, Changed: b.proxied, Past: pastLines},
	}
}

// pastBytes is how much of a log's end is looked at before its first line is judged: some two thousand lines.
const pastBytes = 256 << 10

// pastLines are the last whole lines of a log, and of the one before it: a log that has just been rotated says little.
func pastLines(source string) (lines [][]byte) {
	path, ok := strings.CutPrefix(source, "file:")
	if !ok {
		return nil
	}
	for _, path := range []string{path + ".1", path} {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // a pipe would be waited for
			continue
		}
		lines = append(lines, lastLines(path)...)
	}
	return lines
}

// lastLines are those in the last pastBytes of a file.
func lastLines(path string) [][]byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	from := max(0, info.Size()-pastBytes)
	text, err := io.ReadAll(io.NewSectionReader(f, from, pastBytes))
	if err != nil {
		return nil
	}
	if _, after, cut := bytes.Cut(text, []byte{'\n'}); from > 0 && cut {
		text = after
	}
	return wholeLines(text)
}

// shielded are the jails that must not ban the proxy of a source: those that read it, and those of other logs of the web.
func (f *frontier) shielded(source string) (names []string) {
	for _, j := range f.jails {
		if slices.Contains(webShapes[:], j.Loaded.Shape) || j.readsFrom(source) {
			names = append(names, j.Name)
		}
	}
	return names
}

// proxied logs that an address is taken for a proxy, or no longer.
func (b *builder) proxied(source string, addr netip.Addr, held bool) {
	switch {
	case b.opts.Logger == nil || b.frontier.meant(source, addr):
	case held:
		b.opts.Logger.Warn("most lines of a log are of one address, and most of those are no offences: it is taken for a proxy, and not banned",
			zap.String("source", source), zap.Stringer("addr", addr), zap.String("cure", pipeline.Spared{Addr: addr}.Cure()),
			zap.String("if_meant", fmt.Sprintf(`trusted_proxies = ["%v"]`, addr)))
	default:
		b.opts.Logger.Warn("an address is no longer taken for a proxy", zap.String("source", source), zap.Stringer("addr", addr))
	}
}

// meant reports whether every jail concerned trusts an address: then there is nothing to say.
func (f *frontier) meant(source string, addr netip.Addr) bool {
	return !slices.ContainsFunc(f.shielded(source), func(jail string) bool {
		return !slices.ContainsFunc(f.trusted[jail], func(p netip.Prefix) bool { return p.Contains(addr) })
	})
}

// proxies is pipeline.Decide.Proxies.
func (f *frontier) proxies() []pipeline.Proxy {
	f.mu.Lock()
	defer f.mu.Unlock()
	if held := f.clients.Held(); !slices.Equal(held, f.held) {
		f.held, f.inner = held, nil
		for _, h := range held {
			f.inner = append(f.inner, pipeline.Proxy{Prefix: host(h.Addr), Jails: f.shielded(h.Source), Why: fmt.Sprintf(whyHeld, h.Source), Learned: true})
		}
	}
	if f.bridges == nil {
		return f.inner
	}
	if len(f.inner) == 0 {
		return f.bridges()
	}
	return slices.Concat(f.bridges(), f.inner)
}

// ProxyWarnings are the proxies that the logs of the jails name in place of clients, as far as their ends tell, before
// anything has been read.
func (b *Built) ProxyWarnings(ctx context.Context) Errors {
	for _, j := range b.frontier.jails {
		for _, pattern := range j.LogPath {
			paths, _ := filepath.Glob(pattern)
			for _, path := range paths {
				b.frontier.clients.Look(ctx, "file:"+path)
			}
		}
	}
	var warnings Errors
	for _, text := range b.Proxied() {
		warnings = append(warnings, &Error{Msg: text})
	}
	return warnings
}

// Proxied says, in sentences, which addresses are taken for proxies, and what cures it.
func (b *Built) Proxied() (all []string) {
	for _, h := range b.frontier.clients.Held() {
		if b.frontier.meant(h.Source, h.Addr) {
			continue
		}
		all = append(all, fmt.Sprintf("%v "+whyHeld+". It is not banned, and those who offend through it go free. What cures it: %s. If it is meant: trusted_proxies",
			h.Addr, h.Source, pipeline.Spared{Addr: h.Addr}.Cure()))
	}
	return all
}

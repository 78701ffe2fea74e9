package main

import (
	"fmt"
	"path/filepath"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/matchers"
)

// first are the filters of the smaller sets; all shipped ones follow, and fail2ban's to make up the number.
var first = []string{
	"nginx-404", "nginx-bad-request", "nginx-http-auth", "nginx-limit-req", "sshd[mode=aggressive]", "nginx-botsearch", "nginx-forbidden", "dovecot",
	"postfix", "apache-auth", "recidive",
}

// stock is where Debian's package fail2ban has its filters.
const stock = "/etc/fail2ban/filter.d/*.conf"

// jails are one for each filter, with n failregexes together. Rules for lines of JSON and UFW's are left out: the
// others could not run them.
func jails(n int) ([]matchers.JailFilter, error) {
	var all []matchers.JailFilter
	have := map[string]bool{}
	add := func(name string, f matchers.Filter) {
		if f.MaxLines > 1 || f.Format == "ufw" || f.Format == "json" || n <= 0 || have[f.Name] {
			return
		}
		f.Format, f.Text, f.DatePattern = "", nil, nil
		f.FailRegex = f.FailRegex[:min(len(f.FailRegex), n)]
		jail := matchers.JailFilter{Jail: name, Filter: f}
		if p, err := matchers.NewProgram([]matchers.JailFilter{jail}); err != nil || len(p.SlowRules()) > 0 {
			return
		}
		have[f.Name] = true
		n -= len(f.FailRegex)
		all = append(all, jail)
	}
	for _, name := range append(first[:len(first):len(first)], configs.ShippedFilters()...) {
		f, err := configs.LoadFilter(name, nil)
		if err != nil {
			return nil, err
		}
		add(name, f.Filter)
	}
	files, err := filepath.Glob(stock)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if f, err := matchers.LoadFilter(file, nil); err == nil {
			add("stock "+filepath.Base(file), f)
		}
	}
	if n > 0 {
		return nil, fmt.Errorf("%d rules are missing: install Debian's package fail2ban for its filters", n)
	}
	return all, nil
}

package configs

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"strings"
)

// resolvFiles are where the addresses of resolvers stand: where programs look, and where the resolvers behind
// a stub on this machine do (systemd-resolved's and NetworkManager's).
var resolvFiles = [...]string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"}

// maxResolvFile is how much of such a file is read: a list of three, as a rule.
const maxResolvFile = 64 << 10

// resolvers are the name servers in files of the form of resolv.conf(5). Their answers are what a machine cannot do
// without, and what a firewall logs when they come late.
func resolvers(files [3]string) (all []netip.Prefix) {
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		all = append(all, nameservers(io.LimitReader(f, maxResolvFile))...)
		f.Close()
	}
	return all
}

func nameservers(r io.Reader) (all []netip.Prefix) {
	for s := bufio.NewScanner(r); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			all = append(all, host(a))
		}
	}
	return all
}

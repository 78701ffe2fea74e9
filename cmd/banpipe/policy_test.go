package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// say appends a line of sshd's to the log.
func (s *testService) say(format string, args ...any) {
	s.t.Helper()
	f, err := os.OpenFile(s.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%s web1 sshd[812]: %s\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), fmt.Sprintf(format, args...))
}

// Who was banned before, who has logged in and which bans count for recidive outlive SIGKILL; networks are banned as
// networks, in the kernel; a jail that bans too many stops, says so, and goes on when it is told to.
func TestPolicyOutlivesAKill(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startService(t, "")
	s.kill()
	s.configure(fmt.Sprintf(`max_bans_per_minute = 20
aggregate = { v4 = 24, after = 3 }
[jails.quick]
enabled = true
filter = "sshd"
logpath = %q
port = "all"
maxretry = 2
bantime = 2
bantime_increment = true
bantime_multipliers = [1, 2000]
[jails.recidive]
enabled = true
maxretry = 2
`, s.log))
	s.run()
	s.offend("192.0.2.7", 2)
	s.holds("ban4", "192.0.2.7", true)
	s.holds("ban4", "192.0.2.7", false) // after two seconds
	s.say("Accepted password for bob from 192.0.2.20 port 40000 ssh2")
	if !within(20*time.Second, func() bool {
		out, _ := s.verb("why", "192.0.2.20")
		return len(out) > 0 && strings.Contains(out, "somebody logged in")
	}) {
		t.Error("nobody knows of the login")
	}
	s.done("ban", "198.18.0.1") // its answer says that all before it is saved
	s.kill()
	s.run()
	s.offend("192.0.2.7", 2)
	s.holds("ban4", "192.0.2.7", true)
	s.says(`192\.0\.2\.7 +.*quick.*1h6m|192\.0\.2\.7 +.*1h6m.*quick`, "list")
	s.says("banned by jail recidive .*: 2 bans in 24h0m0s", "why", "192.0.2.7")

	s.offend("192.0.2.20", 6)
	for i := range 5 { // for sshd's bantime
		s.offend(fmt.Sprint("2001:db8:0:1::", i+1), 1)
	}
	s.holds("ban6_net64", "2001:db8:0:1::", true)
	s.says("192.0.2.20 is not banned(?s:.*)saved: somebody logged in from 192.0.2.20 at .* no ban closes that jail's ports", "why", "192.0.2.20")
	s.says("as part of 2001:db8:0:1::/64", "why", "2001:db8:0:1::99")
	s.done("unban", "2001:db8:0:1::5")
	s.holds("ban6_net64", "2001:db8:0:1::", false)

	for i := range 3 {
		s.offend(fmt.Sprint("203.0.113.", i+1), 5)
	}
	s.holds("ban4_net24", "203.0.113.0", true)

	for i := range 30 {
		s.offend(fmt.Sprintf("198.51.%d.9", i), 5)
	}
	if !within(20*time.Second, func() bool { return strings.Contains(s.done("status"), "jail sshd bans nobody until") }) {
		t.Error("the breaker of sshd has not tripped")
	}
	s.says(`"jail":"sshd",(?:[^{]*)"held_until":"`, "status", "--json")
	s.done("resume")
	if strings.Contains(s.done("status"), "bans nobody until") {
		t.Error("the breaker is still open")
	}
}

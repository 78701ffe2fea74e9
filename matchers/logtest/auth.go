package logtest

import (
	"fmt"
	"slices"
)

// auth is the next line of some session: several go on at once, each writes its lines in order.
func (l *Log) auth() string {
	if len(l.sessions) < 4 || l.chance(0.3) {
		session := l.login()
		if l.chance(l.opt.Attack) {
			session = l.guess()
		}
		l.sessions = append(l.sessions, session)
	}
	i := l.IntN(len(l.sessions))
	line := l.sessions[i][0]
	if l.sessions[i] = l.sessions[i][1:]; len(l.sessions[i]) == 0 {
		l.sessions = slices.Delete(l.sessions, i, i+1)
	}
	return line
}

// login is what honest users, and the machine itself, write.
func (l *Log) login() []string {
	user, from, port := l.pick("alice", "bob", "carol", "deploy", "git", "backup"), l.friend(), l.upTo(1024, 65535)
	sshd := fmt.Sprintf("sshd[%d]: ", l.upTo(400, 4194303))
	opened := sshd + fmt.Sprintf("pam_unix(sshd:session): session opened for user %s(uid=1000) by (uid=0)", user)
	closed := sshd + "pam_unix(sshd:session): session closed for user " + user
	logind := fmt.Sprintf("systemd-logind[512]: New session %d of user %s.", l.upTo(1, 99999), user)
	switch n := l.IntN(100); {
	case n < 25:
		cron := fmt.Sprintf("CRON[%d]: pam_unix(cron:session): session ", l.upTo(400, 4194303))
		return []string{cron + "opened for user root(uid=0) by (uid=0)", cron + "closed for user root"}
	case n < 35:
		return []string{
			fmt.Sprintf("sudo:    %s : TTY=pts/%d ; PWD=/home/%s ; USER=root ; COMMAND=/usr/bin/systemctl status nginx", user, l.IntN(6), user),
			fmt.Sprintf("sudo: pam_unix(sudo:session): session opened for user root(uid=0) by %s(uid=1000)", user),
			"sudo: pam_unix(sudo:session): session closed for user root",
		}
	case n < 42: // a wrong password, then the right one
		from = l.pick(l.frequent...)
		return []string{
			sshd + fmt.Sprintf("pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=%s  user=%s", from, user),
			sshd + fmt.Sprintf("Failed password for %s from %s port %d ssh2", user, from, port),
			sshd + fmt.Sprintf("Accepted password for %s from %s port %d ssh2", user, from, port),
			opened, logind, closed,
		}
	}
	return []string{
		sshd + fmt.Sprintf(`Connection from %s port %d on 198.51.100.10 port 22 rdomain ""`, from, port),
		sshd + fmt.Sprintf("Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:%043x", user, from, port, l.Uint64()),
		opened, logind,
		sshd + fmt.Sprintf("Received disconnect from %s port %d:11: disconnected by user", from, port),
		sshd + fmt.Sprintf("Disconnected from user %s %s port %d", user, from, port),
		closed,
		fmt.Sprintf("systemd-logind[512]: Session %d logged out. Waiting for processes to exit.", l.upTo(1, 99999)),
	}
}

// guess is a connection that wants in.
func (l *Log) guess() []string {
	user := l.pick("admin", "test", "oracle", "postgres", "ubuntu", "user", "guest", "ftpuser", "pi", "nagios", "jenkins", "git lab", "minecraft")
	from, port := l.foe(), l.upTo(1024, 65535)
	failed := fmt.Sprintf("Failed password for root from %s port %d ssh2", from, port)
	failure := "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=" + from
	var lines []string
	switch n := l.IntN(100); {
	case n < 50:
		lines = []string{
			fmt.Sprintf("Invalid user %s from %s port %d", user, from, port),
			"pam_unix(sshd:auth): check pass; user unknown",
			failure + " ",
			fmt.Sprintf("Failed password for invalid user %s from %s port %d ssh2", user, from, port),
			fmt.Sprintf("Received disconnect from %s port %d:11: Bye Bye [preauth]", from, port),
			fmt.Sprintf("Disconnected from invalid user %s %s port %d [preauth]", user, from, port),
		}
	case n < 80:
		lines = []string{failure + "  user=root", failed, failed, fmt.Sprintf("Connection closed by authenticating user root %s port %d [preauth]", from, port)}
	case n < 90:
		lines = []string{
			failed, failed, failed,
			fmt.Sprintf("error: maximum authentication attempts exceeded for root from %s port %d ssh2 [preauth]", from, port),
			fmt.Sprintf("Disconnecting authenticating user root %s port %d: Too many authentication failures [preauth]", from, port),
		}
	case n < 95:
		lines = []string{"error: kex_exchange_identification: Connection closed by remote host", fmt.Sprintf("Connection closed by %s port %d", from, port)}
	default:
		lines = []string{fmt.Sprintf("banner exchange: Connection from %s port %d: invalid format", from, port)}
	}
	sshd := fmt.Sprintf("sshd[%d]: ", l.upTo(400, 4194303))
	for i := range lines {
		lines[i] = sshd + lines[i]
	}
	return lines
}

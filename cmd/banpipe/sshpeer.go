package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/banpipe/banpipe/pipeline/control"
)

// sshPeers are the addresses that the caller is connected from: those in SSH_CONNECTION and SSH_CLIENT (ssh(1)), of
// this process and of those that it comes from. sudo takes them out of the environment of what it starts, but not out of its own.
func sshPeers() (peers []string) {
	seen := make(map[string]bool)
	add := func(environ string) {
		for entry := range strings.SplitSeq(environ, "\x00") {
			name, value, _ := strings.Cut(entry, "=")
			if name != "SSH_CONNECTION" && name != "SSH_CLIENT" {
				continue
			}
			addr, _, _ := strings.Cut(value, " ")
			if p, err := control.ParsePrefix(addr); err == nil && !seen[p.String()] {
				seen[p.String()] = true
				peers = append(peers, control.Word(p))
			}
		}
	}
	add(strings.Join(os.Environ(), "\x00"))
	for pid, n := os.Getppid(), 0; pid > 1 && n < 32; n++ {
		environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		add(string(environ))
		pid = parent(pid)
	}
	return peers
}

// parent is the fourth field of /proc/PID/stat (proc_pid_stat(5)); the second may hold anything.
func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	var state string
	ppid := 0
	if _, err := fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &ppid); err != nil {
		return 0
	}
	return ppid
}

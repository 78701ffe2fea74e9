// Package logtest makes up the logs of a small web server, for tests and benchmarks: lines as nginx, sshd,
// sudo, cron and the kernel write them, a part of them from attackers. The same Options give the same bytes.
//
//	Access  192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET /.env HTTP/1.1" 404 153 "-" "curl/8.5.0"
//	Error   2026/11/22 07:23:11 [error] 811#811: *90210 access forbidden by rule, client: 192.0.2.7, …
//	Auth    2026-11-22T07:23:11.483417+00:00 web1 sshd[1234]: Invalid user pi from 192.0.2.7 port 40000
//	UFW     2026-11-22T07:23:11.483417+00:00 web1 kernel: [812345.678901] [UFW BLOCK] IN=eth0 OUT= MAC=…
//	Mixed   all four as they come in time: 60, 5, 20 and 15 of 100 lines
package logtest

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A Kind is a log's.
type Kind int

const (
	Access Kind = iota
	Error
	Auth
	UFW
	Mixed
)

func (k Kind) String() string { return [...]string{"access", "error", "auth", "ufw", "mixed"}[k] }

// Kinds are all there are.
func Kinds() []Kind { return []Kind{Access, Error, Auth, UFW, Mixed} }

// Options change what a Log holds. The zero value is good.
type Options struct {
	Seed      uint64
	Attack    float64   // the share of lines that attackers cause, from 0 to 1
	Addresses int       // how many there are, a tenth of them attackers; 0 means 20,000
	Start     time.Time // of the first line; the zero Time means 2026-11-22 07:00 UTC
	PerSecond int       // lines; 0 means 280, a million in an hour
}

// A Log makes lines, one after the other.
type Log struct {
	*rand.Rand
	kind     Kind
	opt      Options
	made     int
	now      time.Time
	honest   []string
	frequent []string // the honest ones that half of the traffic comes from
	hostile  []string
	sessions [][]string // of Auth: what is still to be written
}

// New starts a log.
func New(kind Kind, opt Options) *Log {
	if opt.Addresses == 0 {
		opt.Addresses = 20_000
	}
	if opt.Start.IsZero() {
		opt.Start = time.Date(2026, time.November, 22, 7, 0, 0, 0, time.UTC)
	}
	if opt.PerSecond == 0 {
		opt.PerSecond = 280
	}
	l := &Log{Rand: rand.New(rand.NewPCG(opt.Seed, 1)), kind: kind, opt: opt}
	for range opt.Addresses {
		l.honest = append(l.honest, l.address())
	}
	attackers := max(1, opt.Addresses/10)
	l.hostile, l.honest = l.honest[:attackers], l.honest[attackers:]
	l.frequent = l.honest[:max(1, len(l.honest)/20)]
	return l
}

// Lines are the first n lines, without their newlines.
func Lines(kind Kind, n int, opt Options) [][]byte {
	l := New(kind, opt)
	lines := make([][]byte, n)
	for i := range lines {
		lines[i] = l.Append(nil)
	}
	return lines
}

// Append appends the next line, without a newline.
func (l *Log) Append(b []byte) []byte {
	l.now = l.opt.Start.Add(time.Duration(l.made) * time.Second / time.Duration(l.opt.PerSecond))
	l.made++
	kind := l.kind
	if kind == Mixed {
		switch n := l.IntN(100); {
		case n < 60:
			kind = Access
		case n < 65:
			kind = Error
		case n < 85:
			kind = Auth
		default:
			kind = UFW
		}
	}
	attack := l.chance(l.opt.Attack)
	switch kind {
	case Access:
		return append(b, l.access(attack)...)
	case Error:
		return append(b, l.error(attack)...)
	case Auth:
		return append(l.syslog(b), l.auth()...)
	}
	return append(l.syslog(b), l.ufw(attack)...)
}

// syslog begins a line as rsyslog does.
func (l *Log) syslog(b []byte) []byte {
	return append(l.now.AppendFormat(b, "2006-01-02T15:04:05.000000-07:00"), " web1 "...)
}

// address is one that is no private one.
func (l *Log) address() string {
	if l.chance(0.06) {
		networks := []string{"2a01:4f8", "2a02:8109", "2600:1f18", "2400:cb00", "2804:14d", "2001:470", "2a00:1450"}
		return fmt.Sprintf("%s:%x:%x::%x", l.pick(networks...), 1+l.IntN(0xffff), 1+l.IntN(0xffff), 1+l.IntN(0xffff))
	}
	first := l.pick("23", "45", "61", "77", "80", "91", "103", "118", "141", "157", "185", "203", "217")
	return fmt.Sprintf("%s.%d.%d.%d", first, l.IntN(256), l.IntN(256), 1+l.IntN(254))
}

func (l *Log) friend() string {
	if l.chance(0.5) {
		return l.pick(l.frequent...)
	}
	return l.pick(l.honest...)
}

// foe is an attacker; few of them do most of it.
func (l *Log) foe() string {
	r := l.Float64()
	return l.hostile[int(float64(len(l.hostile))*r*r)]
}

func (l *Log) chance(of float64) bool { return l.Float64() < of }

func (l *Log) pick(list ...string) string { return list[l.IntN(len(list))] }

// upTo is a number from low to high.
func (l *Log) upTo(low, high int) int { return low + l.IntN(high-low+1) }

package logtest

import (
	"fmt"
	"net/netip"
)

// ufw is what the kernel writes of a packet, by ufw's rules.
func (l *Log) ufw(attack bool) string {
	if attack {
		ports := []string{"23", "23", "22", "445", "3389", "8080", "5060", "2323", "6379", "1433", "3306", "5900", "81", "8443"}
		protocol := "TCP"
		if l.chance(0.12) {
			protocol = "UDP"
		}
		return l.packet("BLOCK", l.foe(), protocol, l.pick(ports...))
	}
	switch n := l.IntN(100); {
	case n < 50:
		return l.packet("ALLOW", l.friend(), "TCP", l.pick("443", "443", "443", "80", "22"))
	case n < 85:
		return l.packet("AUDIT", l.friend(), "TCP", l.pick("443", "80"))
	}
	return l.packet("BLOCK", "192.168.1.1", "2", "") // the network's own IGMP
}

func (l *Log) packet(verdict, from, protocol, port string) string {
	addresses := fmt.Sprintf("SRC=%s DST=198.51.100.10 LEN=%s TOS=0x00 PREC=0x00 TTL=%d ID=%d%s", from, l.pick("40", "44", "52", "60"), l.upTo(40, 250), l.IntN(65536), l.pick("", " DF"))
	if a, err := netip.ParseAddr(from); err == nil && a.Is6() {
		addresses = fmt.Sprintf("SRC=%s DST=2001:0db8:0000:0000:0000:0000:0000:0010 LEN=60 TC=0 HOPLIMIT=%d FLOWLBL=%d", a.StringExpanded(), l.upTo(40, 250), l.IntN(1<<20))
	}
	ports := ""
	switch protocol {
	case "TCP":
		ports = fmt.Sprintf(" SPT=%d DPT=%s WINDOW=%s RES=0x00 SYN URGP=0", l.upTo(1024, 65535), port, l.pick("1024", "29200", "64240", "65535"))
	case "UDP":
		ports = fmt.Sprintf(" SPT=%d DPT=%s LEN=%d", l.upTo(1024, 65535), port, l.upTo(20, 400))
	}
	up := 812345 + l.now.Sub(l.opt.Start).Seconds()
	return fmt.Sprintf("kernel: [%12.6f] [UFW %s] IN=eth0 OUT= MAC=52:54:00:12:34:56:fe:54:00:aa:bb:cc:08:00 %s PROTO=%s%s ", up, verdict, addresses, protocol, ports)
}

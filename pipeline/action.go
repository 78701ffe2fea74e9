package pipeline

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// An Op is what an Action asks for.
type Op uint8

const (
	Ban Op = iota
	Unban
)

func (o Op) String() string {
	if o == Unban {
		return "unban"
	}
	return "ban"
}

// Manual is the jail of a ban by hand.
const Manual = "manual"

// A PortRange is the ports First to Last, both included, of TCP and of UDP.
type PortRange struct{ First, Last uint16 }

func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// An Action is what the sinks are asked to do.
type Action struct {
	Op       Op
	Prefix   netip.Prefix // masked; one host is a /32 or a /128
	Ports    []PortRange  // sorted, apart from one another, shared and never changed; nil: all ports
	Jail     string       // Manual for a ban by hand; "" in an Unban means every jail
	Until    time.Time    // when the ban ends; zero: never
	Hits     int          // the offences that led to it; 0 by hand
	Observe  bool         // decided and reported, never sent to a back end (enforce = false)
	Restored bool         // it was in force before this run began
	Reason   string       // for people: "5 hits in 10m0s"
}

// MarshalJSON writes the form that every output of banpipe has, one object with these keys in this
// order: op, prefix, jail, until (RFC 3339, left out if the ban never ends), hits, reason; and where
// they apply ports, observe and restored.
func (a Action) MarshalJSON() ([]byte, error) {
	var until *time.Time
	if !a.Until.IsZero() {
		t := a.Until.UTC()
		until = &t
	}
	return json.Marshal(struct {
		Op       string     `json:"op"`
		Prefix   string     `json:"prefix"`
		Jail     string     `json:"jail"`
		Until    *time.Time `json:"until,omitempty"`
		Hits     int        `json:"hits"`
		Reason   string     `json:"reason"`
		Ports    string     `json:"ports,omitempty"`
		Observe  bool       `json:"observe,omitempty"`
		Restored bool       `json:"restored,omitempty"`
	}{a.Op.String(), a.Prefix.String(), a.Jail, until, a.Hits, a.Reason, PortsString(a.Ports), a.Observe, a.Restored})
}

// PortsString writes ports as "22,80-443"; "" means all ports.
func PortsString(ports []PortRange) string {
	words := make([]string, len(ports))
	for i, r := range ports {
		words[i] = r.String()
	}
	return strings.Join(words, ",")
}

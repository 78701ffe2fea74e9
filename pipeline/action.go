package pipeline

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Op is what an Action asks for.
type Op uint8

// Ops come in pairs: one begins what the next one ends.
const (
	Ban Op = iota
	Unban
	Allow    // Prefix, a host, passes whatever is banned, and no jail bans it
	Disallow // no longer
	Pause    // everybody passes; jails go on counting and banning, so that all is as it should be afterwards
	Resume   // no longer
	Hold     // Jail bans nobody: its breaker has tripped
	Release  // no longer
)

var opNames = [...]string{"ban", "unban", "allow", "disallow", "pause", "resume", "hold", "release"}

func (o Op) String() string { return opNames[o%Op(len(opNames))] }

// Ends reports whether o ends something: Unban, Disallow, Resume, Release.
func (o Op) Ends() bool { return o&1 == 1 }

// begin is the Op that begins what o begins or ends.
func (o Op) begin() Op { return o &^ 1 }

// end is the Op that ends it.
func (o Op) end() Op { return o | 1 }

// ParseOp reads what Op.String wrote.
func ParseOp(name string) (o Op, ok bool) {
	i := slices.Index(opNames[:], name)
	return Op(max(i, 0)), i >= 0
}

// Manual is the jail of a ban by hand. RestoredJail is that of one that was found in a back end which knows of no jails.
const (
	Manual       = "manual"
	RestoredJail = "restored"
)

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
	Prefix   netip.Prefix // masked; one host is a /32 or a /128; none in Pause, Resume, Hold and Release
	Ports    []PortRange  // sorted, apart from one another, shared and never changed; nil: all ports
	Jail     string       // Manual for a ban by hand; "" in an Unban means every jail
	Since    time.Time    // when it was decided, by the clock; zero: nobody knows, or not yet
	Until    time.Time    // when it ends; zero: never
	Hits     int          // the offences that led to it, whatever they weigh; 0 by hand
	Observe  bool         // decided and reported, never sent to a back end (enforce = false)
	Restored bool         // it was in force before this run began
	Forced   bool         // by hand, in spite of ignoreip and of Decide.Own
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
	prefix := ""
	if a.Prefix.IsValid() {
		prefix = a.Prefix.String()
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
	}{a.Op.String(), prefix, a.Jail, until, a.Hits, a.Reason, PortsString(a.Ports), a.Observe, a.Restored})
}

// PortsString writes ports as "22,80-443"; "" means all ports.
func PortsString(ports []PortRange) string {
	words := make([]string, len(ports))
	for i, r := range ports {
		words[i] = r.String()
	}
	return strings.Join(words, ",")
}

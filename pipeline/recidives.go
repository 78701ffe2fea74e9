package pipeline

import (
	"bytes"
	"slices"
	"time"
)

// recidives counts the bans of the jails for those jails that want it, which are told apart by Jail.CountsBans: a window of
// their own. What was there before this run, what is made by hand, a live ban that is made longer and the bans of these jails
// themselves do not count.
type recidives struct {
	jails  []string // sorted
	window Window
}

func (c *recidives) init(d *Decide) {
	w := &c.window // others may be asking it
	w.Jails, w.Own, w.Now = make(map[string]Jail), d.Own, d.Now
	for name, j := range d.Jails {
		if j.CountsBans {
			c.jails = append(c.jails, name)
			w.Jails[name] = j
		}
	}
	slices.Sort(c.jails)
	w.init()
}

// count adds a record to b for every such jail: the ban of r's address is an offence in it. r must not be used after.
func (c *recidives) count(b *Batch, r Record, observe bool, now time.Time) {
	if len(c.jails) == 0 {
		return
	}
	c.window.spare()
	for _, name := range c.jails {
		if observe && !c.window.Jails[name].Observe {
			continue // nobody was banned
		}
		t := c.window.tables[name]
		r.Jail, r.Kind, r.Weight, r.Key, r.Session = name, Hit, 1, nil, nil
		r.Hits, r.Offences = t.hit(r.Addr, r.Time, 1, now)
		t.publish()
		b.Records = append(b.Records, r)
	}
}

// recidivePrefix begins the keys in the state; then come Window's.
const recidivePrefix = "\x00bans\x00"

func (c *recidives) save(full bool, put func(key, value []byte)) {
	c.window.Save(full, func(key, value []byte) { put(append([]byte(recidivePrefix), key...), value) })
}

// load takes a key if it is one of ours.
func (c *recidives) load(key, v []byte, now time.Time) (ours bool, err error) {
	rest, ours := bytes.CutPrefix(key, []byte(recidivePrefix))
	if !ours {
		return false, nil
	}
	return true, c.window.load(rest, v, now)
}

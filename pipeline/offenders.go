package pipeline

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"fmt"
	"time"
)

// offenders is who has been banned before, by jail and prefix: what an Escalation goes by. Each is forgotten some time
// after his last ban has ended; of too many, the one whose turn comes first.
type offenders struct {
	memory  time.Duration // from the end of the last ban on
	most    int
	past    map[banKey]past
	ends    endHeap
	changed map[banKey]struct{} // since the last save; nil if there is no store
}

// A past is what is known of one.
type past struct {
	count  int       // bans, as fail2ban's bips table has them
	forget time.Time // when it is forgotten; zero: never, since the ban never ends
}

// before is how many bans an offender had, of one jail or of all of them.
func (o *offenders) before(k banKey, jails map[string]*Jail, overall bool) int {
	if !overall {
		return o.past[k].count
	}
	sum := 0
	for name := range jails {
		sum += o.past[banKey{name, k.prefix}].count
	}
	return sum
}

// note books a ban, the one that makes it count.
func (o *offenders) note(k banKey, count int, until time.Time) {
	if o.past == nil {
		o.past = make(map[banKey]past)
	}
	p := past{count: count}
	if !until.IsZero() {
		p.forget = until.Add(o.memory)
	}
	o.past[k] = p
	o.mark(k)
	o.ends.push(p.forget, k)
	for len(o.past) > o.most && len(o.ends) > 0 {
		o.drop(heap.Pop(&o.ends).(end))
	}
	if len(o.ends) > 2*len(o.past)+1024 {
		o.ends = o.ends[:0]
		for k, p := range o.past {
			o.ends = append(o.ends, end{p.forget, k})
		}
		heap.Init(&o.ends)
	}
}

// drop forgets an offender whose end it is, and not one that a later ban has left behind.
func (o *offenders) drop(e end) {
	if p, ok := o.past[e.key]; ok && p.forget.Equal(e.at) {
		o.forget(e.key)
	}
}

func (o *offenders) forget(k banKey) {
	if _, ok := o.past[k]; ok {
		delete(o.past, k)
		o.mark(k)
	}
}

func (o *offenders) mark(k banKey) {
	if o.changed != nil {
		o.changed[k] = struct{}{}
	}
}

func (o *offenders) expire(now time.Time) {
	for len(o.ends) > 0 && !o.ends[0].at.IsZero() && !o.ends[0].at.After(now) {
		o.drop(heap.Pop(&o.ends).(end))
	}
}

// pastPrefix begins the keys in the state; then come banKey.bytes. The value is the count, and when it is forgotten in
// unix s, 0 for never.
const pastPrefix = "\x00past\x00"

func (o *offenders) save(full bool, put func(key, value []byte)) {
	write := func(k banKey) {
		key := append([]byte(pastPrefix), k.bytes()...)
		p, ok := o.past[k]
		if !ok {
			put(key, nil)
			return
		}
		forget := int64(0)
		if !p.forget.IsZero() {
			forget = p.forget.Unix()
		}
		put(key, binary.AppendVarint(binary.AppendUvarint(nil, uint64(p.count)), forget))
	}
	if full {
		for k := range o.past {
			write(k)
		}
	} else {
		for k := range o.changed {
			write(k)
		}
	}
	clear(o.changed)
}

// load takes a key if it is one of ours.
func (o *offenders) load(key, v []byte) (ours bool, err error) {
	rest, ours := bytes.CutPrefix(key, []byte(pastPrefix))
	if !ours {
		return false, nil
	}
	k, err := parseBanKey(rest, "")
	if err != nil {
		return true, err
	}
	count, n := binary.Uvarint(v)
	forget, m := binary.Varint(v[max(n, 0):])
	if n <= 0 || m <= 0 {
		return true, fmt.Errorf("past of %v: %w", k.prefix, errDamaged)
	}
	if o.past == nil {
		o.past = make(map[banKey]past)
	}
	p := past{count: int(count)}
	if forget != 0 {
		p.forget = time.Unix(forget, 0)
	}
	o.past[k] = p
	o.ends.push(p.forget, k)
	return true, nil
}

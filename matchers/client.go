package matchers

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/banpipe/banpipe/pipeline"
)

// When the log of a web server is taken to name a proxy in place of its clients: an address has more than half of the lines,
// of so many at least, and all but so many hundredths of its lines are no offences. A lone scanner has most lines of a
// quiet log, too, but most of them are offences; he could only hide among ten times as many visits, and would be told
// of all the same. An address of a private network in front of a web server is rarely a visitor.
const (
	proxyLines, proxyHits               = 1000, 10
	privateProxyLines, privateProxyHits = 250, 50
	clientMemory                        = 16384 // lines after which what was counted is halved
	clientStays                         = 16    // lines that an address must have been chosen for to be worth reading it
)

// A client is the address of a source that may have most of its lines.
type client struct {
	text               [64]byte // as the log has it
	size               int
	addr               netip.Addr // zero if text is none, or not yet read
	votes              int        // lines of it, less those of others
	lines, total, hits int        // of it, of all, and of it that are offences, since it was chosen; halved now and then
	held               bool
	unsure             int       // lines that may still show whether this is a web server's log; 0: it is one
	json               *jsonText // the fields of lines of JSON; nil if no filter reads them
	skip               int       // lines until the next one is looked at
}

// looksRight reports whether one of the lines of b, of as many as may still show it, is of a web server's log.
func (k *client) looksRight(b *pipeline.Batch) bool {
	for i := range b.Records {
		if k.unsure == 0 {
			break
		}
		k.unsure--
		r := &b.Records[i]
		if accessOnly.Match(slices.Concat(r.Line[:r.Date.Start], r.Line[r.Date.End:])) {
			k.unsure = 0
			return true
		}
	}
	return false
}

// count takes n lines of the address that is written so; of nobody if it is empty. lost is called before another one is chosen.
func (k *client) count(text []byte, n int, lost func()) {
	k.total += n
	switch {
	case len(text) > 0 && bytes.Equal(text, k.text[:k.size]):
		k.lines += n
		k.votes = min(k.votes+n, clientMemory/4)
	case k.votes > 0 || len(text) == 0 || len(text) > len(k.text):
		k.votes = max(0, k.votes-n)
	default:
		lost()
		*k = client{size: copy(k.text[:], text), votes: n, lines: n, total: n, text: k.text, json: k.json, skip: k.skip}
	}
	if !k.addr.IsValid() && k.total >= clientStays && k.total < 2*clientStays {
		k.addr, _ = parseHost(k.text[:k.size])
	}
	if k.total >= clientMemory {
		k.lines, k.total, k.hits = k.lines/2, k.total/2, k.hits/2
	}
}

// isProxy is the verdict. More than half has to be so beyond chance, since the lines are a sample: by three standard deviations.
// Once it is a proxy, it takes more to be none.
func (k *client) isProxy() bool {
	lines, hits := proxyLines, proxyHits
	if k.addr.IsPrivate() || k.addr.IsLoopback() {
		lines, hits = privateProxyLines, privateProxyHits
	}
	over := 2*k.lines - k.total // a walk of total/plainSample steps of plainSample each, if chance has its way
	chance := 9 * plainSample * k.total
	if k.held {
		hits, chance = hits+(100-hits)/2, 0
	}
	return k.addr.IsValid() && k.total >= lines && over > 0 && over*over > chance && 100*k.hits < hits*k.lines
}

// field is the client of a line, or nothing if it is another one than k: who else it is counts only when k has no votes.
func (k *client) field(r *pipeline.Record) []byte {
	if k.votes > 0 && !k.mayBegin(r) {
		return nil
	}
	return clientField(r)
}

// mayBegin reports whether k, written the same, begins the first or the second word of a line.
func (k *client) mayBegin(r *pipeline.Record) bool {
	line, text := afterDate(r), k.text[:k.size]
	for range 2 {
		for len(line) > 0 && line[0] == ' ' {
			line = line[1:]
		}
		if bytes.HasPrefix(line, text) {
			return true
		}
		end := bytes.IndexByte(line, ' ')
		if end < 0 {
			return false
		}
		line = line[end:]
	}
	return false
}

// clientField is the client of a line: the first word behind a date that it begins with, or the second one where
// that is no address (a virtual host, a level), less its port; empty if neither is one. What a client wrote stands further back.
func clientField(r *pipeline.Record) []byte {
	line := afterDate(r)
	for range 2 {
		line = bytes.TrimLeft(line, " ")
		end := bytes.IndexByte(line, ' ')
		if end < 0 {
			return nil
		}
		if word := addrWord(line[:end]); word != nil {
			return word
		}
		line = line[end:]
	}
	return nil
}

// jsonField is the client of a line of JSON: the first of the fields that the filter reads whose value is an address.
func (k *client) jsonField(line []byte) []byte {
	var spans [maxJSONFields][2]int
	found, ok := k.json.find(spans[:0], line)
	if !ok {
		return nil
	}
	for _, f := range found {
		if f[0] >= 0 && f[1]-f[0] > 2 && line[f[0]] == '"' {
			if word := addrWord(line[f[0]+1 : f[1]-1]); word != nil {
				return word
			}
		}
	}
	return nil
}

// afterDate is a line without the date that it begins with.
func afterDate(r *pipeline.Record) []byte {
	if d := r.Date; d.Len() > 0 && d.Start <= 1 {
		return r.Line[d.End:]
	}
	return r.Line
}

// addrWord is an address at the beginning of a word that ends with it or with its port; nil if there is none.
func addrWord(word []byte) []byte {
	colons, dots := 0, 0
	for i, c := range word {
		switch {
		case c == ':':
			colons++
		case c == '.':
			dots++
		case !isHex(c) && !(c == '[' && i == 0) && !(c == ']' && word[0] == '['):
			return nil
		}
	}
	switch {
	case len(word) > 0 && word[0] == '[': // [2001:db8::7]:443
		return word[:bytes.IndexByte(word, ']')+1]
	case dots == 3 && colons == 1: // 192.0.2.7:443
		return word[:bytes.IndexByte(word, ':')]
	case dots == 3 && colons == 0, colons > 1:
		return word
	}
	return nil
}

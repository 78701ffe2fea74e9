package sources

import (
	"bytes"
	"crypto/sha256"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// headLen is how many of the first bytes of a file are remembered, to know it again under another name.
const headLen = 256

// A head is the first bytes of a file behind the NULs that it may begin with, as far as they were read:
// holes are all alike.
type head struct {
	at    int64 // where they begin
	bytes []byte
	mark  fingerprint // of bytes; made when asked for
}

// A fingerprint stands for a head. It is hashed, because many are kept.
type fingerprint struct {
	at  int64
	n   int
	sum [16]byte
}

// readHead reads the head of a file of which all before off was read.
func readHead(file *os.File, off int64) (head, error) {
	var buf [4096 + headLen]byte
	var at int64
	n, err := pread(file, buf[:min(off, headLen)], 0)
	if err == nil && n > 0 && buf[0] == 0 {
		if data, err := unix.Seek(int(file.Fd()), 0, unix.SEEK_DATA); err == nil {
			at = data // where a page begins
		}
		n, err = pread(file, buf[:max(0, min(off-at, int64(len(buf))))], at)
	}
	if err != nil {
		return head{}, err
	}
	h := head{}
	h.extend(at, buf[:n])
	return h, nil
}

// extend adds what was read at off, if it goes on where the head ends and that is not complete.
func (h *head) extend(off int64, fresh []byte) {
	if len(h.bytes) == 0 {
		k := leadingNULs(fresh)
		h.at, fresh = off+int64(k), fresh[k:]
	} else if len(h.bytes) == headLen || off != h.at+int64(len(h.bytes)) {
		return
	}
	h.bytes = append(h.bytes, fresh[:min(len(fresh), headLen-len(h.bytes))]...)
}

func (h *head) fingerprint() fingerprint {
	if h.mark.n != len(h.bytes) {
		sum := sha256.Sum256(h.bytes)
		h.mark = fingerprint{at: h.at, n: len(h.bytes), sum: [16]byte(sum[:])}
	}
	return h.mark
}

// tells reports whether the bytes are enough to tell one log from another: less than a date and the name
// of a host would make all alike.
func (p fingerprint) tells() bool { return p.n >= 32 }

// begins reports whether the file begins like the one that the fingerprint was taken from. Of a file of
// which nothing is known it cannot be told.
func (p fingerprint) begins(file *os.File) bool {
	if p.n == 0 {
		return false
	}
	var buf [headLen]byte
	n, err := pread(file, buf[:p.n], p.at)
	if err != nil || n < p.n {
		return false
	}
	sum := sha256.Sum256(buf[:n])
	return [16]byte(sum[:]) == p.sum
}

// sameBegin reports whether two files begin alike, as far as the shorter one goes.
func sameBegin(a, b *os.File) bool {
	p, errA := readHead(a, math.MaxInt64)
	q, errB := readHead(b, math.MaxInt64)
	n := min(len(p.bytes), len(q.bytes))
	return errA == nil && errB == nil && p.at == q.at && fingerprint{n: n}.tells() && bytes.Equal(p.bytes[:n], q.bytes[:n])
}

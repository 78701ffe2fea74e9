package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// What one caller can ask for.
const (
	maxBody    = 1 << 20 // bytes
	maxAddrs   = 10_000  // in one order
	maxHistory = 10_000  // events in one answer
	maxStreams = 32      // readers of events at once
	answerTime = 30 * time.Second
	doTime     = 15 * time.Second // how long an order waits for its turn, and for the disk
)

// A JailInfo is what the configuration says of a jail, for people who look.
type JailInfo struct {
	Filter  string
	LogPath []string
	Journal string // what it reads of the journal, instead of logs
}

// A Lag is what a source has not read yet.
type Lag struct {
	Bytes int64
	Age   time.Duration // of the last line that was read; 0: the source cannot say
}

// A Handler serves a pipeline that runs. Pipeline is required; what else is nil is left out of the answers, or refused.
// Fields must not change once it serves.
type Handler struct {
	Pipeline func() *pipeline.Pipeline // the one that runs now: it may be another one after a reload

	Version  string
	Config   string
	Started  time.Time
	BanTime  func() time.Duration // of bans by hand that do not say; nil means 10 minutes; negative never ends
	Jails    func() map[string]JailInfo
	Behind   func() map[string]Lag // what sources have not read yet, by Batch.Source
	Slow     func() int            // rules off the linear path
	Matching func() Matching       // what else was
	Dropped  func(ctx context.Context) (packets, bytes uint64, err error)
	Warnings func() []string // in addition to those that a Handler finds itself
	History  func(since time.Time) iter.Seq2[pipeline.Event, error]
	Flush    func(ctx context.Context) (removed int, err error)
	Reload   func(ctx context.Context, confirm time.Duration) (Reloaded, error) // confirm is 0 if it need not be
	Confirm  func(ctx context.Context) error
	Confirms func() time.Time // until when it must be; zero: it need not

	Who    func(*http.Request) []zap.Field // the caller, for the log
	Logger *zap.Logger                     // nil means no logs
	Now    func() time.Time                // nil means time.Now

	once    sync.Once
	mux     *http.ServeMux
	streams atomic.Int32
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.once.Do(h.routes)
	h.mux.ServeHTTP(w, r)
}

func (h *Handler) routes() {
	h.mux = http.NewServeMux()
	if h.Logger == nil {
		h.Logger = zap.NewNop()
	}
	h.get("status", h.status)
	h.get("bans", h.bans)
	h.get("why", h.why)
	h.get("history", h.history)
	h.mux.HandleFunc("GET /v1/events", h.events)
	h.post("ban", h.ban)
	h.post("unban", h.unban)
	h.post("allow", h.allow)
	h.post("disallow", h.disallow)
	h.post("pause", h.pause)
	h.post("resume", h.resume)
	h.post("flush", h.flush)
	h.post("reload", h.reload)
	h.post("confirm", h.confirm)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &problem{http.StatusNotFound, fmt.Errorf("there is no %s %s", r.Method, r.URL.Path)})
	})
}

func (h *Handler) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

// A problem is an error with its status.
type problem struct {
	status int
	error
}

func bad(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

var errNotHere = &problem{http.StatusNotImplemented, errors.New("this service cannot do that")}

// knows returns an error for a jail that is neither configured nor holds a ban. "" is every jail.
func (h *Handler) knows(p *pipeline.Pipeline, jail string) error {
	if jail == "" || jail == pipeline.Manual {
		return nil
	}
	for _, j := range p.Snapshot().Jails {
		if j.Jail == jail {
			return nil
		}
	}
	return &problem{http.StatusNotFound, fmt.Errorf("there is no jail %q", jail)}
}

// get serves a question.
func (h *Handler) get(name string, answer func(*http.Request) (any, error)) {
	h.mux.HandleFunc("GET /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		deadline(w, answerTime)
		out, err := answer(r)
		if err != nil {
			fail(w, err)
			return
		}
		write(w, http.StatusOK, out)
	})
}

// post serves an order, and logs who gave it.
func (h *Handler) post(name string, carryOut func(context.Context, *Order) (any, error)) {
	h.mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		deadline(w, answerTime+doTime)
		o, err := readOrder(w, r)
		if err != nil {
			fail(w, err)
			return
		}
		fields := []zap.Field{zap.String("verb", name), zap.Strings("addrs", o.Addrs[:min(len(o.Addrs), 10)]), zap.Int("addrs_total", len(o.Addrs))}
		if h.Who != nil {
			fields = append(fields, h.Who(r)...)
		}
		h.Logger.Info("order by hand", fields...)
		// Not the request's context: what was begun is seen through, whether or not the caller waits.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), doTime)
		defer cancel()
		out, err := carryOut(ctx, o)
		if err != nil {
			fail(w, err)
			return
		}
		status := http.StatusOK
		if results, ok := out.(Results); ok && !results.done() {
			status = http.StatusUnprocessableEntity
		}
		write(w, status, out)
	})
}

func (r Results) done() bool {
	for _, one := range r.Results {
		if !one.Done {
			return false
		}
	}
	return true
}

// readOrder reads a body: one object, nothing unknown in it, nothing behind it. None is an empty one.
func readOrder(w http.ResponseWriter, r *http.Request) (*Order, error) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	o := &Order{}
	if err := d.Decode(o); errors.Is(err, io.EOF) {
		return o, nil
	} else if err != nil {
		return nil, bad("body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, bad("body: something follows the object")
	}
	if len(o.Addrs) > maxAddrs {
		return nil, bad("%d addresses are too many for one order: at most %d", len(o.Addrs), maxAddrs)
	}
	return o, nil
}

// deadline bounds how long a slow reader is waited for. Where the server knows no deadlines it has others.
func deadline(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var p *problem
	switch {
	case errors.As(err, &p):
		status = p.status
	case errors.Is(err, pipeline.ErrNotRunning), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
	}
	write(w, status, Failure{err.Error()})
}

func write(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // the caller has gone: there is nobody to tell
}

package matchers

import (
	"testing"
	"time"
)

func TestJSONTime(t *testing.T) {
	want := time.Date(2026, 11, 22, 7, 23, 11, 0, time.UTC)
	ref := want.Add(time.Hour)
	dates, err := NewDates(nil, DateOptions{Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, date string }{
		{`{"ts":1795332191.5,"x":1}`, "1795332191.5"},
		{`{"ts":1.7953321915e9}`, "1.7953321915e9"},
		{`{"time":1795332191500}`, "1795332191500"},
		{`{"time":1795332191500000}`, "1795332191500000"},
		{`{"time":1795332191500000000}`, "1795332191500000000"},
		{`{"msec":"1795332191.5"}`, "1795332191.5"},
		{`{"time":"2026-11-22T07:23:11Z"}`, "2026-11-22T07:23:11Z"},
		{`{"@timestamp":"2026-11-22T07:23:11.5+00:00"}`, "2026-11-22T07:23:11.5+00:00"},
		{`{"time_local":"22/Nov/2026:07:23:11 +0000"}`, "22/Nov/2026:07:23:11 +0000"},
		{`{"asctime":"2026-11-22 07:23:11,500"}`, "2026-11-22 07:23:11,500"},
		{`{"t":{"$date":"2026-11-22T08:23:11+01:00"}}`, "2026-11-22T08:23:11+01:00"},
		{`{"uri":"/2020-01-01T00:00:00Z","time":"2026-11-22T07:23:11Z"}`, "2026-11-22T07:23:11Z"},
		{`{"ts":"never","time":"2026-11-22T07:23:11Z"}`, "2026-11-22T07:23:11Z"},
		{`{"uri":"/2020-01-01T00:00:00Z"}`, ""},
		{`{"ts":12}`, ""},
		{`{"ts":1e400}`, ""},
		{`{"ts":""}`, ""},
		{`{"ts":null}`, ""},
		{`{"ts":{"x":1}}`, ""},
		{`{"ts"`, ""},
	} {
		for _, head := range []string{"", "web1 caddy[811]: "} {
			line := []byte(head + c.line)
			span, at, ok := jsonTime(dates.Finder(), line, len(head), ref)
			if ok != (c.date != "") {
				t.Errorf("%s: got %v, want %v", line, ok, !ok)
				continue
			}
			if ok && (!at.Truncate(time.Second).Equal(want) || string(line[span.Start:span.End]) != c.date) {
				t.Errorf("%s: got %v from %q, want %v", line, at, line[span.Start:span.End], want)
			}
		}
	}
}

// A line of Caddy's, by four fields: nothing is allocated.
func BenchmarkJSONText(b *testing.B) {
	line := []byte(`{"level":"info","ts":1795332191.483,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"192.0.2.1","remote_port":"54321","client_ip":"192.0.2.1","proto":"HTTP/2.0","method":"GET","host":"example.com","uri":"/","headers":{"User-Agent":["curl/8.5.0"]}},"bytes_read":0,"user_id":"","duration":0.0009,"size":0,"status":401,"resp_headers":{"Server":["Caddy"]}}`)
	j := newJSONText([]string{"logger", "request.client_ip", "status", "request.uri"})
	var into []byte
	b.ReportAllocs()
	for b.Loop() {
		var ok bool
		if into, ok = j.append(into[:0], line); !ok {
			b.Fatal("not read")
		}
	}
}

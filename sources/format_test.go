package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// readAll reads a stream to its end; a line of the journal is shown with its time and its fields.
func readAll(r io.Reader) (lines []string, errs []error) {
	s := NewReader("stdin", r)
	for {
		var b pipeline.Batch
		err := s.Read(context.Background(), &b)
		for _, r := range b.Records {
			line := string(r.Line)
			if r.Dated {
				line = fmt.Sprintf("%s %v %s", r.Time.UTC().Format(time.RFC3339Nano), r.Fields, line)
			}
			if r.Cut {
				line += " (cut)"
			}
			lines = append(lines, line)
		}
		if err == io.EOF {
			return lines, errs
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
}

func TestReaderTellsTheFormat(t *testing.T) {
	const (
		entryText = "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795330800000001\n_HOSTNAME=web1\nSYSLOG_IDENTIFIER=sshd\n_PID=7\n_UID=0\nMESSAGE=hello\n\n"
		entryJSON = `{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1795330800000001","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"sshd","_PID":"7","_UID":"0","MESSAGE":"hello"}`
		dated     = "2026-11-22T07:00:00.000001Z map[_UID:0] web1 sshd[7]: hello"
	)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":                {"", nil},
		"raw":                  {"one\n  two\n", []string{"one", "  two"}},
		"no newline":           {"one", []string{"one"}},
		"empty lines first":    {"\n\none\n\n", []string{"one", ""}},
		"short":                {"-- Journal begins at Sat 2026-11-21 07:23:11 UTC, ends at Sun 2026-11-22 07:23:11 UTC. --\nNov 22 07:23:11 web1 sshd[7]: one\n                              two\nNov 22 07:23:11 web1 sshd[7]: three\n-- Boot 0123 --\n", []string{"Nov 22 07:23:11 web1 sshd[7]: one", "Nov 22 07:23:11 web1 sshd[7]: three"}},
		"short-iso":            {"2026-11-22T07:23:11+0000 web1 sshd[7]: one\n                                          two, with more of them\n", []string{"2026-11-22T07:23:11+0000 web1 sshd[7]: one"}},
		"lines of a trace":     {"2026-11-22 07:23:11,123 ERROR main: odd\n\tat main\n    at exit\n", []string{"2026-11-22 07:23:11,123 ERROR main: odd", "\tat main", "    at exit"}},
		"access log":           {"192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] \"GET / HTTP/1.1\" 404 1\n", []string{"192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] \"GET / HTTP/1.1\" 404 1"}},
		"tail -F":              {"==> /var/log/a <==\none\n\n==> /var/log/b <==\ntwo\n", []string{"one", "", "two"}},
		"not quite a banner":   {"-- Bootstrapping\n==> x\n", []string{"-- Bootstrapping", "==> x"}},
		"export":               {entryText + entryText, []string{dated, dated}},
		"export, unfinished":   {entryText + "__CURSOR=s=2\nMESSAGE=x\n", []string{dated}},
		"json":                 {entryJSON + "\n" + entryJSON + "\n", []string{dated, dated}},
		"json, no newline":     {entryJSON, []string{dated}},
		"json-seq":             {"\x1e" + entryJSON + "\n\x1e" + entryJSON + "\n", []string{dated, dated}},
		"json-sse":             {"data: " + entryJSON + "\n\ndata: " + entryJSON + "\n\n", []string{dated, dated}},
		"json with others":     {entryJSON + "\nnot JSON\n{}\n", []string{dated, "not JSON", "{}"}},
		"json, bytes":          {strings.Replace(entryJSON, `"hello"`, `[104,101,108,108,111]`, 1), []string{dated}},
		"json, two messages":   {strings.Replace(entryJSON, `"hello"`, `["hello","there"]`, 1), []string{dated + " there"}},
		"json, too long":       {strings.Replace(entryJSON, `"hello"`, `null`, 1), []string{strings.TrimSuffix(dated, "hello") + " (cut)"}},
		"json, escapes":        {strings.Replace(entryJSON, `hello`, `\u0068\"\\\n\ud83d\ude00`, 1), []string{strings.TrimSuffix(dated, "hello") + "h\"\\\\n😀"}},
		"json of an app":       {"{\"level\":\"error\"}\n", []string{"{\"level\":\"error\"}"}},
		"json, longer than is": {strings.Replace(entryJSON, "hello", strings.Repeat("x", 70_000), 1), []string{strings.TrimSuffix(dated, "hello") + strings.Repeat("x", 65_536-strings.Index(entryJSON, "hello")) + " (cut)"}},
	} {
		t.Run(name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once":      strings.NewReader(c.text),
				"byte by byte": iotest.OneByteReader(strings.NewReader(c.text)),
			} {
				if got, errs := readAll(r); !slices.Equal(got, c.want) || errs != nil {
					t.Errorf("%s: got %.300q, %v, want %.300q", how, got, errs, c.want)
				}
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"verbose":     "Sun 2026-11-22 07:23:11.000001 UTC [s=0123abcd;i=1;b=2]\n    MESSAGE=hello\n",
		"json-pretty": "{\n\t\"MESSAGE\" : \"hello\"\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := readAll(strings.NewReader(text))
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), name) {
				t.Errorf("got %v, want an error that names %s", errs, name)
			}
		})
	}
}

// What journalctl really writes is told apart, in every one of its formats.
func TestReaderTellsJournalctl(t *testing.T) {
	if !inJournald(t) {
		return
	}
	w := newJournalWriter(t)
	w.write("sshd", "one")
	w.write("sshd", "two\nNov 22 07:23:11 forged sshd[1]: three")
	w.write("sshd", "four \x1b[31m")
	time.Sleep(500 * time.Millisecond)
	for output, want := range map[string]int{
		"short": 3, "short-iso": 3, "short-precise": 3, "short-iso-precise": 3, "short-full": 3,
		"short-unix": 3, "short-monotonic": 3, "with-unit": 3, "export": 3, "json": 3, "json-seq": 3, "json-sse": 3,
	} {
		out, err := exec.Command("journalctl", "-o", output, "SYSLOG_IDENTIFIER=sshd").Output()
		check(err)
		lines, errs := readAll(strings.NewReader(string(out)))
		if len(lines) != want || errs != nil {
			t.Errorf("%s: got %q, %v, want %d lines", output, lines, errs, want)
			continue
		}
		if !strings.HasSuffix(lines[0], "]: one") {
			t.Errorf("%s: got %q, want the first entry", output, lines[0])
		}
		for _, line := range lines {
			if strings.HasPrefix(line, "Nov 22 07:23:11 forged") {
				t.Errorf("%s: got %q, which nobody logged", output, line)
			}
		}
	}
}

// A line of JSON means what encoding/json says.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"MESSAGE":"hello","_PID":"1"}`))
	f.Add([]byte(`{"MESSAGE":[104,105]}`))
	f.Add([]byte(`{"MESSAGE":["a","b"],"X":[[1,2],[3]]}`))
	f.Add([]byte(`{"MESSAGE":"\u00e9\ud83d\ude00\n\\"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var e entry
		whole := e.parseJSON(text)
		var fields map[string]any
		if json.Unmarshal(text, &fields) != nil || strings.Count(string(text), `"MESSAGE"`) != 1 || strings.Contains(string(text), `\u0`) {
			return
		}
		message, ok := fields["MESSAGE"].(string)
		if !ok || len(message) > maxField {
			return
		}
		if whole && strings.ToValidUTF8(string(e.values[fieldMessage]), "\ufffd") != strings.ToValidUTF8(message, "\ufffd") {
			t.Fatalf("got %q, want %q", e.values[fieldMessage], message)
		}
	})
}

func BenchmarkReaderJSON(b *testing.B) {
	line := []byte(`{"__CURSOR":"s=0123456789abcdef0123456789abcdef;i=1a2b;b=0123456789abcdef0123456789abcdef;m=123456;t=5f0123456789a;x=0123456789abcdef","__REALTIME_TIMESTAMP":"1795330800000000","_TRANSPORT":"syslog","_UID":"0","_COMM":"sshd","_SYSTEMD_UNIT":"ssh.service","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"sshd","_PID":"4242","MESSAGE":"Failed password for invalid user admin from 192.0.2.7 port 4242 ssh2"}`)
	b.ReportAllocs()
	var e entry
	for b.Loop() {
		e.parseJSON(line)
		e.reset()
	}
}

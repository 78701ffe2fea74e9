package pipeline

import (
	"testing"
	"time"
)

// An address that goes on offending in spite of its ban is remembered; one that had lines under way is not, nor one in a
// pause.
func TestLate(t *testing.T) {
	for _, c := range []struct {
		name   string
		after  time.Duration
		paused bool
		want   bool
	}{
		{"soon after", 30 * time.Second, false, false},
		{"minutes after", 5 * time.Minute, false, true},
		{"minutes after, in a pause", 5 * time.Minute, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := t0
			d := &Decide{Jails: map[string]Jail{"j": {MaxRetry: 1, BanTime: time.Hour}}, Now: func() time.Time { return now }}
			decide(t, d, &Batch{Records: []Record{offence("j", "192.0.2.7", 1, now)}})
			if c.paused {
				decide(t, d, byHand(Pause, "", now.Add(time.Hour)))
			}
			now = now.Add(c.after)
			decide(t, d, &Batch{Records: []Record{offence("j", "192.0.2.7", 1, now)}})
			late := d.Late()
			if (late != nil) != c.want {
				t.Fatalf("got %+v, want one: %v", late, c.want)
			}
			if late != nil && (late.Addr.String() != "192.0.2.7" || !late.Since.Equal(t0) || !late.Last.Equal(now)) {
				t.Errorf("got %+v", late)
			}
		})
	}
}

func TestRate(t *testing.T) {
	s := &Stats{}
	at := time.Unix(1_800_000_000, 0)
	for i := range 30 {
		b := &Batch{Source: "file:a", Live: true}
		for range 100 {
			b.Append([]byte("line"), at)
		}
		s.read("files", b, nil, at.Add(time.Duration(i)*time.Second))
	}
	rate := func(after time.Duration) float64 { return s.Sources(at.Add(29*time.Second + after))[0].Rate }
	if got := rate(0); got != 100 {
		t.Errorf("got %v lines/s, want 100", got)
	}
	if got := rate(5 * time.Second); got != 60 {
		t.Errorf("5 s later: got %v lines/s, want 60", got)
	}
	if got := rate(time.Hour); got != 0 {
		t.Errorf("an hour later: got %v lines/s, want 0", got)
	}
}

package control_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
)

// A quiet source has nothing to say until its context is done.
type quiet struct{}

func (quiet) Name() string { return "quiet" }

func (quiet) Read(ctx context.Context, _ *pipeline.Batch) error {
	<-ctx.Done()
	return ctx.Err()
}

// A program of your own can show and steer its pipeline: mount the handler where only those with the right get to it.
func Example() {
	p := &pipeline.Pipeline{
		Sources: []pipeline.Source{quiet{}},
		Stages:  []pipeline.Stage{&pipeline.Window{}, &pipeline.Decide{}},
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()

	handler := &control.Handler{Pipeline: func() *pipeline.Pipeline { return p }}
	server := httptest.NewServer(handler) // yours listens on a socket with rights, never on a network
	defer server.Close()
	for _, body := range []string{`{"addrs":["192.0.2.7"],"for_seconds":-1,"reason":"scans"}`, `{"addrs":["127.0.0.1"]}`} {
		answer, err := http.Post(server.URL+"/v1/ban", "application/json", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(answer.Status)
		answer.Body.Close()
	}
	answer, err := http.Get(server.URL + "/v1/status?jail=manual&addrs=1")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && strings.Contains(string(text), `"addrs":["192.0.2.7"]`) {
		fmt.Println("192.0.2.7 is banned")
	}
	cancel()
	fmt.Println(<-ended)
	// Output:
	// 200 OK
	// 422 Unprocessable Entity
	// 192.0.2.7 is banned
	// <nil>
}

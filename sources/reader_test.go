package sources

import (
	"io"
	"strings"
	"testing"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

func TestReaderKeepsTheContract(t *testing.T) {
	pipelinetest.TestSource(t, func(*testing.T) pipelinetest.SourceLog {
		r, w := io.Pipe()
		return pipelinetest.SourceLog{
			New: func() pipeline.Source { return NewReader("stdin", r) },
			Write: func(lines ...string) error {
				_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
				return err
			},
			End: w.Close,
		}
	})
}

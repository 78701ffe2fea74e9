package pipeline

import "context"

// concurrent is what Concurrent returns. Run takes it apart; as a plain Stage it is its first worker.
type concurrent struct{ workers []Stage }

// Concurrent runs a stateless stage on n batches at once, one instance made by make per worker; n < 2
// means one. Batches and checkpoints leave in the order they came.
func Concurrent(n int, make func() Stage) Stage {
	c := &concurrent{}
	for range max(n, 1) {
		c.workers = append(c.workers, make())
	}
	return c
}

// Process calls the first worker.
func (c *concurrent) Process(ctx context.Context, b *Batch) error {
	return c.workers[0].Process(ctx, b)
}

package store

import (
	"fmt"
	"runtime/debug"
)

// guard calls f and makes a brokenError of a panic: bbolt panics on pages that make no sense, and a file that
// is shorter than its pages say is a fault in the mapped memory.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &brokenError{fmt.Errorf("%v", p)}
		}
	}()
	return f()
}

//go:build !race

// Package race tells whether the race detector is on. Tests ask, for under it sync.Pool
// forgets at random, and allocations cannot be counted; and code that would else read by
// assembly, which it does not see.
package race

// Enabled reports whether the race detector is on.
const Enabled = false

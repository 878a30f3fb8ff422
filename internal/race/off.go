//go:build !race

// Package race tells tests whether the race detector is on: under it sync.Pool
// forgets at random, and allocations cannot be counted.
package race

// Enabled reports whether the race detector is on.
const Enabled = false

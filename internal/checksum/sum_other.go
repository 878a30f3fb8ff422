//go:build !amd64

package checksum

const hasVector = false

// addVector is there to be named.
func addVector(sum uint64, b []byte) uint64 { return addWords(sum, b) }

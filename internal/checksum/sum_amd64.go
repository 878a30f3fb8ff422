package checksum

import (
	"math/bits"

	"golang.org/x/sys/cpu"
)

// hasVector reports whether addVector may be called; not with GODEBUG=cpu.avx2=off.
var hasVector = cpu.X86.HasAVX2

// What one call of sumAVX2 takes, in bytes.
const (
	// A vector.
	minRun = 32
	// As long as a super-segment, and no longer because the scheduler cannot interrupt
	// assembly.
	maxRun = 64 << 10
)

// addVector is addWords with AVX2.
func addVector(sum uint64, b []byte) uint64 {
	var c uint64
	for len(b) >= minRun {
		n := min(len(b), maxRun) &^ 1 // whole words, so that the next run starts with one
		sum, c = bits.Add64(sum, sumAVX2(&b[0], n), 0)
		sum += c
		b = b[n:]
	}
	if len(b) == 0 {
		return sum
	}
	return addWords(sum, b)
}

// sumAVX2 is the sum of the n bytes from p in their little-endian words, not folded: less
// than 1<<47. n is even and from minRun to maxRun; p may have any alignment.
//
//go:noescape
func sumAVX2(p *byte, n int) uint64

package checksum

import (
	"math/rand/v2"
	"os"
	"runtime/debug"
	"syscall"
	"testing"
)

// guarded returns pages of random bytes, of which neither the page in front nor the one
// behind may be read.
func guarded(t *testing.T, pages int) []byte {
	page := os.Getpagesize()
	n := pages * page
	all, err := syscall.Mmap(-1, 0, page+n+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	before, b, behind := all[:page], all[page:page+n], all[page+n:]
	copy(b, random(rand.New(rand.NewPCG(12, 13)), n))
	for _, fence := range [][]byte{before, behind} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
		if !faults(func() { sink = uint16(fence[0]) }) {
			t.Fatal("the page can be read: the test would prove nothing")
		}
	}
	return b
}

// faults reports whether f reads where nobody may.
func faults(f func()) (did bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { did = recover() != nil }()
	f()
	return false
}

// Whole registers are loaded, but none that reaches out of the slice: neither behind its
// end nor, where the last bytes are loaded together with some before them, in front of it.
func TestSumReadsNothingOutsideOfTheSlice(t *testing.T) {
	b := guarded(t, 17)
	lengths := []int{len(b) - 1, len(b)} // more than is summed in one run
	for n := range 700 {
		lengths = append(lengths, n)
	}
	eachWay(t, func(t *testing.T, sum func(uint16, []byte) uint16) {
		for _, n := range lengths {
			for where, p := range map[string][]byte{"first": b[:n], "last": b[len(b)-n:]} {
				var got uint16
				if faults(func() { got = sum(0, p) }) {
					t.Fatalf("the %s %d bytes: reads outside of them", where, n)
				}
				if want := reference(0, p); got != want {
					t.Fatalf("the %s %d bytes: %#04x, want %#04x", where, n, got, want)
				}
			}
		}
	})
}

package checksum

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// reference is RFC 1071 by the letter: one 16-bit word after the other, the carry added
// back at once.
func reference(initial uint16, b []byte) uint16 {
	sum := uint32(initial)
	for i, v := range b {
		word := uint32(v)
		if i%2 == 0 {
			word <<= 8
		}
		sum += word
		if sum > 0xffff {
			sum -= 0xffff
		}
	}
	return uint16(sum)
}

// way is a function that should be Sum.
type way struct {
	name string
	sum  func(initial uint16, b []byte) uint16
}

// ways are Sum and each that it chooses from on this machine, at every length.
func ways() []way {
	all := []way{{"Sum", Sum}, {"Go", by(addWords)}}
	if hasVector {
		all = append(all, way{"vector", by(addVector)})
	}
	return all
}

// by is Sum done by add alone.
func by(add func(uint64, []byte) uint64) func(uint16, []byte) uint16 {
	return func(initial uint16, b []byte) uint16 {
		return bits.ReverseBytes16(fold(add(uint64(bits.ReverseBytes16(initial)), b)))
	}
}

// eachWay runs a test for each of the ways.
func eachWay(t *testing.T, test func(t *testing.T, sum func(uint16, []byte) uint16)) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) { test(t, w.sum) })
	}
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestSumOfExampleInRFC1071(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := Sum(0, b); got != 0xddf2 {
		t.Errorf("Sum = %#04x, want 0xddf2 (RFC 1071, section 3)", got)
	}
}

func TestSumAgreesWithReferenceAtEveryLength(t *testing.T) {
	eachWay(t, func(t *testing.T, sum func(uint16, []byte) uint16) {
		r := rand.New(rand.NewPCG(1, 2))
		for n := 0; n <= 700; n++ {
			patterns := map[string][]byte{
				"zeros":      make([]byte, n),
				"ones":       bytes.Repeat([]byte{0xff}, n),
				"high":       bytes.Repeat([]byte{0xff, 0x00}, n/2+1)[:n],
				"low":        bytes.Repeat([]byte{0x00, 0xff}, n/2+1)[:n],
				"high words": bytes.Repeat([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, n/8+1)[:n],
				"low words":  bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, n/8+1)[:n],
				"random":     random(r, n),
			}
			for name, b := range patterns {
				for _, initial := range []uint16{0, 1, 0x00ff, 0xff00, 0xfffe, 0xffff, uint16(r.Uint32())} {
					if got, want := sum(initial, b), reference(initial, b); got != want {
						t.Fatalf("%d bytes of %s from %#04x: %#04x, want %#04x", n, name, initial, got, want)
					}
				}
			}
		}
	})
}

// Every place where the slice may start in memory, since registers are loaded whole, and
// every length after whole vectors. What lies around it must not count.
func TestSumAgreesWithReferenceAtEveryAlignment(t *testing.T) {
	eachWay(t, func(t *testing.T, sum func(uint16, []byte) uint16) {
		b := random(rand.New(rand.NewPCG(3, 4)), 33+300)
		for start := range 33 {
			for end := start; end <= start+300; end++ {
				if got, want := sum(0, b[start:end]), reference(0, b[start:end]); got != want {
					t.Fatalf("[%d:%d]: %#04x, want %#04x", start, end, got, want)
				}
			}
		}
	})
}

// A sum of 0 says that there was nothing, a sum of 0xffff what is as much as nothing.
func TestSumIsZeroOnlyWhenEveryByteWasZero(t *testing.T) {
	eachWay(t, func(t *testing.T, sum func(uint16, []byte) uint16) {
		for n := 2; n <= 300; n++ {
			b := make([]byte, n)
			if got := sum(0, b); got != 0 {
				t.Fatalf("%d zeros: %#04x, want 0", n, got)
			}
			for i := range n &^ 1 {
				// Two bytes of different weight: 0xffff in all, wherever they stand.
				j := n&^1 - 1 - i
				b[i], b[j] = 0xff, 0xff
				if got := sum(0, b); got != 0xffff {
					t.Fatalf("%d bytes, 0xff at %d and %d: %#04x, want 0xffff", n, i, j, got)
				}
				b[i], b[j] = 0, 0
			}
		}
	})
}

// The carry out of the last addition can meet a sum of all ones, and then carries again.
func TestSumCarriesTwiceAtTheEnd(t *testing.T) {
	eachWay(t, func(t *testing.T, sum func(uint16, []byte) uint16) {
		for _, n := range []int{8, 16, 128, 136, 256, 264} {
			b := bytes.Repeat([]byte{0xff}, n)
			for _, initial := range []uint16{0, 1, 0xffff} {
				if got, want := sum(initial, b), reference(initial, b); got != want {
					t.Errorf("%d ones from %#x: %#04x, want %#04x", n, initial, got, want)
				}
			}
		}
		// x + ^x + 1 leaves 0 and a carry; with more ones in front the carry ripples.
		b := make([]byte, 24)
		binary.LittleEndian.PutUint64(b[0:], ^uint64(0))
		binary.LittleEndian.PutUint64(b[8:], 1)
		binary.LittleEndian.PutUint64(b[16:], ^uint64(0))
		if got, want := sum(0, b), reference(0, b); got != want {
			t.Errorf("%#04x, want %#04x", got, want)
		}
	})
}

// Only some GB fill the 64 bits in which a sum grows, but then too nothing is lost.
func TestSumOfMoreThan64BitsCarries(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 15))
	for name, add := range map[string]func(uint64, []byte) uint64{"Go": addWords, "vector": addVector} {
		for n := 0; n <= 300; n++ {
			for _, initial := range []uint64{^uint64(0), ^uint64(0) - 1, 1 << 63, r.Uint64()} {
				b := random(r, n)
				// Both in the order of memory, as add has it.
				want := fold(uint64(fold(initial)) + uint64(bits.ReverseBytes16(reference(0, b))))
				if got := fold(add(initial, b)); got != want {
					t.Fatalf("%s, %d bytes from %#x: %#04x, want %#04x", name, n, initial, got, want)
				}
			}
		}
	}
}

// No length is too long: the lengths of segments and super-segments, and those around
// what is summed in one run.
func TestSumOfLongRanges(t *testing.T) {
	eachWay(t, func(t *testing.T, sum func(uint16, []byte) uint16) {
		noise := random(rand.New(rand.NewPCG(5, 6)), 1<<20+33)
		ones := bytes.Repeat([]byte{0xff}, len(noise))
		for _, n := range []int{
			1459, 1460, 65471, 65472, 65534, 65535, 65536, 65537, 65538, 65567, 65568, 65569,
			2*65536 - 1, 2 * 65536, 2*65536 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 1<<20 + 33,
		} {
			for name, b := range map[string][]byte{"noise": noise, "ones": ones} {
				for _, initial := range []uint16{0, 7, 0xffff} {
					if got, want := sum(initial, b[:n]), reference(initial, b[:n]); got != want {
						t.Errorf("%d bytes of %s from %#x: %#04x, want %#04x", n, name, initial, got, want)
					}
				}
			}
		}
	})
}

func TestSumSlicesAgreesWithReferenceHoweverSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 8).Draw(t, "parts")
		initial := rapid.Uint16().Draw(t, "initial")
		want := reference(initial, bytes.Join(parts, nil))
		if got := SumSlices(initial, parts...); got != want {
			t.Fatalf("SumSlices = %#04x, want %#04x", got, want)
		}
	})
}

func TestSumSlicesAtEverySplitIntoThree(t *testing.T) {
	b := random(rand.New(rand.NewPCG(7, 8)), 24)
	want := reference(0x1234, b)
	for i := 0; i <= len(b); i++ {
		for j := i; j <= len(b); j++ {
			if got := SumSlices(0x1234, b[:i], b[i:j], b[j:]); got != want {
				t.Fatalf("split at %d and %d: SumSlices = %#04x, want %#04x", i, j, got, want)
			}
		}
	}
}

func TestCombineAddsSumsOfEvenRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "a")
		a = a[:len(a)&^1]
		b := rapid.SliceOfN(rapid.Byte(), 0, 101).Draw(t, "b")
		want := reference(0, append(bytes.Clone(a), b...))
		if got := Combine(Sum(0, a), Sum(0, b)); got != want {
			t.Fatalf("Combine = %#04x, want %#04x", got, want)
		}
	})
	for _, c := range []struct{ a, b, want uint16 }{
		{0, 0, 0}, {0, 0xffff, 0xffff}, {0xffff, 0xffff, 0xffff}, {0xffff, 1, 1}, {0x8000, 0x8000, 1},
	} {
		if got := Combine(c.a, c.b); got != c.want {
			t.Errorf("Combine(%#x, %#x) = %#x, want %#x", c.a, c.b, got, c.want)
		}
	}
}

func TestChecksumInPlaceSumsToValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 2, 200).Draw(t, "b")
		b[0], b[1] = 0, 0
		sum := Sum(0, b)
		binary.BigEndian.PutUint16(b, ^sum)
		if got := Sum(0, b); got != Valid {
			t.Fatalf("with its checksum %#04x in place the range sums to %#04x", ^sum, got)
		}
	})
}

// The pseudo-headers as the RFCs draw them, summed by the reference.
func TestPseudoHeaderIsTheOneDrawnInTheRFCs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		proto := rapid.Byte().Draw(t, "proto")
		s16 := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "src"))
		d16 := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "dst"))

		// RFC 9293, section 3.1: source, destination, zero, protocol, length.
		length4 := rapid.IntRange(0, 65535).Draw(t, "length4")
		p := append(append([]byte{}, s16[:4]...), d16[:4]...)
		p = append(p, 0, proto)
		p = binary.BigEndian.AppendUint16(p, uint16(length4))
		src, dst := netip.AddrFrom4([4]byte(s16[:4])), netip.AddrFrom4([4]byte(d16[:4]))
		if got, want := PseudoHeader(src, dst, proto, length4), reference(0, p); got != want {
			t.Fatalf("IPv4: %#04x, want %#04x", got, want)
		}

		// RFC 8200, section 8.1: source, destination, length of 32 bits, zeros, next header.
		length6 := rapid.IntRange(0, 1<<20).Draw(t, "length6")
		p = append(append([]byte{}, s16[:]...), d16[:]...)
		p = binary.BigEndian.AppendUint32(p, uint32(length6))
		p = append(p, 0, 0, 0, proto)
		src, dst = netip.AddrFrom16(s16), netip.AddrFrom16(d16)
		if got, want := PseudoHeader(src, dst, proto, length6), reference(0, p); got != want {
			t.Fatalf("IPv6: %#04x, want %#04x", got, want)
		}
		if got, want := PseudoHeader(src.WithZone("tun0"), dst, proto, length6), reference(0, p); got != want {
			t.Fatalf("IPv6 with a zone: %#04x, want %#04x", got, want)
		}
	})
}

func TestPseudoHeaderOfNoAddressesDoesNotPanic(t *testing.T) {
	if got := PseudoHeader(netip.Addr{}, netip.Addr{}, 17, 8); got != 25 {
		t.Errorf("PseudoHeader = %d, want 25", got)
	}
	if got := PseudoHeader(netip.MustParseAddr("10.0.0.1"), netip.Addr{}, 0, 0); got != 0x0a00+0x0001 {
		t.Errorf("PseudoHeader = %#x, want 0x0a01", got)
	}
}

func TestNothingAllocates(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	p, q := make([]byte, 1459), make([]byte, 33)
	n := testing.AllocsPerRun(100, func() {
		sum := PseudoHeader(a, a, 6, len(p))
		sum = Combine(sum, PseudoHeader(b, b, 6, len(p)))
		sum = Sum(sum, p)
		sink = SumSlices(sum, p, q, p)
	})
	if n != 0 {
		t.Errorf("%v allocations a run", n)
	}
}

func FuzzSum(f *testing.F) {
	f.Add(uint16(0), []byte{}, 0)
	f.Add(uint16(0xffff), []byte{0xff}, 1)
	f.Add(uint16(1), bytes.Repeat([]byte{0xff}, 137), 5)
	f.Add(uint16(0x1234), bytes.Repeat([]byte{0, 1, 2, 3}, 70), 129)
	f.Add(uint16(0xfffe), random(rand.New(rand.NewPCG(10, 11)), 1461), 31)
	f.Add(uint16(0), bytes.Repeat([]byte{0xff}, 70001), 65536)
	f.Fuzz(func(t *testing.T, initial uint16, b []byte, split int) {
		want := reference(initial, b)
		for _, w := range ways() {
			if got := w.sum(initial, b); got != want {
				t.Fatalf("%s: %#04x, want %#04x", w.name, got, want)
			}
		}
		at := min(max(split, 0), len(b))
		if got := SumSlices(initial, b[:at], nil, b[at:]); got != want {
			t.Fatalf("SumSlices = %#04x, want %#04x", got, want)
		}
	})
}

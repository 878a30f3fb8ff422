package buffer

import (
	"bytes"
	"testing"

	"github.com/a644562b/portico/internal/race"
	"pgregory.net/rapid"
)

// stream makes bytes that tell their offset, so that a misplaced one shows.
func stream(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		o := from + i
		b[i] = byte(o ^ o>>8 ^ o>>16)
	}
	return b
}

func TestSendHoldsWhatWasAppendedAndNotDiscarded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Send
		first, end := 0, 0 // offsets of the queue's head and tail in the stream
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				n := rapid.IntRange(0, 100_000).Draw(t, "n")
				q.Append(stream(end, n))
				end += n
			},
			"link": func(t *rapid.T) {
				n := rapid.IntRange(0, 60_000).Draw(t, "n")
				block := NewBlock()
				at := rapid.IntRange(0, len(block.B)-n).Draw(t, "at")
				copy(block.B[at:], stream(end, n))
				q.Link(block, block.B[at:at+n])
				end += n
			},
			"discard": func(t *rapid.T) {
				n := rapid.IntRange(0, q.Len()).Draw(t, "n")
				q.Discard(n)
				first += n
			},
			"slices": func(t *rapid.T) {
				off := rapid.IntRange(0, q.Len()).Draw(t, "off")
				n := rapid.IntRange(0, q.Len()-off).Draw(t, "n")
				got := bytes.Join(q.Slices(nil, off, n), nil)
				if !bytes.Equal(got, stream(first+off, n)) {
					t.Fatalf("[%d, %d) of the queue is not what was appended there", off, off+n)
				}
			},
			"": func(t *rapid.T) {
				if q.Len() != end-first {
					t.Fatalf("Len is %d, want %d", q.Len(), end-first)
				}
			},
		})
		q.Clear()
		if q.Len() != 0 || q.list != nil {
			t.Fatal("Clear left something")
		}
	})
}

func TestReceiveGivesBackWhatCameInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Receive
		first, end := 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				n := rapid.IntRange(0, 5_000).Draw(t, "n")
				q.Append(stream(end, n))
				end += n
			},
			"link": func(t *rapid.T) {
				n := rapid.IntRange(0, 60_000).Draw(t, "n")
				block := NewBlock()
				at := rapid.IntRange(0, len(block.B)-n).Draw(t, "at")
				copy(block.B[at:], stream(end, n))
				q.Link(block, block.B[at:at+n])
				end += n
			},
			"read": func(t *rapid.T) {
				p := make([]byte, rapid.IntRange(0, 100_000).Draw(t, "n"))
				n := q.Read(p)
				if n != min(len(p), end-first) {
					t.Fatalf("Read gave %d bytes of %d for %d", n, end-first, len(p))
				}
				if !bytes.Equal(p[:n], stream(first, n)) {
					t.Fatal("Read gave other bytes than came")
				}
				first += n
			},
			"take": func(t *rapid.T) {
				if q.Len() == 0 {
					t.Skip("nothing is there")
				}
				block, p := q.Take()
				if len(p) < min(end-first, BlockSize/2) {
					t.Fatalf("Take gave %d bytes of %d", len(p), end-first)
				}
				if !bytes.Equal(p, stream(first, len(p))) {
					t.Fatal("Take gave other bytes than came")
				}
				first += len(p)
				clear(block.B) // it is ours
				block.Release()
			},
			"": func(t *rapid.T) {
				if q.Len() != end-first {
					t.Fatalf("Len is %d, want %d", q.Len(), end-first)
				}
			},
		})
		q.Clear()
		if q.Len() != 0 {
			t.Fatal("Clear left something")
		}
	})
}

func TestSmallPiecesDoNotPinLargeBlocks(t *testing.T) {
	var q Receive
	for i := range 1000 {
		q.Append(stream(i, 1))
	}
	held := 0
	for _, p := range q.list.parts {
		held += len(p.block.B)
	}
	if held > 2*smallSize {
		t.Errorf("1,000 single bytes hold %d bytes of memory", held)
	}
	q.Clear()
}

func TestSteadyStreamAllocatesNothing(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	var send Send
	var recv Receive
	chunk, p := stream(0, 1460), make([]byte, 4096)
	var slices [][]byte
	if n := testing.AllocsPerRun(1000, func() {
		send.Append(chunk)
		slices = send.Slices(slices[:0], 0, len(chunk))
		for _, s := range slices {
			recv.Append(s)
		}
		send.Discard(len(chunk))
		recv.Read(p)
	}); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}

func TestBlocksComeInTheSizeAskedFor(t *testing.T) {
	for _, n := range []int{1, smallSize, smallSize + 1, mediumSize, mediumSize + 1, BlockSize, BlockSize + 1} {
		b := NewBlockFor(n)
		if want := min(n, BlockSize); len(b.B) < want || len(b.B) > 8*max(want, smallSize) {
			t.Errorf("NewBlockFor(%d) has %d bytes", n, len(b.B))
		}
		b.Release()
	}
	(*Block)(nil).Release()
}

// Package buffer holds the bytes of the house: blocks of memory with one owner
// at a time, the queue of bytes waiting to be acknowledged (Send), and the queue of
// bytes waiting to be read (Receive). Nothing here locks; the owner's lock guards
// each value. The pools behind the blocks are shared and safe.
package buffer

import "sync"

// BlockSize is the size of a full block in bytes: a super-segment of 64 KiB and
// the headers in front of it fit.
const BlockSize = 65536 + 256

// The smaller sizes of blocks: an ordinary segment, and a few of them.
const (
	smallSize  = 2048
	mediumSize = 16384
)

// Block is a piece of memory. It has exactly one owner; handing it over is
// handing over the duty to Release it.
type Block struct {
	// B is the whole memory of the block. Its length never changes.
	B []byte
}

var pools = [...]struct {
	size int
	pool sync.Pool
}{
	{size: smallSize, pool: sync.Pool{New: func() any { return &Block{B: make([]byte, smallSize)} }}},
	{size: mediumSize, pool: sync.Pool{New: func() any { return &Block{B: make([]byte, mediumSize)} }}},
	{size: BlockSize, pool: sync.Pool{New: func() any { return &Block{B: make([]byte, BlockSize)} }}},
}

// NewBlock returns a block of BlockSize bytes with arbitrary content.
func NewBlock() *Block { return NewBlockFor(BlockSize) }

// NewBlockFor returns a block of at least n bytes, or of BlockSize where n is more,
// with arbitrary content.
func NewBlockFor(n int) *Block {
	for i := range pools {
		if n <= pools[i].size {
			return pools[i].pool.Get().(*Block)
		}
	}
	return pools[len(pools)-1].pool.Get().(*Block)
}

// Release gives the block back. The caller must hold no slice of it.
// Releasing nil does nothing.
func (b *Block) Release() {
	if b == nil {
		return
	}
	for i := range pools {
		if len(b.B) == pools[i].size {
			pools[i].pool.Put(b)
			return
		}
	}
}

// part is a piece of a queue: bytes, and the block that they lie in.
type part struct {
	block *Block
	b     []byte
}

// full reports whether nothing more can be appended behind the bytes.
func (r *part) full() bool { return len(r.b) == cap(r.b) }

// append copies what fits of p behind the bytes.
func (r *part) append(p []byte) int {
	at := len(r.b)
	r.b = r.b[:min(cap(r.b), at+len(p))]
	return copy(r.b[at:], p)
}

// keepParts is how many parts a list that goes back to its pool keeps room for.
const keepParts = 16

package capture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"time"
	"unicode/utf8"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// file writes pcapng (draft-ietf-opsawg-pcapng). The section header and the interface
// description come from gopacket. The enhanced packet blocks are written here:
// pcapgo.NgWriter of gopacket 1.1.19 writes no option on a packet, neither a comment
// nor the direction.
type file struct {
	w       *bufio.Writer
	snapLen int // 0: packets whole
	block   []byte
}

// Block types, options and option values of pcapng (sections 4.3 and 3.5).
const (
	blockEnhancedPacket = 6
	optEnd              = 0
	optComment          = 1
	optFlags            = 2

	// maxComment is the longest comment in bytes: an option's length has 16 bits.
	maxComment = 65535
)

// newFile writes the head of a file: one section, one interface of raw IP packets
// with times in nanoseconds.
func newFile(w io.Writer, name string, snapLen int) (*file, error) {
	f := &file{w: bufio.NewWriterSize(w, 64<<10), snapLen: snapLen}
	var head bytes.Buffer
	ng, err := pcapgo.NewNgWriterInterface(&head,
		pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeRaw, SnapLength: uint32(snapLen)},
		pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: "portico"}})
	if err != nil {
		return nil, err
	}
	if err := ng.Flush(); err != nil {
		return nil, err
	}
	if _, err := f.w.Write(head.Bytes()); err != nil {
		return nil, err
	}
	return f, f.w.Flush()
}

// packet writes one packet. Errors are kept for flush.
func (f *file) packet(at time.Time, dir Direction, packet []byte, comment string) {
	kept := packet
	if f.snapLen > 0 && len(kept) > f.snapLen {
		kept = kept[:f.snapLen]
	}
	ns := uint64(at.UnixNano())
	le := binary.LittleEndian
	b := le.AppendUint32(f.block[:0], blockEnhancedPacket)
	b = le.AppendUint32(b, 0) // total length, filled in below
	b = le.AppendUint32(b, 0) // interface
	b = le.AppendUint32(b, uint32(ns>>32))
	b = le.AppendUint32(b, uint32(ns))
	b = le.AppendUint32(b, uint32(len(kept)))
	b = le.AppendUint32(b, uint32(len(packet)))
	b = pad(append(b, kept...))
	b = appendOption(b, optFlags, le.AppendUint32(nil, uint32(dir)))
	if comment = shorten(comment, maxComment); comment != "" {
		b = appendOption(b, optComment, []byte(comment))
	}
	b = appendOption(b, optEnd, nil)
	total := uint32(len(b) + 4)
	le.PutUint32(b[4:], total)
	f.block = le.AppendUint32(b, total)
	_, _ = f.w.Write(f.block) // bufio keeps the error
}

// flush hands everything to the writer. Once it has failed it always does.
func (f *file) flush() error { return f.w.Flush() }

// pad fills up block b to a whole number of 32-bit words.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func appendOption(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...))
}

// shorten cuts s to at most n bytes, between two characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

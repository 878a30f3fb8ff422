package serve

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// MaxBytes is the most that /bytes/N serves: 10 GiB.
const MaxBytes = 10 << 30

// Pattern is the endless stream that /bytes/N is the beginning of: its word k, counted
// from 0, is (k+1)·0x9E3779B97F4A7C15 modulo 2^64 as eight bytes, the least significant
// first. No two words of it are equal, so that a byte out of its place shows.
type Pattern struct {
	pos int64 // of the next byte
}

const patternFactor = 0x9E3779B97F4A7C15

// Read fills p with the next bytes of the stream. It never fails.
func (s *Pattern) Read(p []byte) (int, error) {
	n := len(p)
	var word [8]byte
	for len(p) > 0 {
		k, skip := uint64(s.pos/8), int(s.pos%8)
		if skip == 0 && len(p) >= 8 {
			whole := len(p) &^ 7
			fillWords(p[:whole], k)
			s.pos += int64(whole)
			p = p[whole:]
			continue
		}
		binary.LittleEndian.PutUint64(word[:], (k+1)*patternFactor)
		m := copy(p, word[skip:])
		s.pos += int64(m)
		p = p[m:]
	}
	return n, nil
}

// fillWords fills p, a whole number of words, from word k on.
func fillWords(p []byte, k uint64) {
	v := k * patternFactor
	for i := 0; i+8 <= len(p); i += 8 {
		v += patternFactor
		binary.LittleEndian.PutUint64(p[i:], v)
	}
}

// chunk is how many bytes move between the application and the connection at a time.
const chunk = 256 << 10

// serveBytes answers GET /bytes/N.
func serveBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 || n > MaxBytes {
		http.Error(w, fmt.Sprintf("%q is not a number of bytes: choose 0 to %d, as in /bytes/1048576",
			r.PathValue("n"), int64(MaxBytes)), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	if r.Method == http.MethodHead {
		return
	}
	var stream Pattern
	buf := make([]byte, min(n, chunk))
	for n > 0 {
		part := buf[:min(n, int64(len(buf)))]
		stream.Read(part) // never fails
		if _, err := w.Write(part); err != nil {
			return // the visitor went away
		}
		n -= int64(len(part))
	}
}

// serveDigest answers PUT and POST /sha256 with the digest of the body in hex.
func serveDigest(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.CopyBuffer(h, onlyReader{r.Body}, make([]byte, chunk))
	if err != nil {
		http.Error(w, fmt.Sprintf("the body ended after %d bytes: %v", n, err), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%x\n", h.Sum(nil))
}

// onlyReader hides the body's WriteTo, so that the buffer is used.
type onlyReader struct{ io.Reader }

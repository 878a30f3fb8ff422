package tcp_test

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/a644562b/portico/tcp"
)

// Segments are written in these tests as a person writes them on a blackboard,
// in the manner of tcpdump and packetdrill:
//
//	S 0 win 65535 <mss 1000,sackOK>     a SYN
//	S. 0 ack 1                          its answer: a dot is the ACK bit
//	P. 1(500) ack 1                     500 bytes of data from sequence number 1
//	- 1(10)                             ten bytes and no flag at all
//
// Letters are S F R P U, E and C for ECE and CWR. Numbers are relative: SEQ to the
// initial number of whoever sends, ACK to that of the other; "=7" is the number 7
// itself. The names una, nxt and rcv stand for SND.UNA, SND.NXT and RCV.NXT of the
// TCB under test in the state that its fixture brought it to; "rcv+100" counts
// from there. In an expectation
//
//   - what is not written is not compared, but PSH is left out of the comparison
//     only when it is not written, and flags, SEQ and the length always count;
//   - <> says that there are no options, and <...> that there are exactly these, in
//     this order; * stands for any number;
//   - "@40ms" in front says when the segment left, counted from the last thing that
//     the test did; without it that is at once, and "@*" is whenever;
//   - "a | b" is satisfied by either.
type line struct {
	text   string
	at     time.Duration
	anyAt  bool
	flags  tcp.Flags
	seq    tcp.Seq
	dlen   int
	ack    tcp.Seq
	hasAck bool // an ack was written
	anyAck bool // it was *
	win    int  // -1: not written
	urg    int  // -1: not written
	opts   string
	hasOpt bool
}

// numbers knows what relative numbers are relative to.
type numbers struct {
	seq, ack tcp.Seq // bases of SEQ and ACK
	names    map[string]int
}

var flagLetters = map[rune]tcp.Flags{
	'F': tcp.FIN, 'S': tcp.SYN, 'R': tcp.RST, 'P': tcp.PSH, '.': tcp.ACK,
	'U': tcp.URG, 'E': tcp.ECE, 'C': tcp.CWR, '-': 0,
}

// parseLine reads one segment in the notation above; it panics on a mistake, which
// is a mistake of the test.
func parseLine(text string, n numbers) line {
	l := line{text: text, win: -1, urg: -1}
	body := strings.TrimSpace(text)
	if i := strings.IndexByte(body, '<'); i >= 0 {
		l.opts, l.hasOpt = strings.TrimSuffix(strings.TrimSpace(body[i+1:]), ">"), true
		body = body[:i]
	}
	words := strings.Fields(body)
	if at, ok := strings.CutPrefix(words[0], "@"); ok {
		l.anyAt = at == "*"
		if !l.anyAt {
			d, err := time.ParseDuration(at)
			if err != nil {
				panic("notation: " + text + ": " + err.Error())
			}
			l.at = d
		}
		words = words[1:]
	}
	for _, r := range words[0] {
		bit, ok := flagLetters[r]
		if !ok {
			panic("notation: unknown flag in " + text)
		}
		l.flags |= bit
	}
	seq, length, hasLen := strings.Cut(words[1], "(")
	l.seq = n.absolute(seq, n.seq)
	if hasLen {
		l.dlen = atoi(strings.TrimSuffix(length, ")"))
	}
	for words = words[2:]; len(words) > 0; words = words[2:] {
		switch words[0] {
		case "ack":
			l.hasAck, l.anyAck = true, words[1] == "*"
			if !l.anyAck {
				l.ack = n.absolute(words[1], n.ack)
			}
		case "win":
			l.win = atoi(words[1])
		case "urg":
			l.urg = atoi(words[1])
		default:
			panic("notation: unknown word " + words[0] + " in " + text)
		}
	}
	if l.flags.Has(tcp.ACK) && !l.hasAck {
		panic("notation: ACK bit without a number in " + text)
	}
	return l
}

func (n numbers) absolute(s string, base tcp.Seq) tcp.Seq {
	if abs, ok := strings.CutPrefix(s, "="); ok {
		return tcp.Seq(uint32(atoi(abs)))
	}
	for name, v := range n.names {
		if rest, ok := strings.CutPrefix(s, name); ok {
			if rest != "" {
				v += atoi(rest)
			}
			return base.Add(v)
		}
	}
	return base.Add(atoi(s))
}

func atoi(s string) int {
	v, err := strconv.Atoi(s)
	if err != nil {
		panic("notation: " + err.Error())
	}
	return v
}

// wireOptions writes options to the wire as they stand, so that a test can order
// and pad them as a strange peer would: mss N, sackOK, TS VAL ECR, nop, eol,
// wscale N, sack A:B ..., raw HEX. The result is padded with zeros to a multiple
// of four bytes.
func wireOptions(opts string, base tcp.Seq) []byte {
	var b []byte
	for _, tok := range strings.Split(opts, ",") {
		f := strings.Fields(tok)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "mss":
			b = binary.BigEndian.AppendUint16(append(b, 2, 4), uint16(atoi(f[1])))
		case "sackOK":
			b = append(b, 4, 2)
		case "TS":
			b = binary.BigEndian.AppendUint32(append(b, 8, 10), uint32(atoi(f[1])))
			b = binary.BigEndian.AppendUint32(b, uint32(atoi(f[2])))
		case "nop":
			b = append(b, 1)
		case "eol":
			b = append(b, 0)
		case "wscale":
			b = append(b, 3, 3, byte(atoi(f[1])))
		case "sack":
			b = append(b, 5, byte(2+8*(len(f)-1)))
			for _, blk := range f[1:] {
				from, to, _ := strings.Cut(blk, ":")
				b = binary.BigEndian.AppendUint32(b, uint32(base.Add(atoi(from))))
				b = binary.BigEndian.AppendUint32(b, uint32(base.Add(atoi(to))))
			}
		case "raw":
			for _, h := range f[1:] {
				v, err := strconv.ParseUint(h, 16, 8)
				if err != nil {
					panic("notation: " + err.Error())
				}
				b = append(b, byte(v))
			}
		default:
			panic("notation: unknown option " + tok)
		}
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// readOptions is wireOptions backwards, for options found on the wire.
func readOptions(b []byte, base tcp.Seq) string {
	var toks []string
	for len(b) > 0 {
		switch b[0] {
		case 0:
			toks = append(toks, "eol")
			b = nil
			continue
		case 1:
			toks = append(toks, "nop")
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			toks = append(toks, fmt.Sprintf("broken % x", b))
			break
		}
		v := b[2:b[1]]
		switch b[0] {
		case 2:
			toks = append(toks, fmt.Sprintf("mss %d", binary.BigEndian.Uint16(v)))
		case 3:
			toks = append(toks, fmt.Sprintf("wscale %d", v[0]))
		case 4:
			toks = append(toks, "sackOK")
		case 5:
			s := "sack"
			for ; len(v) >= 8; v = v[8:] {
				s += fmt.Sprintf(" %d:%d", tcp.Seq(binary.BigEndian.Uint32(v)).Sub(base),
					tcp.Seq(binary.BigEndian.Uint32(v[4:])).Sub(base))
			}
			toks = append(toks, s)
		case 8:
			toks = append(toks, fmt.Sprintf("TS %d %d", binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])))
		default:
			toks = append(toks, fmt.Sprintf("raw % x", b[:b[1]]))
		}
		b = b[b[1]:]
	}
	return strings.Join(toks, ",")
}

// sameOptions compares options token by token; * in want is any number.
func sameOptions(want, got string) bool {
	w, g := strings.Split(want, ","), strings.Split(got, ",")
	if len(w) != len(g) {
		return false
	}
	for i := range w {
		wf, gf := strings.Fields(w[i]), strings.Fields(g[i])
		if len(wf) != len(gf) {
			return false
		}
		for j := range wf {
			if wf[j] != gf[j] && wf[j] != "*" {
				return false
			}
		}
	}
	return true
}

// letters is the flags in the notation.
func letters(f tcp.Flags) string {
	var s string
	for _, r := range "SFRPUEC." {
		if f&flagLetters[r] != 0 {
			s += string(r)
		}
	}
	if s == "" {
		return "-"
	}
	return s
}

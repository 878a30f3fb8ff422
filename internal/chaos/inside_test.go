package chaos

import (
	"fmt"
	"reflect"

	"github.com/a644562b/portico/tcp"
)

// The inside of a TCB, as far as the invariants speak of it, read by reflection: package
// tcp hides it from its drivers, and what a test of tcp may see of it no other package
// can. Nothing is written. A field that has been renamed is a panic that names it.

// run is a run of the scoreboard; piece a piece, or a range, of out-of-order data.
type run struct {
	start, end tcp.Seq
	state      uint64
}

type piece struct {
	start, end tcp.Seq
	memory     int
}

// The states of a run, as in tcp/scoreboard.go.
const (
	runInFlight = iota
	runSacked
	runLost
)

// frtoProbe is the step of F-RTO in which new data go, as in tcp/undo.go.
const frtoProbe = 2

// The timers, as in tcp/timers.go; timerNames are what Info calls them.
const (
	timerProbe = iota
	timerRetransmit
	timerPersist
	timerDelayedAck
	timerReorder
	timerPace
	timerKeepAlive
	timerLife
	timerLinger
	timerAutocork
	numTimers
)

var timerNames = [numTimers]string{"probe", "retransmit", "persist", "delack", "reorder", "pace", "keepalive", "timewait", "linger", "autocork"}

// inside is a snapshot of it.
type inside struct {
	una, nxt, iss, rcvNxt, acked, adv, fin tcp.Seq

	runs                []run
	flight, sacked, out int // sums of the scoreboard: in flight, reported, lost
	dupBytes            int
	frto                int

	hasOOO         bool
	pieces, ranges []piece
	recent         []tcp.Seq
	bytes, memory  int

	timers  [numTimers]tcp.Time
	charged int
}

// path is the way to a field, resolved once.
type path []int

func to(names ...string) path {
	t, p := reflect.TypeFor[tcp.TCB](), path{}
	for _, n := range names {
		f, ok := t.FieldByName(n)
		if !ok {
			panic(fmt.Sprintf("package tcp has no field %v any more (%s in %v): bring inside_test.go up to date", names, n, t))
		}
		p, t = append(p, f.Index...), f.Type
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
	}
	return p
}

// in is the way to a field of a struct that is not the TCB.
func in(t reflect.Type, name string) int {
	f, ok := t.FieldByName(name)
	if !ok {
		panic(fmt.Sprintf("%v has no field %s any more: bring inside_test.go up to date", t, name))
	}
	return f.Index[0]
}

func elem(p path) reflect.Type {
	t := reflect.TypeFor[tcp.TCB]()
	for _, i := range p {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		t = t.Field(i).Type
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

var (
	pUna, pNxt, pISS          = to("snd", "una"), to("snd", "nxt"), to("snd", "iss")
	pRcvNxt, pAcked, pAdv     = to("rcv", "nxt"), to("rcv", "acked"), to("rcv", "adv")
	pFin                      = to("rcv", "fin")
	pRuns, pHead              = to("scoreboard", "runs"), to("scoreboard", "head")
	pFlight, pSacked, pLost   = to("scoreboard", "flightBytes"), to("scoreboard", "sackedBytes"), to("scoreboard", "lostBytes")
	pDupBytes, pFRTO          = to("recovery", "dupBytes"), to("recovery", "frto")
	pOOO, pCharged            = to("ooo"), to("charged")
	pWhen, pRun               = to("timers", "when"), to("timers", "run")
	tRun, tOOO                = elem(pRuns), elem(pOOO)
	fRunStart, fRunEnd, fRunS = in(tRun, "start"), in(tRun, "end"), in(tRun, "state")
	fPieces, fRanges          = in(tOOO, "pieces"), in(tOOO, "ranges")
	fRecent, fNRec            = in(tOOO, "recent"), in(tOOO, "nRec")
	fBytes, fMemory           = in(tOOO, "bytes"), in(tOOO, "memory")
	tPiece                    = tOOO.Field(fPieces).Type.Elem()
	fSeq, fB, fBlock          = in(tPiece, "seq"), in(tPiece, "b"), in(tPiece, "block")
	tBlock                    = tPiece.Field(fBlock).Type.Elem()
	fBlockB                   = in(tBlock, "B")
)

func (p path) of(v reflect.Value) reflect.Value {
	for _, i := range p {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

func (p path) seq(v reflect.Value) tcp.Seq { return tcp.Seq(p.of(v).Uint()) }
func (p path) int(v reflect.Value) int     { return int(p.of(v).Int()) }

// look takes the snapshot. s is used again for the slices.
func look(t *tcp.TCB, s *inside) {
	v := reflect.ValueOf(t).Elem()
	*s = inside{
		una: pUna.seq(v), nxt: pNxt.seq(v), iss: pISS.seq(v),
		rcvNxt: pRcvNxt.seq(v), acked: pAcked.seq(v), adv: pAdv.seq(v), fin: pFin.seq(v),
		flight: pFlight.int(v), sacked: pSacked.int(v), out: pLost.int(v),
		dupBytes: pDupBytes.int(v), frto: int(pFRTO.of(v).Uint()), charged: pCharged.int(v),
		runs: s.runs[:0], pieces: s.pieces[:0], ranges: s.ranges[:0], recent: s.recent[:0],
	}
	runs := pRuns.of(v)
	for i := pHead.int(v); i < runs.Len(); i++ {
		r := runs.Index(i)
		s.runs = append(s.runs, run{tcp.Seq(r.Field(fRunStart).Uint()), tcp.Seq(r.Field(fRunEnd).Uint()), r.Field(fRunS).Uint()})
	}
	when, run := pWhen.of(v), pRun.of(v).Uint()
	if when.Type().Elem().Len() != numTimers {
		panic("package tcp has other timers: bring inside_test.go up to date")
	}
	for i := range s.timers {
		if s.timers[i] = tcp.Never; run&(1<<i) != 0 {
			s.timers[i] = tcp.Time(when.Elem().Index(i).Int())
		}
	}
	if ooo := pOOO.of(v); !ooo.IsNil() {
		lookAtPieces(ooo.Elem(), s)
	}
}

func lookAtPieces(o reflect.Value, s *inside) {
	s.hasOOO = true
	s.bytes, s.memory = int(o.Field(fBytes).Int()), int(o.Field(fMemory).Int())
	for i, all := 0, o.Field(fPieces); i < all.Len(); i++ {
		p := all.Index(i)
		start := tcp.Seq(p.Field(fSeq).Uint())
		s.pieces = append(s.pieces, piece{start, start.Add(p.Field(fB).Len()), p.Field(fBlock).Elem().Field(fBlockB).Len()})
	}
	for i, all := 0, o.Field(fRanges); i < all.Len(); i++ {
		r := all.Index(i)
		s.ranges = append(s.ranges, piece{tcp.Seq(r.Field(0).Uint()), tcp.Seq(r.Field(1).Uint()), 0})
	}
	for i := range int(o.Field(fNRec).Uint()) {
		s.recent = append(s.recent, tcp.Seq(o.Field(fRecent).Index(i).Uint()))
	}
}

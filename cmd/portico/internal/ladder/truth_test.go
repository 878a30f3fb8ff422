package ladder

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/tcp"
)

// wirePair is two real ends on a wire without loss or delay. The recording is of one of
// them; the other's states are the truth that the ladder has to infer.
type wirePair struct {
	t        *testing.T
	now      tcp.Time
	ours     *tcp.TCB
	peer     *tcp.TCB
	rec      record.Conn
	inFlight []flight
	truth    []string // the states that the peer entered
}

type flight struct {
	to  *tcp.TCB
	seg tcp.Segment
}

func newWirePair(t *testing.T, passive bool) *wirePair {
	p := &wirePair{t: t, now: tcp.Time(time.Second), ours: new(tcp.TCB), peer: new(tcp.TCB)}
	a, b := netip.MustParseAddrPort("10.77.0.2:80"), netip.MustParseAddrPort("10.77.0.1:40112")
	p.rec.ID = record.ID{Serial: 1, Local: a, Remote: b, Passive: passive}
	params := tcp.Params{}.WithDefaults()
	setup := func(local, remote netip.AddrPort, iss tcp.Seq) tcp.Setup {
		return tcp.Setup{Params: &params, Endpoints: tcp.Endpoints{Local: local, Remote: remote}, MSS: 1460, ISS: iss}
	}
	ours, peer := setup(a, b, ourISN), setup(b, a, peerISN)
	ours.Observer = func(ev *tcp.Event) { p.rec.Observe(ev) }
	peer.Observer = p.peerObserver
	if passive {
		p.ours.OpenPassive(p.now, ours)
		p.peer.OpenActive(p.now, peer)
	} else {
		p.peer.OpenPassive(p.now, peer)
		p.ours.OpenActive(p.now, ours)
	}
	return p
}

func (p *wirePair) peerObserver(ev *tcp.Event) {
	if ev.Kind == tcp.EventState && ev.To != tcp.StateListen {
		p.truth = append(p.truth, ev.To.String())
	}
}

// collect asks both ends what they want to send.
func (p *wirePair) collect() {
	for _, dir := range []struct{ from, to *tcp.TCB }{{p.ours, p.peer}, {p.peer, p.ours}} {
		var out tcp.Out
		for dir.from.Next(p.now, &out) {
			seg := out.Segment
			for _, d := range out.Data {
				seg.Payload = append(seg.Payload, d...)
			}
			p.inFlight = append(p.inFlight, flight{dir.to, seg})
		}
	}
}

// run delivers one segment at a time until nobody has anything to say.
func (p *wirePair) run() {
	p.collect()
	for len(p.inFlight) > 0 {
		f := p.inFlight[0]
		p.inFlight = p.inFlight[1:]
		p.now = p.now.Add(time.Millisecond)
		f.to.Segment(p.now, &f.seg)
		p.collect()
	}
}

// rest lets the time pass that ACKs wait, and no other timer.
func (p *wirePair) rest() {
	p.now = p.now.Add(50 * time.Millisecond)
	p.ours.Tick(p.now)
	p.peer.Tick(p.now)
	p.run()
}

func (p *wirePair) write(c *tcp.TCB, n int) {
	if wrote, err := c.Write(p.now, make([]byte, n)); wrote != n || err != nil {
		p.t.Fatalf("Write: %d, %v", wrote, err)
	}
}

// Delayed ACKs would make the order of segments depend on timers; every scene moves so
// little that none is in the way, or rests.
func TestPeerStatesAreInferredAsTheyAre(t *testing.T) {
	scenes := map[string]func(*wirePair){
		"peer closes first": func(p *wirePair) {
			p.peer.CloseWrite(p.now)
			p.run()
			p.rest() // our FIN would bring the ACK of its own, and no row for FIN-WAIT-2
			p.ours.CloseWrite(p.now)
			p.run()
		},
		"we close first": func(p *wirePair) {
			p.ours.CloseWrite(p.now)
			p.run()
			p.peer.CloseWrite(p.now)
			p.run()
		},
		"half-close by the peer, data the other way": func(p *wirePair) {
			p.write(p.peer, 100)
			p.peer.CloseWrite(p.now)
			p.run()
			p.write(p.ours, 5000)
			p.run()
			p.ours.CloseWrite(p.now)
			p.run()
		},
		"half-close by us, data the other way": func(p *wirePair) {
			p.ours.CloseWrite(p.now)
			p.run()
			p.write(p.peer, 5000)
			p.peer.CloseWrite(p.now)
			p.run()
		},
		"peer aborts": func(p *wirePair) {
			p.peer.Abort(p.now)
			p.run()
		},
		"we abort": func(p *wirePair) {
			p.ours.Abort(p.now)
			p.run()
		},
	}
	for name, play := range scenes {
		for _, passive := range []bool{true, false} {
			p := newWirePair(t, passive)
			p.run()
			if p.ours.State() != tcp.StateEstablished || p.peer.State() != tcp.StateEstablished {
				t.Fatalf("%s: no handshake: %v, %v", name, p.ours.State(), p.peer.State())
			}
			play(p)
			p.compare(t, name, passive)
		}
	}
}

// compare holds the states that were inferred, each once for a stay in it, against those
// that the peer entered.
func (p *wirePair) compare(t *testing.T, name string, passive bool) {
	t.Helper()
	var inferred []string
	for _, ph := range Build(p.rec.Trace(), Config{}).Phases {
		for _, r := range ph.Rows {
			state := r.Client
			if !passive {
				state = r.Server
			}
			if len(inferred) == 0 || inferred[len(inferred)-1] != state {
				inferred = append(inferred, state)
			}
		}
	}
	if !slices.Equal(inferred, p.truth) {
		t.Errorf("%s (passive %v): inferred %v, was %v", name, passive, inferred, p.truth)
	}
}

func TestSimultaneousOpenAndCloseAreInferred(t *testing.T) {
	p := newWirePair(t, false)
	*p.peer, p.truth = tcp.TCB{}, nil
	params := tcp.Params{}.WithDefaults()
	p.peer.OpenActive(p.now, tcp.Setup{
		Params: &params, Endpoints: tcp.Endpoints{Local: p.rec.Remote, Remote: p.rec.Local}, MSS: 1460, ISS: peerISN,
		Observer: p.peerObserver,
	})
	p.run()
	p.ours.CloseWrite(p.now)
	p.peer.CloseWrite(p.now)
	p.run()
	if got := p.peer.State(); got != tcp.StateTimeWait {
		t.Fatalf("the peer is in %v", got)
	}
	l := Build(p.rec.Trace(), Config{})
	titles := []string{l.Phases[0].Title, l.Phases[len(l.Phases)-1].Title}
	if titles[0] != "simultaneous open" || titles[1] != "simultaneous close" {
		t.Errorf("the phases are %q", titles)
	}
	p.compare(t, "simultaneous", false)
}

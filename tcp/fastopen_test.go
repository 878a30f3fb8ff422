package tcp_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/a644562b/portico/tcp"
)

// cookieOfLength is a cookie that a server of another kind might give: read from the wire, as
// nobody else can make one.
func cookieOfLength(t testing.TB, n int) tcp.FastOpenCookie {
	t.Helper()
	header := append(make([]byte, 20), 34, byte(2+n))
	for i := range n {
		header = append(header, byte(i+1))
	}
	for len(header)%4 != 0 {
		header = append(header, 0)
	}
	header[12] = byte(len(header) / 4 << 4)
	var seg tcp.Segment
	if err := tcp.Parse(header, &seg); err != nil || !seg.Options.HasFastOpen || seg.Options.FastOpen.IsZero() != (n == 0) {
		t.Fatalf("a cookie of %d bytes is read as %+v: %v", n, seg.Options, err)
	}
	return seg.Options.FastOpen
}

// TestFastOpenOptionBesideAllOthers: what is written is what is read, the header is whole words
// and has room.
func TestFastOpenOptionBesideAllOthers(t *testing.T) {
	for n := 0; n <= 16; n += 2 {
		if n == 2 {
			continue // is none
		}
		o := tcp.Options{MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 1, TSEcr: 2, HasWScale: true, WScale: 7,
			HasFastOpen: true, FastOpen: cookieOfLength(t, n)}
		b := (&tcp.Segment{Flags: tcp.SYN, Options: o}).AppendHeader(nil)
		var got tcp.Segment
		if err := tcp.Parse(b, &got); err != nil || len(b) > tcp.MaxHeaderLen || len(b)%4 != 0 || got.Options != o {
			t.Errorf("a cookie of %d bytes: %d bytes of header are read as %+v: %v", n, len(b), got.Options, err)
		}
	}
}

// TestFastOpenCookieIsOfItsAddresses, its secret and its time.
func TestFastOpenCookieIsOfItsAddresses(t *testing.T) {
	a, b := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
	secret, now := [32]byte{1}, tcp.Time(time.Hour)
	cookie := tcp.MakeFastOpenCookie(now, &secret, a, b)
	check := func(now tcp.Time, secret [32]byte, a, b netip.Addr) (good, fresh bool) {
		return tcp.CheckFastOpenCookie(now, &secret, a, b, cookie)
	}
	if good, fresh := check(now, secret, a, b); !good || !fresh {
		t.Error("a good cookie is refused")
	}
	for what, good := range map[string]func() (bool, bool){
		"the other way round":  func() (bool, bool) { return check(now, secret, b, a) },
		"of another stack":     func() (bool, bool) { return check(now, [32]byte{2}, a, b) },
		"of another address":   func() (bool, bool) { return check(now, secret, a, b.Next()) },
		"after two days":       func() (bool, bool) { return check(now.Add(48*time.Hour), secret, a, b) },
		"no cookie is no good": func() (bool, bool) { return tcp.CheckFastOpenCookie(now, &secret, a, b, tcp.FastOpenCookie{}) },
	} {
		if ok, _ := good(); ok {
			t.Errorf("%s: taken", what)
		}
	}
}

// TestFastOpeningKeepsItsController: the controller starts when the data of the SYN is taken, as
// on Linux, for the answer may leave then. The ACK that completes the handshake acknowledges that
// as well, and what the window grew by is not taken back: two windows leave where there was one.
// Where the handshake was not clean it starts anew, with one segment (RFC 5681, section 3.1).
func TestFastOpeningKeepsItsController(t *testing.T) {
	for name, c := range map[string]struct {
		again bool // the SYN,ACK is sent again
		want  int  // segments that leave by the third segment of the handshake
	}{"a clean handshake": {false, 20}, "a SYN,ACK that was sent twice": {true, 1}} {
		t.Run(name, func(t *testing.T) {
			d := newDialogue(t)
			d.listenUp()
			d.tcb.AcceptFastOpen(tcp.FastOpenCookie{})
			d.send("S 0(10)")
			d.expect("S. 0 ack 11")
			d.write(40_000)
			var window []string // in which the SYN takes no room
			for i := range 10 {
				window = append(window, ". "+itoa(1+1000*i)+"(1000) ack 11")
			}
			d.expect(window...)
			if c.again {
				d.wait(time.Second)
				d.expect("@1s S. 0 ack 11")
			}
			d.wait(rtt)
			d.send(". 11 ack 10001")
			d.expectState(tcp.StateEstablished)
			if got := len(d.overheard()); got != c.want {
				d.fail("%d segments leave, want %d", got, c.want)
			}
		})
	}
}

// TestFastSYNsCross: a simultaneous open with data in both SYNs (section 4.2.2, at its end).
// Neither side takes the data then, and it comes again.
func TestFastSYNsCross(t *testing.T) {
	p := tcp.Params{}.WithDefaults()
	now := tcp.Time(time.Hour)
	ends := endsOfTwins
	var sides [2]tcp.TCB
	for i := range sides {
		sides[i].OpenActive(now, tcp.Setup{Params: &p, MSS: 1460, ISS: tcp.Seq(1000 * (i + 1)), Endpoints: ends})
		sides[i].OfferFastOpen(cookieOfLength(t, 8), 1460)
		if n, err := sides[i].Write(now, bytes.Repeat([]byte{byte('a' + i)}, 100)); n != 100 || err != nil {
			t.Fatal(n, err)
		}
		ends.Local, ends.Remote = ends.Remote, ends.Local
	}
	// A wire of 10 ms: what both say at one time crosses.
	for range 1000 {
		var said [2][][]byte
		for i := range sides {
			var out tcp.Out
			for sides[i].Next(now, &out) {
				said[i] = append(said[i], append(out.Segment.AppendHeader(nil), bytes.Join(out.Data, nil)...))
			}
		}
		now = now.Add(10 * time.Millisecond)
		for i := range sides {
			sides[i].Tick(now)
			for _, b := range said[1-i] {
				var seg tcp.Segment
				if err := tcp.Parse(b, &seg); err != nil {
					t.Fatal(err)
				}
				sides[i].Segment(now, &seg)
			}
		}
	}
	for i := range sides {
		b := make([]byte, 200)
		n, err := sides[i].Read(now, b)
		if err != nil || string(b[:n]) != string(bytes.Repeat([]byte{byte('b' - i)}, 100)) {
			t.Errorf("side %d in %v reads %q, %v", i, sides[i].State(), b[:n], err)
		}
	}
}

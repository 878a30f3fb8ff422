package stack

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"
)

// openedWith is a peer with an MSS that has connected to the listener, and the other end of
// its connection.
func (w *wire) openedWith(l *Listener, client, server netip.Addr, port, mss uint16) (*remote, *Conn) {
	w.t.Helper()
	r := w.newRemote(ap(client, port), ap(server, 80))
	r.options = []layers.TCPOption{{
		OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: binary.BigEndian.AppendUint16(nil, mss),
	}}
	r.say("S 0")
	r.options = nil
	r.hear("SA 0 1")
	r.say("A 1 1")
	r.hear()
	return r, accept(w.t, l)
}

// TestTimeoutHeedsWhatOthersHaveLearnt: what is in flight in segments that are too large for
// the path is sent again in those that get through, and not more of it than a timeout allows
// (RFC 5681, section 3.1).
func TestTimeoutHeedsWhatOthersHaveLearnt(t *testing.T) {
	for _, test := range []struct {
		client, server netip.Addr
		mss            uint16
		typ, code      uint8
	}{{client4, server4, 1460, 3, 4}, {client6, server6, 1440, 2, 0}} {
		withWire(t, serverConfig(), func(t *testing.T, w *wire) {
			listener, err := w.s.Listen("tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			l := listener.(*Listener)
			_, told := w.openedWith(l, test.client, test.server, 40001, test.mss)
			_, busy := w.openedWith(l, test.client, test.server, 40002, test.mss)
			busy.Write(make([]byte, test.mss))
			if got := w.sizes(); got != "1500" {
				t.Fatalf("packets of %s bytes before the error", got)
			}
			told.Write(make([]byte, test.mss))
			synctest.Wait()
			w.raw(icmpError(test.typ, test.code, 1300, (<-w.sent)[:100]))
			w.sizes()
			told.SetLinger(0)
			told.Close() // it does not retransmit any more
			w.sizes()
			<-time.After(250 * time.Millisecond)
			if got := w.sizes(); got != "1300" {
				t.Errorf("packets of %s bytes are sent again, want 1300", got)
			}
		})
	}
}

// Package ladder draws what happened to a connection: one row a segment, both ends'
// states after it, sequence numbers relative to the two initial ones, and beside it
// what there is to say. It draws from a recording (package record), for people
// (WriteText) and for programs (the types marshal to JSON and back).
//
// Only one end is ours. Its states are known; the other end's are inferred from the
// segments (RFC 9293, figure 5, applied to what it sent and to what we sent it) and
// are marked so. The package knows nothing of where recordings come from.
package ladder

import (
	"net/netip"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/record"
)

// Ladder is the whole picture.
type Ladder struct {
	// Serial is the connection's number, as `portico ss` and `portico trace` list it.
	Serial uint64 `json:"serial"`
	// Client opened the connection and stands on the left; Server on the right.
	Client End `json:"client"`
	Server End `json:"server"`
	// Totals count all segments, shown or not.
	Totals record.Totals `json:"totals"`
	// TimeWait is 2·MSL of our end, in nanoseconds.
	TimeWait time.Duration `json:"time_wait_ns"`
	Phases   []Phase       `json:"phases"`
}

// End is one end of the connection.
type End struct {
	Name string         `json:"name"`
	Addr netip.AddrPort `json:"addr"`
	// Inferred: its states are worked out from the segments, not known.
	Inferred bool `json:"inferred"`
	// ISN is the initial sequence number as it was on the wire, Symbol the letter that
	// stands for it; HasISN false where its SYN was not seen.
	ISN    uint32 `json:"isn"`
	HasISN bool   `json:"has_isn"`
	Symbol string `json:"symbol"`
	// Initial is the state before the first segment.
	Initial string `json:"initial_state"`
}

// Phase is a part of the connection's life.
type Phase struct {
	Title string `json:"title"`
	Rows  []Row  `json:"rows"`
}

// Row is a segment, a change of state without one, or a gap in the recording.
type Row struct {
	// At is the time since the first row, in nanoseconds.
	At time.Duration `json:"at_ns"`
	// From is who sent the segment, "client" or "server"; empty when there is none.
	From    string   `json:"from,omitempty"`
	Segment *Segment `json:"segment,omitempty"`
	// Client and Server are the states of both ends after this row.
	Client string      `json:"client_state"`
	Server string      `json:"server_state"`
	Notes  []string    `json:"notes,omitempty"`
	Gap    *record.Gap `json:"left_out,omitempty"`
	// Plain: nothing worth a person's attention, so a run of such rows may be summed
	// up when space is short.
	Plain bool `json:"plain,omitempty"`
	// label stands for a run of rows that has been summed up.
	label string
}

// The values of Row.From.
const (
	FromClient = "client"
	FromServer = "server"
)

// Segment is a segment with its numbers worked out.
type Segment struct {
	Flags string `json:"flags"`
	// Seq and Ack are as on the wire; SeqRel and AckRel the same relative to the
	// initial numbers, "x+1" for one.
	Seq    uint32 `json:"seq"`
	SeqRel string `json:"seq_rel"`
	Ack    uint32 `json:"ack,omitempty"`
	AckRel string `json:"ack_rel,omitempty"`
	// Len is the data in bytes, Packets how many packets carry it on the wire.
	Len     int `json:"len"`
	Packets int `json:"packets"`
	// Window is in bytes, scaled.
	Window int `json:"window"`
	// Options are the options as people write them: "mss 1460", "ws 7", "sack", "ts" in a
	// SYN; SACK blocks elsewhere.
	Options []string `json:"options,omitempty"`
	// Retransmission: it was sent before (known of ours, inferred of the peer's);
	// Reason says why, where it is known.
	Retransmission bool   `json:"retransmission,omitempty"`
	Reason         string `json:"reason,omitempty"`
	// Dropped says why we did not accept it; empty if we did.
	Dropped string `json:"dropped,omitempty"`
}

// Config says what the recording does not.
type Config struct {
	// Ours and Peer are the names of the two ends. Default "portico" and "peer".
	Ours, Peer string
	// MSL is our maximum segment lifetime. Default 30 s.
	MSL time.Duration
}

func (c Config) withDefaults() Config {
	if c.Ours == "" {
		c.Ours = "portico"
	}
	if c.Peer == "" {
		c.Peer = "peer"
	}
	if c.MSL == 0 {
		c.MSL = 30 * time.Second
	}
	return c
}

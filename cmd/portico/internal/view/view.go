// Package view is what programs see of a running stack: the JSON of `portico ss
// --json`, of the page /conns and of the API. Every type marshals and unmarshals to
// the same value, so that the command reads what the daemon wrote.
package view

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/a644562b/portico/stack"
	"github.com/a644562b/portico/tcp"
)

// Info is a tcp.Info that can be read back: its state is the RFC's name of it.
type Info struct {
	tcp.Info
	State string `json:"state"`
}

// NewInfo wraps a snapshot.
func NewInfo(i tcp.Info) Info { return Info{Info: i, State: i.State.String()} }

// Connection is one TCP connection.
type Connection struct {
	Serial uint64 `json:"serial"` // unique in the life of the daemon
	Orphan bool   `json:"orphan"` // the application has closed it
	Info
}

// Listener is a TCP port that is listened on.
type Listener struct {
	Local   netip.AddrPort `json:"local"`
	Queued  int            `json:"queued"` // connections that wait to be accepted
	Backlog int            `json:"backlog"`
}

// PacketSocket is a UDP socket. Remote is not valid while it is not connected.
type PacketSocket struct {
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"`
	Queued int            `json:"queued"` // bytes that wait to be read
	Drops  uint64         `json:"drops"`
}

// Sockets are all of them.
type Sockets struct {
	Connections []Connection   `json:"connections"`
	Listeners   []Listener     `json:"listeners"`
	Packets     []PacketSocket `json:"packets"`
}

// Host is the part of a stack that is looked at.
type Host interface {
	Conns() []stack.ConnInfo
	Listeners() []stack.ListenerInfo
	PacketConns() []stack.PacketInfo
	Stats() stack.Stats
}

// Connections lists the TCP connections, oldest first. It is never nil.
func Connections(h Host) []Connection {
	infos := h.Conns()
	conns := make([]Connection, len(infos))
	for i, c := range infos {
		conns[i] = Connection{Serial: c.Serial, Orphan: c.Orphan, Info: NewInfo(c.Info)}
	}
	slices.SortFunc(conns, func(a, b Connection) int { return cmp.Compare(a.Serial, b.Serial) })
	return conns
}

// Listeners lists the TCP ports listened on, by address. It is never nil.
func Listeners(h Host) []Listener {
	infos := h.Listeners()
	ls := make([]Listener, len(infos))
	for i, l := range infos {
		ls[i] = Listener{Local: l.Local, Queued: l.Queued, Backlog: l.Backlog}
	}
	slices.SortFunc(ls, func(a, b Listener) int { return a.Local.Compare(b.Local) })
	return ls
}

// Packets lists the UDP sockets, by address. It is never nil.
func Packets(h Host) []PacketSocket {
	infos := h.PacketConns()
	ps := make([]PacketSocket, len(infos))
	for i, p := range infos {
		ps[i] = PacketSocket{Local: p.Local, Remote: p.Remote, Queued: p.Queued, Drops: p.Drops}
	}
	slices.SortFunc(ps, func(a, b PacketSocket) int {
		return cmp.Or(a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	return ps
}

// All lists everything.
func All(h Host) Sockets {
	return Sockets{Connections: Connections(h), Listeners: Listeners(h), Packets: Packets(h)}
}

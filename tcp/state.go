package tcp

// State is one of the eleven states of a connection (RFC 9293, section 3.3.2).
//
//	                           +---------+ ---------\      active OPEN
//	                           |  CLOSED |            \    -----------
//	                           +---------+<---------\   \   create TCB
//	                             |     ^              \   \  snd SYN
//	                passive OPEN |     |   CLOSE        \   \
//	                ------------ |     | ----------       \   \
//	                 create TCB  |     | delete TCB         \   \
//	                             V     |                      \   \
//	         rcv RST (passive) +---------+            CLOSE    |    \
//	      -------------------->|  LISTEN |          ---------- |     |
//	     |                     +---------+          delete TCB |     |
//	     |          rcv SYN      |     |     SEND              |     |
//	     |         -----------   |     |    -------            |     V
//	+---------+    snd SYN,ACK  /       \   snd SYN          +---------+
//	|         |<-----------------       ------------------>  |         |
//	|   SYN   |                    rcv SYN                   |   SYN   |
//	|   RCVD  |<-----------------------------------------------  SENT  |
//	|         |                  snd SYN,ACK                 |         |
//	|         |------------------           -----------------|         |
//	+---------+   rcv ACK of SYN  \       /  rcv SYN,ACK     +---------+
//	     |         --------------  |     |   -----------
//	     |                x        |     |     snd ACK
//	     |                         V     V
//	     |  CLOSE                +---------+
//	     | -------               |  ESTAB  |
//	     | snd FIN               +---------+
//	     |                CLOSE    |     |    rcv FIN
//	     V               -------   |     |    -------
//	+---------+          snd FIN  /       \   snd ACK       +---------+
//	|  FIN    |<----------------          ---------------->|  CLOSE  |
//	| WAIT-1  |------------------                          |   WAIT  |
//	+---------+          rcv FIN  \                         +---------+
//	  | rcv ACK of FIN   -------   |                         CLOSE  |
//	  | --------------   snd ACK   |                        ------- |
//	  V        x                   V                        snd FIN V
//	+---------+               +---------+                   +---------+
//	|FINWAIT-2|               | CLOSING |                   | LAST-ACK|
//	+---------+               +---------+                   +---------+
//	  |              rcv ACK of FIN |                rcv ACK of FIN |
//	  |  rcv FIN     -------------- |    Timeout=2MSL -------------- |
//	  |  -------            x       V    ------------        x      V
//	   \ snd ACK              +---------+delete TCB          +---------+
//	     -------------------->|TIME-WAIT|------------------->| CLOSED  |
//	                          +---------+                    +---------+
type State uint8

const (
	StateClosed State = iota
	StateListen
	StateSynSent
	StateSynReceived
	StateEstablished
	StateFinWait1
	StateFinWait2
	StateCloseWait
	StateClosing
	StateLastAck
	StateTimeWait
)

var stateNames = [...]string{
	StateClosed:      "CLOSED",
	StateListen:      "LISTEN",
	StateSynSent:     "SYN-SENT",
	StateSynReceived: "SYN-RECEIVED",
	StateEstablished: "ESTABLISHED",
	StateFinWait1:    "FIN-WAIT-1",
	StateFinWait2:    "FIN-WAIT-2",
	StateCloseWait:   "CLOSE-WAIT",
	StateClosing:     "CLOSING",
	StateLastAck:     "LAST-ACK",
	StateTimeWait:    "TIME-WAIT",
}

// String is the state's name as the RFC writes it.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "UNKNOWN"
}

// MarshalText is String, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Synchronized reports whether both sides have agreed on sequence numbers: the
// states from ESTABLISHED on (RFC 9293, section 3.5.2, group 3).
func (s State) Synchronized() bool { return s >= StateEstablished }

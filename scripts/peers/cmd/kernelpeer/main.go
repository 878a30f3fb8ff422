// Command kernelpeer offers the services over the kernel's own TCP stack, as what the
// others are held against. It takes the same flags as other peers; run.sh gives it one
// end of a veth pair in a namespace of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/a644562b/portico/scripts/peers/internal/debughttp"
	"github.com/a644562b/portico/scripts/peers/internal/services"
)

func main() {
	flag.String("tun", "", "ignored")
	addr := flag.String("addr", "10.77.0.2/24", "own address with prefix length")
	flag.Int("mtu", 1500, "ignored: the interface's MTU counts")
	cc := flag.String("cc", "cubic", "congestion control (TCP_CONGESTION), empty for the system's")
	debug := flag.String("debug", "", "address of the pprof HTTP server, none if empty")
	flag.Parse()
	p, err := netip.ParsePrefix(*addr)
	if err != nil {
		log.Fatal(err)
	}
	debughttp.Serve(*debug)
	services.Extra = counters
	err = services.Start(func(port int) (net.Listener, error) {
		lc := net.ListenConfig{Control: services.SetCC(*cc)}
		return lc.Listen(context.Background(), "tcp", netip.AddrPortFrom(p.Addr(), uint16(port)).String())
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready kernel")
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT)
	<-ch
}

// counterNames are the counters of this network namespace that are reported, by the
// names that the other peers use for them.
var counterNames = map[string]string{
	"Tcp.RetransSegs": "retransmits", "TcpExt.TCPTimeouts": "timeouts",
	"TcpExt.TCPSackRecovery": "recoveries", "TcpExt.TCPLossProbes": "tail_probes",
	"TcpExt.TCPDSACKRecv": "dsacks_in", "TcpExt.TCPDSACKOldSent": "duplicates_in",
	"TcpExt.TCPOFOQueue": "out_of_order_in", "TcpExt.TCPDSACKUndo": "undos",
}

// counters reads what the kernel counts: the peer is alone in its namespace.
func counters() map[string]any {
	out := map[string]any{}
	for _, file := range []string{"/proc/self/net/snmp", "/proc/self/net/netstat"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// Lines come in pairs: names, then values, each behind the protocol's name.
		lines := strings.Split(string(b), "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
			for k := 1; k < min(len(names), len(values)); k++ {
				if name := counterNames[strings.TrimSuffix(names[0], ":")+"."+names[k]]; name != "" {
					v, _ := strconv.ParseFloat(values[k], 64)
					out[name] = v
				}
			}
		}
	}
	return out
}

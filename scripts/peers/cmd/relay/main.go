// Command relay is a long wire between two TUN devices: what the kernel sends into one
// comes out of the other after a fixed delay, and back. Loss at random, a rate and a queue
// are optional, for each direction alike or on its own. It prints "ready" when the devices
// are there, and its counters as one line of JSON when it is told to end by SIGTERM or
// SIGINT.
//
// Packets are at most as long as the MTU: the devices offer no offloads. Each direction is
// one thread that waits in ppoll(2) for packets and for the next deadline. It wakes at most
// once a tick, for at 20,000 packets a second a wake-up for each costs more than the packets
// do; so close packets move in small bunches, as behind an interface that coalesces
// interrupts, and packets with nothing before them are on time. Run it by
// `chrt -f 1`, all of it and not only those threads, for they wait for the others at times:
// a wire does not wait for its turn when the machine is busy, and without it packets were
// seen to be hundreds of milliseconds late. The counters say how late they were.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/a644562b/portico/scripts/peers/internal/rawtun"
	"github.com/a644562b/portico/scripts/peers/internal/wire"
)

// settings are the flags.
type settings struct {
	a, b           string
	mtu            int
	lossAB, lossBA float64
	tick           time.Duration
	wire           wire.Config
}

func parse() (settings, error) {
	var s settings
	var rate float64
	flag.StringVar(&s.a, "a", "ra", "`name` of one TUN")
	flag.StringVar(&s.b, "b", "rb", "`name` of the other")
	flag.IntVar(&s.mtu, "mtu", 1500, "largest packet in `bytes`; the interfaces' MTU must not be larger")
	flag.DurationVar(&s.wire.Delay, "delay", 10*time.Millisecond, "one-way delay")
	flag.Float64Var(&s.lossAB, "loss-ab", 0, "`percent` of the packets lost from a to b")
	flag.Float64Var(&s.lossBA, "loss-ba", 0, "`percent` of the packets lost from b to a")
	flag.Uint64Var(&s.wire.Seed, "seed", 1, "of the losses")
	flag.Float64Var(&rate, "rate", 0, "`Mbit/s` of each direction; 0: no bottleneck")
	flag.IntVar(&s.wire.Queue, "queue", 0, "`bytes` at the bottleneck; 0: what the rate sends in one round trip")
	flag.DurationVar(&s.tick, "tick", 200*time.Microsecond, "packets that follow within this time may be moved together, and be late by it")
	flag.Parse()
	s.wire.Rate = int64(rate * 1e6)
	if flag.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if s.mtu < 68 || s.mtu > 65535 {
		return s, fmt.Errorf("--mtu %d: choose 68 to 65535", s.mtu)
	}
	return s, nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("relay: ")
	s, err := parse()
	if err != nil {
		log.Print(err)
		os.Exit(2)
	}
	if err := run(s); err != nil {
		log.Fatal(err)
	}
}

func run(s settings) error {
	ab, ba := s.wire, s.wire
	ab.Loss, ba.Loss = s.lossAB/100, s.lossBA/100
	ba.Seed = ^s.wire.Seed
	there, err1 := wire.New(ab)
	back, err2 := wire.New(ba)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	a, err1 := open(s.a)
	b, err2 := open(s.b)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	var stop [2]int
	if err := unix.Pipe2(stop[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	runtime.GOMAXPROCS(4) // each lane keeps one to itself
	start := time.Now()
	lanes := []*lane{
		{name: "ab", in: a, out: b, stop: stop[0], start: start, tick: s.tick, wire: there, mtu: s.mtu},
		{name: "ba", in: b, out: a, stop: stop[0], start: start, tick: s.tick, wire: back, mtu: s.mtu},
	}
	return serve(lanes, stop[1])
}

func open(name string) (int, error) {
	fd, err := rawtun.Open(name, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	return fd, err
}

// serve runs the lanes until a signal, or until one fails, and prints the counters.
func serve(lanes []*lane, stop int) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ended := make(chan error, len(lanes))
	for _, l := range lanes {
		go func() { ended <- l.run() }()
	}
	fmt.Println("ready")
	var failure error
	left := len(lanes)
	select {
	case <-signals:
	case failure = <-ended:
		left--
	}
	unix.Close(stop) // all lanes see the end of the pipe
	for range left {
		failure = errors.Join(failure, <-ended)
	}
	reports := map[string]report{}
	for _, l := range lanes {
		reports[l.name] = l.report()
	}
	return errors.Join(failure, json.NewEncoder(os.Stdout).Encode(reports))
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/api"
	"github.com/a644562b/portico/cmd/portico/internal/ladder"
	"github.com/a644562b/portico/cmd/portico/internal/node"
	"github.com/a644562b/portico/cmd/portico/internal/serve"
	"github.com/a644562b/portico/stack"
	"github.com/a644562b/portico/tcp"
	"github.com/spf13/cobra"
)

// shutdownGrace is how long connections get to finish after the first signal.
const shutdownGrace = 5 * time.Second

// minKeepAlive is long enough for a peer to answer before it is given up.
const minKeepAlive = 10 * time.Millisecond

// upFlags are the flags of `portico up`.
type upFlags struct {
	net       *netFlags
	services  string
	logLevel  string
	logFormat string
	api       string
	keepAlive time.Duration
	control   string
	ecn       string
	pacing    bool
	cookies   string
	ttl, dscp int
}

func newUp() *cobra.Command {
	f := &upFlags{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "make a TUN and serve on it until interrupted",
		Long: `Make a TUN interface, give the host its side of it, and be the host on the other
side until SIGINT or SIGTERM. Then connections get five seconds to finish (a second
signal ends them at once), and what was made is removed.`,
		Example: `  sudo portico up
  sudo portico up --addr 10.9.0.2/24 --serve http=:8080
  sudo portico up --addr 10.8.0.2/24 --tun tun1 --api unix:///run/second.sock   a second one
  sudo portico up --pcap wire.pcapng --log-level debug
  sudo portico up --pcap /dev/stdout | wireshark -k -i -`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return up(cmd, f) },
	}
	f.net = addNetFlags(cmd, "tun0", 77)
	fl := cmd.Flags()
	fl.StringVar(&f.services, "serve", serve.Default, "`services` and where they listen; empty for none")
	fl.StringVar(&f.api, "api", api.DefaultAddress(), "`address` of the socket that ss, stat and trace ask")
	fl.DurationVar(&f.keepAlive, "keepalive", 0, "probe a peer that was silent for this long, and give it up after three probes; 0: never")
	fl.StringVar(&f.control, "cc", "cubic", "congestion `control` of connections: cubic or newreno")
	fl.StringVar(&f.ecn, "ecn", "accept", "explicit congestion notification: accept it, ask for it, or off")
	fl.BoolVar(&f.pacing, "pacing", false, "spread what is sent over the round trip")
	fl.StringVar(&f.cookies, "syncookies", "full", "answer SYNs by SYN cookies when the SYN queue is `full`, always or never")
	fl.IntVar(&f.ttl, "ttl", 64, "`hops` that what is sent may take, 1 to 255")
	fl.IntVar(&f.dscp, "dscp", 0, "differentiated services `codepoint` of what is sent, 0 to 63")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fl.StringVar(&f.logFormat, "log-format", "text", "text, or json, also for the line that says that all is ready")
	return cmd
}

// tcp are the settings of TCP that the flags ask for.
func (f *upFlags) tcp(cmd *cobra.Command) (tcp.Params, error) {
	p := tcp.Params{Pacing: f.pacing}
	var err error
	if p.Congestion, err = tcp.CongestionByName(f.control); err != nil {
		return p, usagef(cmd, "--cc %q is none of cubic, newreno", f.control)
	}
	switch f.ecn {
	case "accept":
		p.ECN = tcp.ECNAccept
	case "ask":
		p.ECN = tcp.ECNAsk
	case "off":
		p.ECN = tcp.ECNOff
	default:
		return p, usagef(cmd, "--ecn %q is none of accept, ask, off", f.ecn)
	}
	return p, nil
}

// synCookies is when SYN cookies answer.
func (f *upFlags) synCookies(cmd *cobra.Command) (stack.SYNCookies, error) {
	switch f.cookies {
	case "full":
		return stack.SYNCookiesWhenFull, nil
	case "always":
		return stack.SYNCookiesAlways, nil
	case "never":
		return stack.SYNCookiesNever, nil
	}
	return 0, usagef(cmd, "--syncookies %q is none of full, always, never", f.cookies)
}

// logger makes the logger that the flags ask for.
func (f *upFlags) logger(cmd *cobra.Command) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, usagef(cmd, "--log-level %q is none of debug, info, warn, error", f.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options)), nil
	}
	return nil, usagef(cmd, "--log-format %q is none of text, json", f.logFormat)
}

// up reads the flags, then runs the daemon.
func up(cmd *cobra.Command, f *upFlags) error {
	cfg, err := f.net.config(cmd)
	if err != nil {
		return err
	}
	if f.keepAlive != 0 && f.keepAlive < minKeepAlive {
		return usagef(cmd, "--keepalive %s is too short: choose 0 for never, or a time such as 30s", f.keepAlive)
	}
	specs, err := serve.ParseSpecs(f.services)
	if err != nil {
		return usagef(cmd, "--serve: %w", err)
	}
	socket, err := api.ParseAddress(f.api)
	if err != nil {
		return usagef(cmd, "--api: %w", err)
	}
	if cfg.Logger, err = f.logger(cmd); err != nil {
		return err
	}
	if f.ttl < 1 || f.ttl > 255 {
		return usagef(cmd, "--ttl %d is not within 1 to 255", f.ttl)
	}
	if f.dscp < 0 || f.dscp > 63 {
		return usagef(cmd, "--dscp %d is not within 0 to 63", f.dscp)
	}
	cfg.TTL, cfg.DSCP = uint8(f.ttl), uint8(f.dscp)
	cfg.KeepAlive = f.keepAlive
	if cfg.SYNCookies, err = f.synCookies(cmd); err != nil {
		return err
	}
	if cfg.TCP, err = f.tcp(cmd); err != nil {
		return err
	}
	if err := api.Check(socket); err != nil {
		return err
	}
	if f.net.pcap != "" {
		file, err := createPCAP(f.net.pcap)
		if err != nil {
			return err
		}
		defer file.Close()
		cfg.Capture = file
	}
	ready := func(tun string) { fmt.Fprintln(cmd.ErrOrStderr(), readyLine(cfg, tun, specs)) }
	if f.logFormat == "json" { // where a program reads, every line is JSON
		ready = func(tun string) { cfg.Logger.Info("ready", "device", tun, "addrs", cfg.Addrs, "serve", f.services) }
	}
	return runDaemon(cmd.Context(), cfg, specs, socket, ready)
}

// runDaemon serves until ctx ends or the device fails, and removes what it made. It calls ready with
// the name of the TUN when it can be reached.
func runDaemon(ctx context.Context, cfg node.Config, specs []serve.Spec, socket string, ready func(tun string)) error {
	n, err := node.Open(cfg)
	if err != nil {
		return err
	}
	services, err := serve.Start(serve.Config{Network: n.Stack, Host: n.Stack, Logger: cfg.Logger}, specs)
	if err != nil {
		n.Stack.Close()
		return err
	}
	answers, err := api.Serve(socket, api.Source{Host: n.Stack, Now: n.Stack.Now, Book: n.Book, Ladder: ladder.Config{}})
	if err != nil {
		services.Close()
		n.Stack.Close()
		return err
	}
	ready(n.Name)
	select {
	case <-ctx.Done():
	case <-n.Stack.Done():
	}
	// Whoever is told that a second signal does more may send it at once.
	again, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if ctx.Err() != nil {
		cfg.Logger.Info("closing; again to close at once")
	}
	return stopDaemon(again, cfg.Logger, n, services, answers)
}

// stopDaemon gives connections some time to finish, as long as the context lasts.
func stopDaemon(ctx context.Context, log *slog.Logger, n *node.Node, services *serve.Server, answers *api.Server) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownGrace)
	defer cancel()
	failure := n.Failure()
	services.Shutdown(ctx) // its error says that time was up
	n.Stack.Shutdown(ctx)  // likewise
	if ctx.Err() != nil {
		log.Info("not everything had finished", "error", context.Cause(ctx))
	}
	answers.Close()
	return failure
}

// readyLine says where the daemon is, and what to try.
func readyLine(cfg node.Config, name string, specs []serve.Spec) string {
	addrs := make([]string, len(cfg.Addrs))
	for i, p := range cfg.Addrs {
		addrs[i] = p.Addr().String()
	}
	line := fmt.Sprintf("portico: ready: %s on %s", strings.Join(addrs, ", "), name)
	if len(cfg.HostAddrs) == 0 {
		return line + fmt.Sprintf(" (it is down, and yours to give an address: ip address add ADDR/BITS dev %[1]s; ip link set %[1]s up)", name)
	}
	if url := siteURL(cfg.Addrs, name, specs); url != "" {
		line += fmt.Sprintf(" (try: curl %s)", url)
	}
	return line
}

// siteURL is the address of the web site as the host on the other side of the TUN has to write
// it; "" if none is served, or at a port that is still to be chosen.
func siteURL(addrs []netip.Prefix, tun string, specs []serve.Spec) string {
	for _, s := range specs {
		if s.Service != "http" {
			continue
		}
		host, service, _ := net.SplitHostPort(s.Address)
		port, err := net.LookupPort("tcp", service)
		if err != nil || port == 0 {
			return ""
		}
		if host == "" || host == "0.0.0.0" || host == "::" {
			host = addrs[0].Addr().String()
		}
		if a, err := netip.ParseAddr(host); err == nil && a.IsLinkLocalUnicast() && a.Is6() {
			host = a.WithZone(tun).String()
		}
		authority := strings.TrimSuffix(net.JoinHostPort(host, strconv.Itoa(port)), ":80")
		if strings.Contains(authority, "%") {
			return "'http://" + authority + "/'" // brackets and a zone are not for the shell to read
		}
		return "http://" + authority + "/"
	}
	return ""
}

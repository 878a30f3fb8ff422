package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/a644562b/portico/link/pipe"
)

// The same calls are made of package net on loopback and of a stack, and what they return
// is compared: texts, what errors.Is finds, timeouts, the fields of OpErrors and the types
// behind them.

// api is what both offer.
type api struct {
	listen func(network, address string) (net.Listener, error)
	dial   func(ctx context.Context, local net.Addr, network, address string) (net.Conn, error)
}

func netAPI() api {
	return api{
		listen: net.Listen,
		dial: func(ctx context.Context, local net.Addr, network, address string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: local, KeepAlive: -1}).DialContext(ctx, network, address)
		},
	}
}

func stackAPI(s *Stack) api {
	return api{
		listen: s.Listen,
		dial: func(ctx context.Context, local net.Addr, network, address string) (net.Conn, error) {
			return (&Dialer{Stack: s, LocalAddr: local}).DialContext(ctx, network, address)
		},
	}
}

// fullConn are the methods of *net.TCPConn that a *Conn has too.
type fullConn interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	CloseRead() error
	CloseWrite() error
	SetNoDelay(bool) error
	SetKeepAlive(bool) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
	SetKeepAlivePeriod(time.Duration) error
	SetLinger(int) error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

var (
	_ fullConn = (*net.TCPConn)(nil)
	_ fullConn = (*Conn)(nil)
)

// log is what a script has been told.
type log struct {
	t     *testing.T
	lines []string
	names map[string]string // addresses by the name that lines have for them
}

// call notes what a call returned.
func (l *log) call(name string, results ...any) {
	line := name + " ="
	for _, r := range results {
		switch r := r.(type) {
		case nil:
			line += " nil"
		case error:
			line += " " + l.error(r)
		default:
			line += fmt.Sprintf(" %v", r)
		}
	}
	l.lines = append(l.lines, line)
}

// known are what errors.Is is asked for.
var known = []error{
	io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled, context.DeadlineExceeded,
	syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE, syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.ENOTCONN,
	syscall.EINVAL, syscall.ENETUNREACH, syscall.ETIMEDOUT, syscall.ECONNABORTED,
}

// error puts all that a program can find out about an error into a line.
func (l *log) error(err error) string {
	text := err.Error()
	for addr, name := range l.names {
		text = strings.ReplaceAll(text, addr, name)
	}
	out := fmt.Sprintf("%q", text)
	for _, k := range known {
		if errors.Is(err, k) {
			out += fmt.Sprintf(" is(%v)", k)
		}
	}
	var ne net.Error
	if errors.As(err, &ne) {
		out += fmt.Sprintf(" timeout(%v)", ne.Timeout())
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e := e.(type) {
		case *net.OpError:
			out += fmt.Sprintf(" OpError(%s %s %v %v)", e.Op, e.Net, reflect.TypeOf(e.Source), reflect.TypeOf(e.Addr))
		case *os.SyscallError:
			out += " SyscallError(" + e.Syscall + ")"
		case syscall.Errno, *net.AddrError, net.UnknownNetworkError, *net.ParseError:
			out += fmt.Sprintf(" %T", e)
		}
	}
	return out
}

// pair is a connection whose ends have names in the log.
func (l *log) pair(a api) (client, server fullConn) {
	l.t.Helper()
	ln, err := a.listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	defer ln.Close()
	c, err := a.dial(context.Background(), nil, "tcp", ln.Addr().String())
	if err != nil {
		l.t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close(); s.Close() })
	l.names[c.LocalAddr().String()], l.names[s.LocalAddr().String()] = "CLIENT", "SERVER"
	return c.(fullConn), s.(fullConn)
}

var (
	buf  = make([]byte, 16)
	past = time.Unix(1, 0)
)

// noted returns the results of a call as a slice, so that they fit behind others.
func noted[T any](v T, err error) []any { return []any{v, err} }

// scripts are the calls. Nothing in them depends on how long anything takes.
var scripts = map[string]func(l *log, a api){
	"after Close": func(l *log, a api) {
		c, _ := l.pair(a)
		l.call("Close", c.Close())
		l.call("Read", noted(c.Read(buf))...)
		l.call("Read of nothing", noted(c.Read(nil))...)
		l.call("Write", noted(c.Write(buf))...)
		l.call("Write of nothing", noted(c.Write(nil))...)
		l.call("ReadFrom", noted(c.ReadFrom(strings.NewReader("x")))...)
		l.call("WriteTo", noted(c.WriteTo(io.Discard))...)
		l.call("Close", c.Close())
		l.call("CloseRead", c.CloseRead())
		l.call("CloseWrite", c.CloseWrite())
		l.call("SetDeadline", c.SetDeadline(past))
		l.call("SetReadDeadline", c.SetReadDeadline(past))
		l.call("SetWriteDeadline", c.SetWriteDeadline(time.Time{}))
		l.call("SetNoDelay", c.SetNoDelay(true))
		l.call("SetKeepAlive", c.SetKeepAlive(true))
		l.call("SetLinger", c.SetLinger(0))
		l.call("SetReadBuffer", c.SetReadBuffer(1<<16))
		l.call("SetWriteBuffer", c.SetWriteBuffer(1<<16))
		l.call("LocalAddr", c.LocalAddr() != nil, c.LocalAddr().Network())
	},
	"after the peer's FIN": func(l *log, a api) {
		c, s := l.pair(a)
		mustWrite(l.t, s, "last words")
		s.CloseWrite()
		l.call("Read", noted(c.Read(buf))...)
		l.call("Read", noted(c.Read(buf))...)
		l.call("Read again", noted(c.Read(buf))...)
		l.call("Read of nothing", noted(c.Read(nil))...)
		l.call("WriteTo", noted(c.WriteTo(io.Discard))...)
		l.call("Write", noted(c.Write(buf[:3]))...)
		l.call("CloseWrite", c.CloseWrite())
		l.call("Write", noted(c.Write(buf))...)
		l.call("Close", c.Close())
	},
	"after the peer's RST": func(l *log, a api) {
		for _, first := range []string{"Read", "WriteTo"} {
			c, s := l.pair(a)
			s.SetLinger(0)
			s.Close()
			switch first {
			case "Read":
				l.call("Read", noted(c.Read(buf))...)
			case "WriteTo":
				l.call("WriteTo", noted(c.WriteTo(io.Discard))...)
			}
			l.call("Close", c.Close())
		}
	},
	"Write after CloseWrite": func(l *log, a api) {
		c, s := l.pair(a)
		l.call("CloseWrite", c.CloseWrite())
		l.call("Write", noted(c.Write(buf))...)
		l.call("ReadFrom", noted(c.ReadFrom(strings.NewReader("x")))...)
		l.call("CloseWrite again", c.CloseWrite())
		l.call("the peer's Read", noted(s.Read(buf))...)
		mustWrite(l.t, s, "answer")
		l.call("Read", noted(c.Read(buf))...)
	},
	"Read after CloseRead": func(l *log, a api) {
		c, s := l.pair(a)
		l.call("CloseRead", c.CloseRead())
		l.call("Read", noted(c.Read(buf))...)
		l.call("CloseRead again", c.CloseRead())
		l.call("Write", noted(c.Write(buf[:3]))...)
		l.call("the peer's Read", noted(s.Read(buf))...)
	},
	"Close in both halves": func(l *log, a api) {
		c, s := l.pair(a)
		l.call("CloseWrite", c.CloseWrite())
		l.call("the peer's Read", noted(s.Read(buf))...)
		l.call("the peer's CloseWrite", s.CloseWrite())
		l.call("Read", noted(c.Read(buf))...)
		l.call("CloseRead", c.CloseRead())
		l.call("CloseWrite", c.CloseWrite())
		l.call("Close", c.Close())
		l.call("Close again", c.Close())
	},
	"deadlines in the past": func(l *log, a api) {
		c, s := l.pair(a)
		mustWrite(l.t, s, "here")
		l.call("SetDeadline", c.SetDeadline(past))
		l.call("Read", noted(c.Read(buf))...)
		l.call("Read of nothing", noted(c.Read(nil))...)
		l.call("Write", noted(c.Write(buf))...)
		l.call("Write of nothing", noted(c.Write(nil))...)
		l.call("ReadFrom", noted(c.ReadFrom(strings.NewReader("x")))...)
		l.call("WriteTo", noted(c.WriteTo(io.Discard))...)
		l.call("SetReadDeadline", c.SetReadDeadline(time.Time{}))
		l.call("Read", noted(c.Read(buf))...)
		l.call("Write", noted(c.Write(buf))...)
		l.call("SetWriteDeadline", c.SetWriteDeadline(time.Now().Add(time.Hour)))
		l.call("Write", noted(c.Write(buf))...)
		l.call("CloseWrite", c.CloseWrite())
		l.call("Close", c.Close())
	},
	"deadlines that pass": func(l *log, a api) {
		c, _ := l.pair(a)
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		l.call("Read", noted(c.Read(buf))...)
		large := make([]byte, 64<<20)
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := c.Write(large)
		l.call("Write", n < len(large), err)
		c.SetDeadline(time.Time{})
	},
	"Close of a Read that waits": func(l *log, a api) {
		c, _ := l.pair(a)
		ended := make(chan []any)
		go func() { ended <- noted(c.Read(buf)) }()
		l.call("SetReadDeadline", c.SetReadDeadline(time.Now().Add(time.Hour)))
		l.call("Close", c.Close())
		l.call("Read", (<-ended)...)
	},
	"empty reads and writes": func(l *log, a api) {
		c, s := l.pair(a)
		l.call("Read", noted(c.Read(nil))...)
		l.call("Write", noted(c.Write(nil))...)
		l.call("Write", noted(c.Write([]byte{}))...)
		l.call("ReadFrom", noted(c.ReadFrom(strings.NewReader("")))...)
		mustWrite(l.t, c, "x")
		l.call("the peer's Read", noted(s.Read(buf))...)
	},
	"net.Buffers": func(l *log, a api) {
		c, s := l.pair(a)
		v := net.Buffers{[]byte("one"), nil, []byte("two"), {}, []byte("three")}
		l.call("WriteTo", noted(v.WriteTo(c))...)
		l.call("left", len(v))
		c.CloseWrite()
		got, err := io.ReadAll(s)
		l.call("the peer's ReadAll", string(got), err)
		v = net.Buffers{[]byte("one"), []byte("two")}
		l.call("WriteTo after CloseWrite", noted(v.WriteTo(c))...)
		l.call("left", len(v))
		v = nil
		l.call("WriteTo of nothing", noted(v.WriteTo(c))...)
	},
	"a listener": func(l *log, a api) {
		ln, err := a.listen("tcp", "127.0.0.1:0")
		if err != nil {
			l.t.Fatal(err)
		}
		l.names[ln.Addr().String()] = "LISTENER"
		_, err = a.listen("tcp", ln.Addr().String())
		l.call("Listen twice", err)
		dl := ln.(interface{ SetDeadline(time.Time) error })
		l.call("SetDeadline", dl.SetDeadline(past))
		_, err = ln.Accept()
		l.call("Accept", err)
		l.call("SetDeadline", dl.SetDeadline(time.Time{}))
		ended := make(chan error)
		go func() {
			_, err := ln.Accept()
			ended <- err
		}()
		c, err := a.dial(context.Background(), nil, "tcp", ln.Addr().String())
		l.call("Dial", err)
		l.call("Accept", <-ended)
		defer c.Close()
		l.call("Close", ln.Close())
		_, err = ln.Accept()
		l.call("Accept", err)
		l.call("Close", ln.Close())
		l.call("SetDeadline", dl.SetDeadline(past))
		l.call("Addr", ln.Addr() != nil)
		_, err = a.dial(context.Background(), nil, "tcp", ln.Addr().String())
		l.call("Dial", err)
		ln, err = a.listen("tcp", ln.Addr().String())
		l.call("Listen again", err)
		ln.Close()
	},
	"bad addresses": func(l *log, a api) {
		for _, bad := range [][2]string{
			{"tcp", ""}, {"tcp", "127.0.0.1"}, {"tcp", "127.0.0.1:66666"}, {"tcp", "[::1"}, {"tcp", "::1:80"}, {"tcp", "127.0.0.1:-1"},
			{"tcp4", "[::1]:80"}, {"tcp6", "127.0.0.1:80"}, {"quic", "127.0.0.1:80"}, {"", "127.0.0.1:80"},
		} {
			_, err := a.dial(context.Background(), nil, bad[0], bad[1])
			l.call("Dial "+bad[0]+" "+bad[1], err)
			if bad[1] == "" { // is any address to listen at
				continue
			}
			_, err = a.listen(bad[0], bad[1])
			l.call("Listen "+bad[0]+" "+bad[1], err)
		}
		_, err := a.listen("tcp", "192.0.2.1:0")
		l.call("Listen at a strange address", err)
		_, err = a.listen("udp", "127.0.0.1:0")
		l.call("Listen for datagrams", err)
	},
	"local addresses": func(l *log, a api) {
		c, s := l.pair(a)
		ctx := context.Background()
		_, err := a.dial(ctx, c.LocalAddr(), "tcp", c.RemoteAddr().String())
		l.call("Dial from a pair in use", err)
		_, err = a.dial(ctx, &net.UDPAddr{}, "tcp", s.LocalAddr().String())
		l.call("Dial from a UDP address", err)
		_, err = a.dial(ctx, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, "tcp", s.LocalAddr().String())
		l.call("Dial from a strange address", err)
		_, err = a.dial(ctx, &net.TCPAddr{IP: net.IPv6loopback}, "tcp", s.LocalAddr().String())
		l.call("Dial from the other family", err)
	},
	"contexts that have ended": func(l *log, a api) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := a.dial(ctx, nil, "tcp", "127.0.0.1:1")
		l.call("Dial", err)
		ctx, cancel = context.WithDeadline(context.Background(), past)
		defer cancel()
		_, err = a.dial(ctx, nil, "tcp", "127.0.0.1:1")
		l.call("Dial", err)
	},
	"Close by many": func(l *log, a api) {
		c, s := l.pair(a)
		var wg sync.WaitGroup
		var mu sync.Mutex
		succeeded := 0
		for range 16 {
			wg.Go(func() {
				c.CloseWrite()
				c.CloseRead()
				err := c.Close()
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					succeeded++
				} else if !errors.Is(err, net.ErrClosed) {
					l.call("Close", err)
				}
			})
		}
		wg.Wait()
		l.call("Close succeeds", succeeded)
		l.call("the peer's Read", noted(s.Read(buf))...)
	},
	"a large transfer": func(l *log, a api) {
		c, s := l.pair(a)
		data := bytes.Repeat([]byte("0123456789"), 100_000)
		ended := make(chan []any)
		go func() {
			n, err := c.ReadFrom(bytes.NewReader(data))
			c.CloseWrite()
			ended <- []any{n, err}
		}()
		var got bytes.Buffer
		l.call("WriteTo", noted(s.WriteTo(&got))...)
		l.call("ReadFrom", (<-ended)...)
		l.call("the same", bytes.Equal(got.Bytes(), data))
	},
}

// otherwise are the lines in which a stack differs from net on purpose: what it says, by
// what net says.
var otherwise = map[string]string{
	// net has a way of its own for net.Buffers that is closed to others; WriteBuffers has
	// these errors.
	`WriteTo after CloseWrite = 0 "writev tcp CLIENT->SERVER: writev: broken pipe" is(broken pipe) timeout(false) ` +
		`OpError(writev tcp *net.TCPAddr *net.TCPAddr) SyscallError(writev) syscall.Errno`: //
	`WriteTo after CloseWrite = 0 "write tcp CLIENT->SERVER: write: broken pipe" is(broken pipe) timeout(false) ` +
		`OpError(write tcp *net.TCPAddr *net.TCPAddr) SyscallError(write) syscall.Errno`,
	// net leaves this one without its OpError.
	`SetDeadline = "use of closed network connection" is(use of closed network connection) timeout(false)`: //
	`SetDeadline = "set tcp LISTENER: use of closed network connection" is(use of closed network connection) timeout(false) ` +
		`OpError(set tcp <nil> *net.TCPAddr)`,
	// The deadline of a context is a deadline: os.ErrDeadlineExceeded besides.
	`Dial = "dial tcp 127.0.0.1:1: i/o timeout" is(context deadline exceeded) timeout(true) OpError(dial tcp <nil> *net.TCPAddr)`://
	`Dial = "dial tcp 127.0.0.1:1: i/o timeout" is(i/o timeout) is(context deadline exceeded) timeout(true) OpError(dial tcp <nil> *net.TCPAddr)`,
}

// TestCallsReturnWhatNetReturns makes the calls of every script both ways.
func TestCallsReturnWhatNetReturns(t *testing.T) {
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			run := func(a api) []string {
				l := &log{t: t, names: make(map[string]string)}
				script(l, a)
				return l.lines
			}
			want := run(netAPI())
			near, far := pipe.New(pipe.Config{})
			defer far.Close()
			s := newStack(t, near, serverConfig())
			defer s.Close()
			got := run(stackAPI(s))
			for i := range max(len(got), len(want)) {
				var g, w string
				if i < len(got) {
					g = got[i]
				}
				if i < len(want) {
					w = want[i]
				}
				if o, ok := otherwise[w]; ok {
					w = o
				}
				if g != w {
					t.Errorf("portico: %s\nnet:     %s", g, w)
				}
			}
		})
	}
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/ladder"
	"github.com/a644562b/portico/cmd/portico/internal/record"
	"github.com/a644562b/portico/cmd/portico/internal/view"
	"github.com/a644562b/portico/tcp"
)

// Source is what the API tells about.
type Source struct {
	Host view.Host
	// Now is the clock of Book's recordings.
	Now  func() tcp.Time
	Book *record.Book
	// Ladder says how to draw.
	Ladder ladder.Config
}

// Server answers on a unix socket until it is closed.
type Server struct {
	http    *http.Server
	path    string
	file    fs.FileInfo // the socket, as we made it
	running sync.WaitGroup
}

// Serve answers at the socket path. A socket that a dead daemon left behind is replaced;
// one that somebody answers is an error.
func Serve(path string, src Source) (*Server, error) {
	l, err := listen(path)
	if err != nil {
		return nil, err
	}
	s := &Server{path: path}
	if s.file, err = os.Lstat(path); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot make the socket %s: %w", path, err)
	}
	s.http = &http.Server{Handler: NewHandler(src), ReadHeaderTimeout: 10 * time.Second}
	s.running.Go(func() { s.http.Serve(l) }) // ends with ErrServerClosed
	return s, nil
}

// Check says whether a socket can be made at path, as far as can be told without making
// it.
func Check(path string) error {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return fmt.Errorf("another portico answers at %s: stop it, or choose another socket with --api", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s is there and is not a socket: remove it, or choose another path with --api", path)
	}
	return nil
}

// listen makes the socket in a directory that only we may enter, closes it to others and
// moves it to its place: nobody finds it open for a moment.
func listen(path string) (*net.UnixListener, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".portico-")
	if err != nil {
		return nil, fmt.Errorf("cannot make the socket %s: %w: choose another path with --api", path, cause(err))
	}
	defer os.Remove(dir)
	private := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: private, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot make the socket %s: %w: choose another path with --api", path, cause(err))
	}
	l.SetUnlinkOnClose(false) // it would look for it where it was
	if err = os.Chmod(private, 0o600); err == nil {
		err = os.Rename(private, path)
	}
	if err != nil {
		l.Close()
		os.Remove(private)
		return nil, fmt.Errorf("cannot make the socket %s: %w: choose another path with --api", path, cause(err))
	}
	return l, nil
}

// cause is the system's reason, without the calls and paths around it.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// Close removes the socket and returns when every answer under way is finished.
func (s *Server) Close() error {
	// A socket that another daemon has put in our place is not ours to remove.
	if info, err := os.Lstat(s.path); err == nil && os.SameFile(info, s.file) {
		os.Remove(s.path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	s.running.Wait()
	return err
}

// NewHandler is the API without its socket.
func NewHandler(src Source) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/sockets", func(w http.ResponseWriter, r *http.Request) { reply(w, view.All(src.Host)) })
	mux.HandleFunc("GET /v1/stats", func(w http.ResponseWriter, r *http.Request) { reply(w, src.stats()) })
	mux.HandleFunc("GET /v1/traces", func(w http.ResponseWriter, r *http.Request) { reply(w, src.traces()) })
	mux.HandleFunc("GET /v1/trace", func(w http.ResponseWriter, r *http.Request) {
		t, err := src.Book.Find(r.URL.Query().Get("conn"))
		if err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			json.NewEncoder(w).Encode(failure{err.Error()})
			return
		}
		reply(w, ladder.Build(t, src.Ladder))
	})
	return mux
}

// reply writes v; an error is the client's going away.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (src *Source) stats() []Counter {
	var list []Counter
	for name, value := range src.Host.Stats().All() {
		list = append(list, Counter{name, value})
	}
	return list
}

func (src *Source) traces() []Trace {
	list := src.Book.List()
	now := src.Now()
	traces := make([]Trace, len(list))
	for i, s := range list {
		traces[i] = Trace{
			Serial: s.Serial, State: s.State.String(), Local: s.Local, Remote: s.Remote, Passive: s.Passive,
			Age: now.Sub(s.Began), Idle: now.Sub(s.Last), Totals: s.Totals,
		}
	}
	return traces
}

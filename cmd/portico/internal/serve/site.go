package serve

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/view"
	"github.com/a644562b/portico/tcp"
)

// Conn is what the site wants to know of a connection; a *stack.Conn is one.
type Conn interface {
	Info() tcp.Info
}

// connKey is the key of a request's Conn in its context.
type connKey struct{}

// Limits of the HTTP server in time: a request's header must come within the first, and
// a connection that asks for nothing is closed after the second.
const (
	headerTimeout = 30 * time.Second
	idleTimeout   = 2 * time.Minute
)

// newSite is the HTTP server, not yet listening.
func newSite(cfg Config) *http.Server {
	return &http.Server{
		Handler:           NewHandler(cfg.Host),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		ConnState:         cfg.ConnState,
		ConnContext:       withConn,
	}
}

// withConn puts the connection into the context of its requests.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if conn, ok := c.(Conn); ok {
		return context.WithValue(ctx, connKey{}, conn)
	}
	return ctx
}

// NewHandler is the web site:
//
//	GET /           the visitor's own connection, as text or HTML
//	GET /bytes/N    N bytes (see Pattern), N up to MaxBytes
//	PUT, POST /sha256  the digest of what was sent
//	GET /conns      every connection as JSON
func NewHandler(host view.Host) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", compressed(newPage()))
	mux.HandleFunc("GET /bytes/{n}", serveBytes)
	mux.HandleFunc("PUT /sha256", serveDigest)
	mux.HandleFunc("POST /sha256", serveDigest)
	mux.Handle("GET /conns", compressed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.Encode(view.Connections(host)) // an error here is the visitor's going away
	})))
	return mux
}

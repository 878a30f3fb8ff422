// Package debughttp serves pprof on a kernel address, outside the stack under
// test, and what else a peer registers with http.HandleFunc.
package debughttp

import (
	"log"
	"net/http"
	_ "net/http/pprof"
)

// Serve starts the pprof server in the background if addr is not empty.
func Serve(addr string) {
	if addr == "" {
		return
	}
	go func() { log.Print(http.ListenAndServe(addr, nil)) }()
}

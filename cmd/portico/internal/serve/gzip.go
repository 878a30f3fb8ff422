package serve

import (
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// compressed serves h gzipped to those who accept it (RFC 9110, section 12.5.3).
func compressed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if !acceptsGzip(r.Header.Values("Accept-Encoding")) || r.Method == http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		defer zw.Close() // an error here is the visitor's going away
		h.ServeHTTP(&zipped{ResponseWriter: w, zw: zw}, r)
	})
}

// zipped is a ResponseWriter whose body goes through gzip.
type zipped struct {
	http.ResponseWriter
	zw *gzip.Writer
}

func (z *zipped) Write(p []byte) (int, error) { return z.zw.Write(p) }

// acceptsGzip reads Accept-Encoding: gzip counts if it is named with a weight that is
// not zero, or if "*" is and gzip is not named.
func acceptsGzip(values []string) bool {
	star := false
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			coding, params, _ := strings.Cut(item, ";")
			accepted := weight(params) > 0
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				return accepted
			case "*":
				star = accepted
			}
		}
	}
	return star
}

// weight is the value of q in the parameters of an item, 1 if there is none and 0 if it
// cannot be read.
func weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(param), "=")
		if !ok || !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0
		}
		return q
	}
	return 1
}

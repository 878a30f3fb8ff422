package serve

import (
	"container/list"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"sync"
)

// SessionCookie is the name of the cookie that holds a visitor's session.
const SessionCookie = "portico_session"

// maxSessions is how many sessions are remembered. The one that has not been used for
// the longest time makes room.
const maxSessions = 4096

// sessions count the visits of each session: the session layer, as far as HTTP has one.
type sessions struct {
	mu    sync.Mutex
	byID  map[string]*list.Element // of *session
	order list.List                // used last in front
}

type session struct {
	id     string
	visits int
}

func newSessions() *sessions { return &sessions{byID: make(map[string]*list.Element)} }

// visit counts a visit, and sets the cookie where a session begins. An identifier that
// we did not give, or have forgotten, begins a new one.
func (s *sessions) visit(w http.ResponseWriter, r *http.Request) session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, err := r.Cookie(SessionCookie); err == nil {
		if e, ok := s.byID[c.Value]; ok {
			s.order.MoveToFront(e)
			v := e.Value.(*session)
			v.visits++
			return *v
		}
	}
	v := &session{id: newSessionID(), visits: 1}
	s.byID[v.id] = s.order.PushFront(v)
	if s.order.Len() > maxSessions {
		delete(s.byID, s.order.Remove(s.order.Back()).(*session).id)
	}
	http.SetCookie(w, &http.Cookie{
		Name: SessionCookie, Value: v.id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	return *v
}

func newSessionID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

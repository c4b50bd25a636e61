package httpadapter_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
	"github.com/humanhours/humanhours-go/store/memory"
)

func TestNewRefusesABadConfig(t *testing.T) {
	tracker, err := humanhours.New(memory.New(), humanhours.Config{})
	require.NoError(t, err)
	keys := humanhours.NewKeys(memory.New(), humanhours.KeysConfig{})
	for want, try := range map[string]func() (*httpadapter.API, error){
		"Tracker": func() (*httpadapter.API, error) { return httpadapter.New(nil, httpadapter.Config{Keys: keys}) },
		"Keys":    func() (*httpadapter.API, error) { return httpadapter.New(tracker, httpadapter.Config{}) },
		"MaxBody": func() (*httpadapter.API, error) {
			return httpadapter.New(tracker, httpadapter.Config{Keys: keys, MaxBody: -1})
		},
		"MaxBatchBody": func() (*httpadapter.API, error) {
			return httpadapter.New(tracker, httpadapter.Config{Keys: keys, MaxBatchBody: -1})
		},
	} {
		api, err := try()
		require.ErrorContains(t, err, want)
		require.Nil(t, api)
	}
}

func TestBodyLimitsOfTheConfig(t *testing.T) {
	s := newServer(t, func(c *setup) { c.api.MaxBody, c.api.MaxBatchBody = 100, 200 })
	pad := func(body string, size int) string { return body + strings.Repeat(" ", size-len(body)) }
	s.track(pad(event(), 100)).fields(http.StatusCreated)
	p := s.track(pad(event(), 101)).refused(http.StatusRequestEntityTooLarge, humanhours.CodePayloadTooLarge, "")
	require.NotContains(t, p.Message, " 0 KiB")
	batch := `{"events":[` + event() + `]}`
	require.Equal(t, []int{201}, statuses(s.do(http.MethodPost, "/v1/track/batch", pad(batch, 200)).results()))
	s.do(http.MethodPost, "/v1/track/batch", pad(batch, 201)).refused(http.StatusRequestEntityTooLarge, humanhours.CodePayloadTooLarge, "")
}

// mounted is s with its API behind a router of the user's own.
func (s *server) mounted(build func(*httpadapter.API) http.Handler) *server {
	there := *s
	there.Handler = build(s.Handler.(*httpadapter.API))
	return &there
}

func TestMounting(t *testing.T) {
	mux := func(build func(*http.ServeMux, *httpadapter.API)) func(*httpadapter.API) http.Handler {
		return func(api *httpadapter.API) http.Handler {
			m := http.NewServeMux()
			build(m, api)
			return m
		}
	}
	for _, tc := range []struct {
		name                    string
		build                   func(*httpadapter.API) http.Handler
		track, batch, taskTypes string
	}{
		{"whole, under /v1/", mux(func(m *http.ServeMux, api *httpadapter.API) { m.Handle("/v1/", api) }),
			"/v1/track", "/v1/track/batch", "/v1/task-types"},
		{"whole, under both prefixes", mux(func(m *http.ServeMux, api *httpadapter.API) { m.Handle("/v1/", api); m.Handle("/api/v1/", api) }),
			"/api/v1/track", "/api/v1/track/batch", "/api/v1/task-types"},
		{"whole, behind StripPrefix", func(api *httpadapter.API) http.Handler { return http.StripPrefix("/tools/roi", api) },
			"/tools/roi/v1/track", "/tools/roi/v1/track/batch", "/tools/roi/v1/task-types"},
		{"one by one, with methods", mux(func(m *http.ServeMux, api *httpadapter.API) {
			m.HandleFunc("POST /events/{$}", api.Track)
			m.HandleFunc("POST /events/many", api.TrackBatch)
			m.HandleFunc("GET /catalogue", api.TaskTypes)
		}), "/events/", "/events/many", "/catalogue"},
		{"one by one, with wildcards", mux(func(m *http.ServeMux, api *httpadapter.API) {
			m.HandleFunc("POST example.com/{tenant}/track", api.Track)
			m.HandleFunc("POST /{tenant}/batch", api.TrackBatch)
			m.HandleFunc("/{tenant}/types", api.TaskTypes)
		}), "/acme/track", "/acme/batch", "/acme/types"},
		{"one by one, behind StripPrefix", mux(func(m *http.ServeMux, api *httpadapter.API) {
			m.Handle("/a/", http.StripPrefix("/a", http.HandlerFunc(api.Track)))
			m.Handle("/b/", http.StripPrefix("/b", http.HandlerFunc(api.TrackBatch)))
			m.Handle("/c/", http.StripPrefix("/c", http.HandlerFunc(api.TaskTypes)))
		}), "/a/x", "/b/x", "/c/x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t).mounted(tc.build)
			s.do(http.MethodPost, tc.track, event()).fields(http.StatusCreated)
			require.Equal(t, []int{201}, statuses(s.do(http.MethodPost, tc.batch, `{"events":[`+event()+`]}`).results()))
			require.Equal(t, http.StatusOK, s.do(http.MethodGet, tc.taskTypes, "").status)
			s.do(http.MethodPost, tc.track, event(), header("Authorization")).refused(http.StatusUnauthorized, humanhours.CodeMissingAuthorization, "")
			require.Len(t, s.stored("acme"), 2)
		})
	}
}

// TestHandlersCheckTheirMethod: mounted without a method in the pattern, they do it themselves.
func TestHandlersCheckTheirMethod(t *testing.T) {
	for allow, pick := range map[string]func(*httpadapter.API) http.Handler{
		"POST":      func(api *httpadapter.API) http.Handler { return http.HandlerFunc(api.Track) },
		"GET, HEAD": func(api *httpadapter.API) http.Handler { return http.HandlerFunc(api.PriceBook) },
	} {
		a := newServer(t).mounted(pick).do(http.MethodPut, "/anywhere", event())
		a.refused(http.StatusMethodNotAllowed, humanhours.CodeMethodNotAllowed, "")
		require.Equal(t, allow, a.header.Get("Allow"))
	}
}

// TestMiddlewareMayEditHeaders: what one answer's headers go through must not show in the next.
func TestMiddlewareMayEditHeaders(t *testing.T) {
	s := newServer(t)
	through := func(mediaType string) *server {
		return s.mounted(func(api *httpadapter.API) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.ServeHTTP(editor{w, mediaType}, r) })
		})
	}
	defer through("application/json").track(event()) // or the other tests would see it, too
	require.Equal(t, "application/vnd.acme+json", through("application/vnd.acme+json").track(event()).header.Get("Content-Type"))
	require.Equal(t, "application/json", s.track(event()).header.Get("Content-Type"))
}

// editor changes the first value of Content-Type in place, as header middleware may.
type editor struct {
	http.ResponseWriter
	mediaType string
}

func (e editor) WriteHeader(status int) {
	e.Header()["Content-Type"][0] = e.mediaType
	e.ResponseWriter.WriteHeader(status)
}

// TestDefaultLogger: an API without a logger uses the process's.
func TestDefaultLogger(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	captured := &logs{}
	slog.SetDefault(slog.New(slog.NewJSONHandler(captured, nil)))
	s := newServer(t, panicking("boom"), func(c *setup) { c.api.Logger = nil })
	s.track(event()).refused(http.StatusInternalServerError, humanhours.CodeInternal, "")
	require.Len(t, captured.lines(t), 1)
	require.Empty(t, s.log.String())
}

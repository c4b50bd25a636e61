// Package httpadapter serves a humanhours.Tracker over net/http, under /v1 and /api/v1:
//
//	api, err := httpadapter.New(tracker, httpadapter.Config{Keys: keys})
//	mux.Handle("/v1/", api)
//
// docs/api.md is the contract of what it serves. People with a router of their own mount API.Track and the other endpoints one by
// one; people with OIDC or mTLS set Config.Authenticate.
package httpadapter

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/humanhours/humanhours-go"
)

// Config configures an API. Keys or Authenticate is required.
type Config struct {
	// Keys checks API keys sent as "Authorization: Bearer hh_live_...". It is used unless Authenticate is set.
	Keys *humanhours.Keys
	// Authenticate says who sent a request, instead of Keys. It must not read the body. Errors should be *humanhours.Error with
	// CodeMissingAuthorization, CodeInvalidAPIKey, CodeKeyRevoked or CodeUnavailable; any other error is
	// answered as internal and logged. Defaults to API keys.
	Authenticate func(*http.Request) (humanhours.Caller, error)
	// MaxBody is the largest body of a request, in bytes. Defaults to 128 KiB.
	MaxBody int64
	// MaxBatchBody is the largest body of a batch, in bytes. Defaults to 8 MiB.
	MaxBatchBody int64
	// RequestID names a request in logs and in the X-Request-Id header of its answer. Defaults to the X-Request-Id
	// that came with it, if that is 1 to 128 letters, digits or -_.:/ signs, else a random text.
	RequestID func(*http.Request) string
	// Logger gets one line for each answer with a 5xx status. Defaults to slog.Default().
	Logger *slog.Logger
}

// API is the HTTP face of a Tracker. It is an http.Handler for all endpoints, and has a method for each one. It is
// safe for concurrent use. Make one with New.
type API struct {
	tracker *humanhours.Tracker
	cfg     Config
	mux     *http.ServeMux
	// endpoints are all but the OpenAPI document, by their paths below /v1.
	endpoints map[string]methods
	// admit says who sent a request, and that it may do what needs a scope. It does not read the body.
	admit func(*http.Request, humanhours.Scopes) (humanhours.Caller, error)
	// buffers are for answers to POST /v1/track, which are written and forgotten: a quarter of the memory that such a request would take.
	buffers sync.Pool
}

// New returns the API of a tracker.
func New(tracker *humanhours.Tracker, cfg Config) (*API, error) {
	if tracker == nil {
		return nil, errors.New("httpadapter: New needs a Tracker")
	}
	if cfg.Authenticate == nil {
		if cfg.Keys == nil {
			return nil, errors.New("httpadapter: set Config.Keys, or Config.Authenticate for another kind of credentials")
		}
		cfg.Authenticate = func(r *http.Request) (humanhours.Caller, error) { return authenticate(cfg.Keys, r) }
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 128 << 10
	}
	if cfg.MaxBatchBody == 0 {
		cfg.MaxBatchBody = 8 << 20
	}
	if cfg.MaxBody < 0 || cfg.MaxBatchBody < 0 {
		return nil, errors.New("httpadapter: Config.MaxBody and Config.MaxBatchBody must not be negative")
	}
	if cfg.RequestID == nil {
		cfg.RequestID = requestID
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &API{tracker: tracker, cfg: cfg, mux: http.NewServeMux(), buffers: sync.Pool{New: func() any { return new([]byte) }}}
	a.admit = func(r *http.Request, need humanhours.Scopes) (humanhours.Caller, error) {
		caller, err := cfg.Authenticate(r)
		if err != nil {
			return caller, err
		}
		return caller, tracker.Admit(r.Context(), caller, need)
	}
	a.endpoints = a.table()
	for _, prefix := range []string{"/v1", "/api/v1"} {
		for path, m := range a.endpoints {
			a.mux.HandleFunc(prefix+path, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, m) })
		}
		a.mux.HandleFunc(prefix+"/openapi.yaml", a.OpenAPI)
	}
	a.mux.HandleFunc("/", a.notFound)
	return a, nil
}

// table is what API serves by path: what a.endpoints holds, so that no request makes it again.
func (a *API) table() map[string]methods {
	return map[string]methods{
		"/track":       {http.MethodPost: {scope: humanhours.ScopeTrackWrite, maxBody: a.cfg.MaxBody, run: a.track}},
		"/track/batch": {http.MethodPost: {scope: humanhours.ScopeTrackWrite, maxBody: a.cfg.MaxBatchBody, run: a.trackBatch}},
		"/task-types":  {http.MethodGet: {run: a.taskTypes}, http.MethodPost: a.write(a.createTaskType)},
		"/task-types/{key}": {
			http.MethodGet:    {run: a.taskType},
			http.MethodPatch:  a.write(a.updateTaskType),
			http.MethodDelete: {scope: humanhours.ScopeOrgWrite, run: a.archiveTaskType},
		},
		"/task-types/{key}/restore": {http.MethodPost: {scope: humanhours.ScopeOrgWrite, run: a.restoreTaskType}},
		"/task-types/{key}/override": {
			http.MethodPost:   a.write(a.setOverride),
			http.MethodDelete: {scope: humanhours.ScopeOrgWrite, run: a.removeOverride},
		},
		"/agents":              {http.MethodGet: {scope: humanhours.ScopeReportsRead, run: a.agents}},
		"/agents/{id}":         {http.MethodPatch: a.write(a.updateAgent)},
		"/org":                 {http.MethodGet: {run: a.settings}, http.MethodPatch: a.write(a.updateSettings)},
		"/history":             {http.MethodGet: {scope: humanhours.ScopeReportsRead, run: a.history}},
		"/price-book":          {http.MethodGet: {run: a.priceBook}},
		"/reports/summary":     reading(a.summary),
		"/reports/time-saved":  reading(a.ranked("-" + humanhours.SortHours)),
		"/reports/cost-saved":  reading(a.ranked("-" + humanhours.SortCost)),
		"/reports/leaderboard": reading(a.leaderboard),
		"/reports/usage":       reading(a.usage),
		"/reports/export":      reading(a.export),
		"/events":              reading(a.events),
		"/events/reprice":      {http.MethodPost: a.write(a.repriceEvents)},
		"/events/{id}/void":    {http.MethodPost: a.amending(a.tracker.VoidEvent)},
		"/events/{id}/reprice": {http.MethodPost: a.amending(a.tracker.RepriceEvent)},
		"/events/{id}/redact":  {http.MethodPost: a.amending(a.tracker.RedactEvent)},
		"/events/{id}":         reading(a.event),
	}
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.dispatch(a.mux, w, r) }

func (a *API) dispatch(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	if p := r.URL.EscapedPath(); p != path.Clean(p) {
		a.notFound(w, r) // the mux would redirect, and a client would send its POST and its key twice
		return
	}
	mux.ServeHTTP(w, r)
}

// Track serves POST /v1/track: one event.
func (a *API) Track(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/track"])
}

// TrackBatch serves POST /v1/track/batch: up to 1000 events.
func (a *API) TrackBatch(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/track/batch"])
}

// TaskTypes serves /v1/task-types: GET is the catalogue as the caller's org sees it, POST makes a type of its own.
func (a *API) TaskTypes(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/task-types"])
}

// TaskType serves /v1/task-types/{key}, with the key in r.PathValue: GET one, PATCH and DELETE (archive) one of the org's own.
func (a *API) TaskType(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/task-types/{key}"])
}

// RestoreTaskType serves POST /v1/task-types/{key}/restore, with the key in r.PathValue: an archived type comes back.
func (a *API) RestoreTaskType(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/task-types/{key}/restore"])
}

// Override serves /v1/task-types/{key}/override, with the key in r.PathValue: POST sets the org's baseline of a built-in type, DELETE
// gives it the published one back.
func (a *API) Override(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/task-types/{key}/override"])
}

// Agents serves GET /v1/agents: every agent that has events or settings.
func (a *API) Agents(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/agents"])
}

// Agent serves PATCH /v1/agents/{id}, with the id in r.PathValue: its hourly rate and name.
func (a *API) Agent(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/agents/{id}"])
}

// Org serves /v1/org, the settings of the caller's org: GET and PATCH.
func (a *API) Org(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/org"])
}

// History serves GET /v1/history: who changed which assumption, when and why.
func (a *API) History(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/history"])
}

// PriceBook serves GET /v1/price-book: which prices are in force, and which models had none.
func (a *API) PriceBook(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/price-book"])
}

// Summary serves GET /v1/reports/summary: one page about a period.
func (a *API) Summary(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/reports/summary"])
}

// TimeSaved serves GET /v1/reports/time-saved: groups of events by the hours that they saved.
func (a *API) TimeSaved(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/reports/time-saved"])
}

// CostSaved serves GET /v1/reports/cost-saved: groups of events by the money that they saved.
func (a *API) CostSaved(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/reports/cost-saved"])
}

// Leaderboard serves GET /v1/reports/leaderboard: the ten groups of events with the most of a metric.
func (a *API) Leaderboard(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/reports/leaderboard"])
}

// Usage serves GET /v1/reports/usage: what the org has used of its plan this month.
func (a *API) Usage(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/reports/usage"])
}

// Export serves GET /v1/reports/export: the events of a period as CSV, however many there are.
func (a *API) Export(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/reports/export"])
}

// Events serves GET /v1/events: pages of events.
func (a *API) Events(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/events"])
}

// Event serves GET /v1/events/{id}, with the id in r.PathValue.
func (a *API) Event(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/events/{id}"])
}

// VoidEvent serves POST /v1/events/{id}/void, with the id in r.PathValue: the event counts no more.
func (a *API) VoidEvent(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/events/{id}/void"])
}

// RepriceEvent serves POST /v1/events/{id}/reprice, with the id in r.PathValue: an event without a run cost gets one by the current book.
func (a *API) RepriceEvent(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/events/{id}/reprice"])
}

// RepriceEvents serves POST /v1/events/reprice: likewise all events of a period that match.
func (a *API) RepriceEvents(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/events/reprice"])
}

// RedactEvent serves POST /v1/events/{id}/redact, with the id in r.PathValue: metadata and audit sample are erased.
func (a *API) RedactEvent(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, a.endpoints["/events/{id}/redact"])
}

// amending is an endpoint that corrects an event, and shows it.
func (a *API) amending(amend func(ctx context.Context, c humanhours.Caller, id, reason string) (humanhours.Event, error)) endpoint {
	e := a.write(a.amendEvent(amend))
	e.scope |= humanhours.ScopeReportsRead
	return e
}

// reading is an endpoint that shows numbers.
func reading(run func(context.Context, request) (reply, error)) methods {
	return methods{http.MethodGet: {scope: humanhours.ScopeReportsRead, run: run}}
}

// write is an endpoint that changes assumptions from a body.
func (a *API) write(run func(context.Context, request) (reply, error)) endpoint {
	return endpoint{scope: humanhours.ScopeOrgWrite, maxBody: a.cfg.MaxBody, run: run}
}

func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	id := a.begin(w, r)
	a.writeError(w, r, id, &humanhours.Error{
		Code: humanhours.CodeNotFound, Message: "there is no endpoint " + r.URL.Path, Hint: "docs/api.md lists the endpoints.",
	})
}

// methods are the endpoints of a path by HTTP method.
type methods map[string]endpoint

// of returns the endpoint of a method. HEAD is GET without the body.
func (m methods) of(method string) (endpoint, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	e, ok := m[method]
	return e, ok
}

// allowed lists the methods, as the Allow header does.
func (m methods) allowed() string {
	var list []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		if _, ok := m.of(method); ok {
			list = append(list, method)
		}
	}
	return strings.Join(list, ", ")
}

// endpoint is what differs between endpoints. What they share, and its order, is in serve.
type endpoint struct {
	scope   humanhours.Scopes
	maxBody int64 // 0: the endpoint takes no body
	run     func(ctx context.Context, req request) (reply, error)
}

// request is an HTTP request that was admitted.
type request struct {
	*http.Request
	id     string // of the request
	caller humanhours.Caller
	body   []byte
}

// reply is an answer that is ready to be written.
type reply struct {
	status           int
	replayed, differ bool   // Idempotency-Replayed, Idempotency-Mismatch
	etag             string // empty: none
	contentType      string // empty: JSON
	file             string // name for who saves the answer as a file; empty: it is none
	truncated        bool   // X-Report-Truncated, where the body cannot say so
	body             []byte
	lent             *[]byte // what body is in, if it goes back to API.buffers
	// stream writes the body instead, which is then too large to be held in memory. An error before it has written anything is answered as any other.
	stream func(io.Writer) error
}

// serve runs an endpoint: method, credentials, rate limit and scope before a byte of the body is read. Answers are
// written in one place, at the end, so that a panic before that can still be answered.
func (a *API) serve(w http.ResponseWriter, r *http.Request, m methods) {
	id := a.begin(w, r)
	answer, err := a.run(w, r, id, m)
	if err != nil {
		a.writeError(w, r, id, err)
		return
	}
	if answer.stream != nil {
		a.stream(w, r, id, answer)
		return
	}
	a.writeHeader(w, answer)
	_, err = w.Write(answer.body) // an error here means that the client is gone; who writes for it may still be at the body
	if err == nil && answer.lent != nil && cap(answer.body) <= maxBuffer {
		*answer.lent = answer.body[:0]
		a.buffers.Put(answer.lent)
	}
}

// writeHeader writes all of an answer but its body.
func (a *API) writeHeader(w http.ResponseWriter, answer reply) {
	h := w.Header()
	h.Set("Content-Type", cmp.Or(answer.contentType, contentType))
	if answer.replayed {
		h.Set("Idempotency-Replayed", "true")
	}
	if answer.differ {
		h.Set("Idempotency-Mismatch", "true")
	}
	if answer.etag != "" {
		h.Set("ETag", answer.etag)
	}
	if answer.truncated {
		h.Set("X-Report-Truncated", "true")
	}
	if answer.file != "" {
		h.Set("Content-Disposition", `attachment; filename="`+answer.file+`"`)
	}
	w.WriteHeader(answer.status)
}

const contentType = "application/json"

// run is serve without the writing. A panic becomes an error.
func (a *API) run(w http.ResponseWriter, r *http.Request, id string, m methods) (answer reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	e, ok := m.of(r.Method)
	if !ok {
		return reply{}, notAllowed(w, r, m)
	}
	caller, err := a.admit(r, e.scope)
	if e, ok := err.(*humanhours.Error); ok && e == nil {
		return reply{}, errors.New("httpadapter: the authentication that was configured returned a nil *humanhours.Error as an error")
	}
	if err != nil {
		return reply{}, err
	}
	req := request{Request: r, id: id, caller: caller}
	if e.maxBody > 0 {
		if req.body, err = readBody(w, r, e.maxBody); err != nil {
			return reply{}, err
		}
	}
	return e.run(r.Context(), req)
}

// begin names the request. If Config.RequestID panics, the request goes on under a name of ours.
func (a *API) begin(w http.ResponseWriter, r *http.Request) (id string) {
	defer func() {
		if p := recover(); p != nil {
			id = rand.Text()
			a.cfg.Logger.ErrorContext(r.Context(), "humanhours: Config.RequestID panicked",
				"request_id", id, "panic", p, "stack", string(debug.Stack()))
		}
		w.Header().Set("X-Request-Id", id)
	}()
	return a.cfg.RequestID(r)
}

// requestID is the default of Config.RequestID. What came from outside goes into logs and a header only if it is harmless.
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); len(id) > 0 && len(id) <= 128 && !strings.ContainsFunc(id, strange) {
		return id
	}
	return rand.Text()
}

func strange(c rune) bool {
	return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && !strings.ContainsRune("-_.:/", c)
}

// notAllowed sets the Allow header and returns the error that goes with it.
func notAllowed(w http.ResponseWriter, r *http.Request, m methods) error {
	w.Header().Set("Allow", m.allowed())
	return &humanhours.Error{
		Code: humanhours.CodeMethodNotAllowed, Message: r.Method + " is not allowed here", Hint: "Use " + m.allowed() + ".",
	}
}

// authenticate checks the API key in the Authorization header.
func authenticate(keys *humanhours.Keys, r *http.Request) (humanhours.Caller, error) {
	values := r.Header["Authorization"]
	if slices.Contains(values, "") {
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	}
	if len(values) == 0 {
		return humanhours.Caller{}, &humanhours.Error{
			Code: humanhours.CodeMissingAuthorization, Message: "the Authorization header is missing",
			Hint: "Send the header Authorization: Bearer hh_live_<8 characters>_<48 characters>.",
		}
	}
	scheme, key, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		key = "" // malformed, with the message that says what is expected
	}
	return keys.Authenticate(r.Context(), key)
}

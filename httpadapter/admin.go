package httpadapter

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/humanhours/humanhours-go"
)

// AdminConfig configures an Admin. Keys and Authorize are required.
type AdminConfig struct {
	Keys *humanhours.Keys
	// Authorize decides who may manage keys, nil being yes. API keys are not enough: whoever gets in here can make a key of any org. It must
	// not read the body. Errors should be *humanhours.Error with CodeMissingAuthorization, CodeInvalidAPIKey or CodeUnavailable; any other
	// error is answered as internal and logged.
	Authorize func(*http.Request) error
	// RequestID is as in Config.
	RequestID func(*http.Request) string
	// Logger gets one line for each answer with a 5xx status, and one for each key that is made or revoked. Defaults to slog.Default().
	Logger *slog.Logger
}

// Admin manages API keys over HTTP, under /admin/keys:
//
//	GET    /admin/keys?org=ID        the keys of an org, or all: never a secret
//	POST   /admin/keys               {"org","test","scopes"}: a new key, with its secret, once
//	POST   /admin/keys/{id}/rotate   a second key like that one; both work until the old one is revoked
//	DELETE /admin/keys/{id}          revokes a key
//
// It is no part of API: mount it where only operators can reach it. It is safe for concurrent use. Make one with NewAdmin.
type Admin struct {
	api  *API // for what all endpoints share
	keys *humanhours.Keys
	mux  *http.ServeMux
}

// NewAdmin returns an Admin.
func NewAdmin(cfg AdminConfig) (*Admin, error) {
	if cfg.Keys == nil || cfg.Authorize == nil {
		return nil, errors.New("httpadapter: NewAdmin needs AdminConfig.Keys and AdminConfig.Authorize")
	}
	if cfg.RequestID == nil {
		cfg.RequestID = requestID
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &Admin{keys: cfg.Keys, mux: http.NewServeMux(), api: &API{cfg: Config{RequestID: cfg.RequestID, Logger: cfg.Logger}}}
	a.api.admit = func(r *http.Request, _ humanhours.Scopes) (humanhours.Caller, error) {
		return humanhours.Caller{}, cfg.Authorize(r)
	}
	for path, m := range map[string]methods{
		"/admin/keys":             {http.MethodGet: {run: a.list}, http.MethodPost: {maxBody: maxAdminBody, run: a.create}},
		"/admin/keys/{id}":        {http.MethodDelete: {run: a.revoke}},
		"/admin/keys/{id}/rotate": {http.MethodPost: {run: a.rotate}},
	} {
		a.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store") // a secret is in some answers
			a.api.serve(w, r, m)
		})
	}
	a.mux.HandleFunc("/", a.api.notFound)
	return a, nil
}

const maxAdminBody = 16 << 10

// ServeHTTP implements http.Handler.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.api.dispatch(a.mux, w, r) }

// keyJSON is a key as operators see it.
type keyJSON struct {
	ID         string   `json:"id"`
	Org        string   `json:"org"`
	Test       bool     `json:"test"`
	Scopes     []string `json:"scopes"`
	CreatedAt  string   `json:"created_at"`
	LastUsedAt string   `json:"last_used_at,omitempty"` // to about a minute
	RevokedAt  string   `json:"revoked_at,omitempty"`
	Secret     string   `json:"secret,omitempty"` // the whole key, when it is made and never again
}

func newKeyJSON(k *humanhours.APIKey) keyJSON {
	return keyJSON{
		ID: k.ID, Org: k.Org, Test: k.Test, Scopes: k.Scopes.Names(),
		CreatedAt: instantJSON(k.CreatedAt), LastUsedAt: instantJSON(k.LastUsedAt), RevokedAt: instantJSON(k.RevokedAt),
	}
}

func (a *Admin) list(ctx context.Context, req request) (reply, error) {
	query, err := req.query()
	if err != nil {
		return reply{}, err
	}
	keys, err := a.keys.List(ctx, query.Get("org"))
	if err != nil {
		return reply{}, err
	}
	list := make([]keyJSON, len(keys))
	for i := range keys {
		list[i] = newKeyJSON(&keys[i])
	}
	return reply{status: http.StatusOK, body: encode(map[string][]keyJSON{"keys": list})}, nil
}

func (a *Admin) create(ctx context.Context, req request) (reply, error) {
	var w struct {
		Org    textField       `json:"org"`
		Test   json.RawMessage `json:"test"`
		Scopes json.RawMessage `json:"scopes"`
	}
	// A misspelt "scopes" would make a key that may do everything.
	if err := decodeOnly(req.body, &w, `"org", "test" and "scopes"`); err != nil {
		return reply{}, err
	}
	switch {
	case w.Org.fault != "":
		return reply{}, invalid("org", "org "+w.Org.fault)
	case strings.TrimSpace(w.Org.value) == "" || len(w.Org.value) > humanhours.MaxOrgLength:
		return reply{}, invalid("org", "org must be 1 to 255 bytes and not blank")
	}
	test := false
	switch string(w.Test) {
	case "", "null", "false":
	case "true":
		test = true
	default:
		return reply{}, invalid("test", "test must be true or false")
	}
	var scopes humanhours.Scopes
	if w.Scopes != nil && string(w.Scopes) != "null" {
		// The empty list would be all scopes, which is hardly what is meant.
		if err := json.Unmarshal(w.Scopes, &scopes); err != nil || scopes == 0 {
			return reply{}, invalid("scopes", `scopes must be a list of "track:write", "reports:read" and "org:write"; leave it out for all`)
		}
	}
	key, secret, err := a.keys.Create(ctx, w.Org.value, test, scopes)
	return a.made(ctx, req, key, secret, err)
}

func (a *Admin) rotate(ctx context.Context, req request) (reply, error) {
	key, secret, err := a.keys.Rotate(ctx, req.PathValue("id"))
	if errors.Is(err, humanhours.CodeKeyRevoked) { // of the caller's own key this would be a 401
		err = invalid("id", "the key has been revoked; make a new one")
	}
	return a.made(ctx, req, key, secret, err)
}

func (a *Admin) made(ctx context.Context, req request, key humanhours.APIKey, secret humanhours.Secret, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	a.api.cfg.Logger.InfoContext(ctx, "humanhours: an API key was made", "request_id", req.id, "key_id", key.ID, "org", key.Org)
	body := newKeyJSON(&key)
	body.Secret = secret.Reveal()
	return reply{status: http.StatusCreated, body: encode(body)}, nil
}

func (a *Admin) revoke(ctx context.Context, req request) (reply, error) {
	key, err := a.keys.Revoke(ctx, req.PathValue("id"))
	if err != nil {
		return reply{}, err
	}
	a.api.cfg.Logger.InfoContext(ctx, "humanhours: an API key was revoked", "request_id", req.id, "key_id", key.ID, "org", key.Org)
	return reply{status: http.StatusOK, body: encode(newKeyJSON(&key))}, nil
}

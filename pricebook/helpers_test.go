package pricebook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

var today = time.Date(2026, time.November, 25, 12, 0, 0, 0, time.UTC) // a Wednesday

func dec(s string) decimal.Decimal { return decimal.RequireFromString(s) }

func null(s string) decimal.NullDecimal {
	if s == "" {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(dec(s))
}

func n(i int64) humanhours.NullInt64 { return humanhours.Int64(i) }

// list writes a listing of rows, each a JSON object.
func list(rows ...string) string { return `{"data":[` + strings.Join(rows, ",") + `]}` }

// model writes a row whose pricing has these fields.
func model(id, pricing string) string { return `{"id":"` + id + `","pricing":{` + pricing + `}}` }

// nine are rows that are all right, for rules about parts of a list.
func nine(input string) []string {
	var rows []string
	for i := range 9 {
		rows = append(rows, model(fmt.Sprint("filler/", i), `"prompt":"`+input+`","completion":"0.00001"`))
	}
	return rows
}

// parse makes an edition of a listing.
func parse(t testing.TB, listing string) (*Static, []Held) {
	t.Helper()
	b, held, err := ParseListing([]byte(listing), today)
	require.NoError(t, err)
	return b, held
}

// good makes an edition of a listing that has no fault.
func good(t testing.TB, listing string) *Static {
	t.Helper()
	b, held := parse(t, listing)
	require.Empty(t, held)
	return b
}

func quote(t testing.TB, b humanhours.PriceBook, q humanhours.PriceQuery) humanhours.Quote {
	t.Helper()
	got, err := b.Quote(t.Context(), q)
	require.NoError(t, err)
	if got.Unpriced != "" {
		require.Equal(t, humanhours.Quote{Unpriced: got.Unpriced}, got, "a model without a price must not come with one")
	}
	return got
}

// input returns the price of input; "" if there is no price.
func input(t testing.TB, b humanhours.PriceBook, model string) string {
	t.Helper()
	return text(quote(t, b, humanhours.PriceQuery{Model: model, At: today}).Price.Input)
}

func text(d decimal.NullDecimal) string {
	if !d.Valid {
		return ""
	}
	return d.Decimal.String()
}

// cost is what a call costs, exactly, as a stored event computes it.
func cost(t testing.TB, b humanhours.PriceBook, model string, u humanhours.Usage) string {
	t.Helper()
	q := quote(t, b, humanhours.PriceQuery{Model: model, At: today, Usage: u})
	require.Empty(t, q.Unpriced)
	e := humanhours.Event{
		Usage: u, Credited: true, Scale: humanhours.Scale{Hours: 3, Money: 18},
		Cost: humanhours.RunCost{Source: humanhours.CostComputed, Price: q.Price},
	}
	return e.Recompute().AgentCost.Decimal.String()
}

// site is a feed whose answer the test sets.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	answer   http.HandlerFunc
	requests []*http.Request
}

func newSite(t testing.TB) *site {
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r)
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) set(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *site) say(body string) {
	s.set(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
}

func (s *site) seen() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// journal collects reports and log lines.
type journal struct {
	mu      sync.Mutex
	reports []Report
	log     strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.log.Write(p)
}

func (j *journal) report(r Report) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reports = append(j.reports, r)
}

func (j *journal) logged() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.log.String()
}

func (j *journal) last(t testing.TB) Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	require.NotEmpty(t, j.reports)
	return j.reports[len(j.reports)-1]
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// newBook is New for a test: at today, with a journal.
func newBook(t testing.TB, c Config) (*Book, *journal) {
	t.Helper()
	j := &journal{}
	if c.Clock == nil {
		c.Clock = func() time.Time { return today }
	}
	c.Logger, c.OnRefresh = j.logger(), j.report
	b, err := New(c)
	require.NoError(t, err)
	return b, j
}

// roundTripFunc is a transport that needs no network, for tests in a bubble of synctest.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func refresh(t testing.TB, b interface {
	Refresh(context.Context) (Report, error)
}) Report {
	t.Helper()
	r, err := b.Refresh(t.Context())
	require.NoError(t, err)
	return r
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/pricebook"
)

// feeds serves a price list of the models that the program knows and a new one, and exchange rates.
func feeds(t *testing.T) (prices, rates string) {
	t.Helper()
	known := pricebook.Snapshot()
	rows := []map[string]any{
		{"id": "example/new", "pricing": map[string]string{"prompt": "0.000002", "completion": "0.00001", "input_cache_read": "0.0000002"}},
	}
	for id := range known.Models() {
		price := map[string]string{"prompt": "-1", "completion": "-1"}
		if q, err := known.Quote(t.Context(), humanhours.PriceQuery{Model: id, Totals: true}); err == nil && q.Unpriced == "" {
			price = map[string]string{"prompt": q.Price.Input.Decimal.String(), "completion": q.Price.Output.Decimal.String()}
		}
		rows = append(rows, map[string]any{"id": id, "pricing": price})
	}
	listing, err := json.Marshal(map[string]any{"data": rows})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/prices" {
			_, _ = w.Write(listing)
			return
		}
		fmt.Fprintf(w, `<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref"><Cube>`+
			`<Cube time="%s"><Cube currency="USD" rate="1.25"/><Cube currency="GBP" rate="0.8"/></Cube></Cube></gesmes:Envelope>`, time.Now().UTC().Format(time.DateOnly))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/prices", server.URL + "/rates"
}

// priceBook asks for GET /v1/price-book.
func (s *running) priceBook(t *testing.T, key, query string) string {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, s.url+"/v1/price-book"+query, nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(answer))
	return string(answer)
}

func TestRefreshPrices(t *testing.T) {
	prices, rates := feeds(t)
	db := filepath.Join(t.TempDir(), "hours.db")
	s := start(t, "-db", db, "-refresh-prices", "-prices-url", prices, "-rates-url", rates)
	key := regexp.MustCompile(`hh_live_\S+`).FindString(s.stdout)
	require.Regexp(t, `price book  openrouter [0-9a-f]{12} of \S+, 615 models, fetched just now`, s.stdout)
	require.Regexp(t, `rates       ecb [0-9a-f]{12} of \S+, 3 currencies, fetched just now`, s.stdout)

	response, answer := s.post(t, key, strings.NewReader(`{"agent_id":"a","task_type":"email_classification","outcome":"success","model":"example/new",`+
		`"tokens_in":1000,"tokens_cache_read":5000,"tokens_out":200}`))
	require.Equal(t, http.StatusCreated, response.StatusCode, answer)
	// (1000 x 0.000002 + 5000 x 0.0000002 + 200 x 0.00001) USD at 0.8 EUR
	require.Contains(t, answer, `"agent_cost":0.004,"resolved_cost_source":"computed","cost_precision":"exact"`)
	require.Contains(t, answer, `"fx_rate":0.8,"fx_source":"ecb"`)
	s.post(t, key, strings.NewReader(`{"agent_id":"a","task_type":"email_classification","outcome":"success","model":"example/mew","tokens_in":1}`))
	answer = s.priceBook(t, key, "?model=example/new")
	require.Regexp(t, `^\{"source":"openrouter","version":"[0-9a-f]{12}","date":"[0-9-]+","fetched_at":"[^"]+","age_seconds":\d+,"models":615,`+
		`"model":\{"id":"example/new","price":\{"priced_as":"example/new","price_input_per_token":0.000002,.*\}\},`+
		`"unpriced":\[\{"model":"example/mew","unpriced_reason":"unknown_model","events":1,"last_received_at":"[^"]+"\}\]\}`, answer)
	require.NoError(t, s.stop())

	again := start(t, "-db", db)
	require.Contains(t, again.stdout, "615 models", "what was fetched is kept")
	require.NotContains(t, again.stderr.String(), "refreshed", "and nothing is fetched again")
}

// A first start needs no network, and neither does one that asks for it.
func TestRefreshPricesWithoutNetwork(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	s := start(t, "-refresh-prices", "-prices-url", closed.URL, "-rates-url", closed.URL)
	require.Contains(t, s.stdout, fmt.Sprintf("%d models", pricebook.Snapshot().Info().Models))
	require.Contains(t, s.stderr.String(), "refresh failed")
	key := regexp.MustCompile(`hh_live_\S+`).FindString(s.stdout)
	response, answer := s.post(t, key, strings.NewReader(example))
	require.Equal(t, http.StatusCreated, response.StatusCode, answer)
	require.NoError(t, s.stop())
}

// Feeds that hang, both of them, do not keep the server from starting.
func TestRefreshPricesDoesNotHoldUpTheStart(t *testing.T) {
	stop := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hangs.Close)
	t.Cleanup(func() { close(stop) })
	p, err := newPrices(priceFlags{pricesURL: hangs.URL, ratesURL: hangs.URL}, "", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan func())
	go func() { started <- p.start(ctx) }()
	select {
	case wait := <-started:
		cancel()
		wait()
	case <-time.After(4 * firstRefresh): // the clients give up after 30 seconds
		cancel()
		t.Fatal("the start waits for the feeds")
	}
}

func TestPriceFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"-prices-url needs -refresh-prices":            {"-prices-url", "http://127.0.0.1/"},
		"-rates-url needs -refresh-prices":             {"-rates-url", "http://127.0.0.1/"},
		"-prices-url: pricebook: Config.URL must be":   {"-refresh-prices", "-prices-url", "openrouter", "-db", inMemory},
		"-rates-url: pricebook: Config.URL must be an": {"-refresh-prices", "-rates-url", "ftp://x", "-db", inMemory},
	} {
		err := run(t.Context(), append([]string{"-addr", "127.0.0.1:0"}, args...), io.Discard, io.Discard)
		require.ErrorContains(t, err, want)
	}
}

package humanhours_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// noon is the time that test clocks show first.
var noon = time.Date(2026, time.May, 14, 12, 0, 0, 0, time.UTC)

// testClock stands still until it is moved. It shows the time of a place that is 14 hours ahead of UTC.
type testClock struct{ ns atomic.Int64 }

func newClock(at time.Time) *testClock {
	c := &testClock{}
	c.Set(at)
	return c
}

func (c *testClock) Now() time.Time {
	return time.Unix(0, c.ns.Load()).In(time.FixedZone("", 14*3600))
}
func (c *testClock) Set(at time.Time)        { c.ns.Store(at.UnixNano()) }
func (c *testClock) Advance(d time.Duration) { c.ns.Add(int64(d)) }

// testLog collects what is logged.
type testLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// world is a Tracker over a memory store that holds events, orgs and keys, with a clock at noon.
type world struct {
	*humanhours.Tracker
	store *memory.Store
	clock *testClock
	log   *testLog
}

// newWorld fills in what cfg leaves out. wrap puts itself between the Tracker and the store of its events.
func newWorld(t testing.TB, cfg humanhours.Config, wrap ...func(humanhours.Store) humanhours.Store) *world {
	t.Helper()
	w := &world{store: memory.New(), clock: newClock(noon), log: &testLog{}}
	if cfg.Orgs == nil {
		cfg.Orgs = w.store
	}
	if cfg.Clock == nil {
		cfg.Clock = w.clock.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = textLogger(w.log)
	}
	var store humanhours.Store = w.store
	for _, f := range wrap {
		store = f(store)
	}
	tracker, err := humanhours.New(store, cfg)
	require.NoError(t, err)
	w.Tracker = tracker
	return w
}

// setOrg changes the settings of an org.
func (w *world) setOrg(t testing.TB, id string, change func(*humanhours.Org)) {
	t.Helper()
	_, err := w.UpdateOrg(t.Context(), id, func(o *humanhours.Org) ([]humanhours.Change, error) {
		change(o)
		return nil, nil
	})
	require.NoError(t, err)
}

// track records a request that must succeed.
func (w *world) track(t testing.TB, c humanhours.Caller, r humanhours.TrackRequest) humanhours.Result {
	t.Helper()
	result, err := w.Track(t.Context(), c, r)
	require.NoError(t, err)
	return result
}

// trackOne records a request that must succeed in the default org and returns its event.
func (w *world) trackOne(t testing.TB, r humanhours.TrackRequest) humanhours.Event {
	t.Helper()
	return w.track(t, humanhours.Caller{}, r).Event
}

// stored returns the events of an org in the order of their receipt.
func (w *world) stored(t testing.TB, org string) []humanhours.Event {
	t.Helper()
	var events []humanhours.Event
	for e, err := range w.store.Events(context.Background(), humanhours.EventQuery{Org: org, Order: humanhours.ByReceived}) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

// usage returns how many events of an org count in the current month.
func (w *world) usage(t testing.TB, org string) int64 {
	t.Helper()
	n, err := w.store.Usage(t.Context(), org, humanhours.MonthOf(w.clock.Now()))
	require.NoError(t, err)
	return n
}

// defaultOrg is where a zero Caller lands.
const defaultOrg = "default"

// request returns the published example: 4 minutes of human work done in 4 seconds.
func request(edits ...func(*humanhours.TrackRequest)) humanhours.TrackRequest {
	r := humanhours.TrackRequest{
		AgentID: "support-bot", TaskType: "email_classification", Outcome: humanhours.OutcomeSuccess,
		AgentDuration: humanhours.Seconds(4 * time.Second),
	}
	for _, edit := range edits {
		edit(&r)
	}
	return r
}

// withKey returns the published example under an idempotency key.
func withKey(key string, edits ...func(*humanhours.TrackRequest)) humanhours.TrackRequest {
	r := request(edits...)
	r.IdempotencyKey = key
	return r
}

// priced returns the published example run on a model.
func priced(model string, in, out int64) humanhours.TrackRequest {
	return request(func(r *humanhours.TrackRequest) {
		r.Model, r.TokensIn, r.TokensOut = model, humanhours.Int64(in), humanhours.Int64(out)
	})
}

func dec(s string) decimal.Decimal { return decimal.RequireFromString(s) }

// null returns the absent number for the empty string.
func null(s string) decimal.NullDecimal {
	if s == "" {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(dec(s))
}

// text is the inverse of null.
func text(d decimal.NullDecimal) string {
	if !d.Valid {
		return ""
	}
	return d.Decimal.String()
}

// figures are the four results of an event in comparable form; an unknown agent cost is empty.
type figures struct{ hours, cost, agent, net string }

func figuresOf(roi humanhours.ROI) figures {
	return figures{roi.HoursSaved.String(), roi.CostSaved.String(), text(roi.AgentCost), roi.NetSaved.String()}
}

// rat returns the exact value of d.
func rat(d decimal.Decimal) *big.Rat {
	r := new(big.Rat).SetInt(d.Coefficient())
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(d.Exponent(), -d.Exponent()))), nil))
	if d.Exponent() < 0 {
		return r.Quo(r, scale)
	}
	return r.Mul(r, scale)
}

// requireError checks that err is an *Error of a code about a field.
func requireError(t testing.TB, err error, code humanhours.Code, field string) *humanhours.Error {
	t.Helper()
	require.Error(t, err)
	var e *humanhours.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, "%v", err)
	require.Equal(t, field, e.Field, "%v", err)
	assert.NotEmpty(t, e.Message)
	return e
}

// requireSame checks that two events are equal in every field, the encoding of each number included.
func requireSame(t testing.TB, want, got humanhours.Event) {
	t.Helper()
	require.Equal(t, want.Org, got.Org)
	require.Equal(t, string(want.AppendStored(nil)), string(got.AppendStored(nil)))
}

// book is a PriceBook by model. A model without an entry is unknown.
type book map[string]humanhours.Quote

func (b book) Quote(_ context.Context, q humanhours.PriceQuery) (humanhours.Quote, error) {
	if quote, ok := b[q.Model]; ok {
		return quote, nil
	}
	return humanhours.Quote{Unpriced: humanhours.UnpricedUnknownModel}, nil
}

// quote returns a price per token; an empty side has none.
func quote(in, out, currency string) humanhours.Quote {
	return humanhours.Quote{Price: humanhours.Price{
		Model: "vendor/model", Input: null(in), Output: null(out), Currency: currency,
		Source: "list", Version: "v7", Date: time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC),
	}}
}

// fullQuote returns prices in USD for everything that can have one.
func fullQuote(price func() string) humanhours.Quote {
	q := quote(price(), price(), "USD")
	p := &q.Price
	p.CacheRead, p.CacheWrite, p.CacheWrite1h, p.Reasoning, p.Audio = null(price()), null(price()), null(price()), null(price()), null(price())
	p.Image, p.WebSearch, p.Request = null(price()), null(price()), null(price())
	return q
}

// quoteFunc and rateFunc are ports made of one function.
type quoteFunc func(humanhours.PriceQuery) (humanhours.Quote, error)

func (f quoteFunc) Quote(_ context.Context, q humanhours.PriceQuery) (humanhours.Quote, error) {
	return f(q)
}

type rateFunc func(from, to string, at time.Time) (humanhours.ExchangeRate, bool, error)

func (f rateFunc) Rate(_ context.Context, from, to string, at time.Time) (humanhours.ExchangeRate, bool, error) {
	return f(from, to, at)
}

type limiterFunc func(humanhours.TakeQuery) (humanhours.Decision, error)

func (f limiterFunc) Take(_ context.Context, q humanhours.TakeQuery) (humanhours.Decision, error) {
	return f(q)
}

// appendFunc is a Store whose Append is replaced.
type appendFunc struct {
	humanhours.Store
	append func(context.Context, []humanhours.Entry) []humanhours.Appended
}

func (s appendFunc) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	return s.append(ctx, entries)
}

// seeded returns a generator that gives the same numbers in every run.
func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// pick returns one of its arguments.
func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

// maybe returns the zero value half of the time.
func maybe[T any](r *rand.Rand, v T) (zero T) {
	if r.IntN(2) == 0 {
		return v
	}
	return zero
}

// randomNumber returns a number from 0 to limit with up to that many decimals, with the edges more often than by chance.
func randomNumber(r *rand.Rand, limit int64, places int32) decimal.Decimal {
	switch r.IntN(12) {
	case 0:
		return decimal.Zero
	case 1:
		return decimal.NewFromInt(limit)
	case 2:
		return decimal.New(1+r.Int64N(9), -places)
	}
	whole := decimal.NewFromInt(r.Int64N(limit) >> r.IntN(24))
	fraction := decimal.New(r.Int64N(1_000_000_000_000), -12).Truncate(r.Int32N(places + 1))
	return decimal.Min(whole.Add(fraction), decimal.NewFromInt(limit))
}

// randomText returns up to n characters that JSON, Unicode and separators make interesting.
func randomText(r *rand.Rand, n int) string {
	alphabet := []rune("ab:\x00|{}[]\"\\/<>&' é漢🙂\u2028\ufffd=+-@")
	runes := make([]rune, 1+r.IntN(n))
	for i := range runes {
		runes[i] = pick(r, alphabet...)
	}
	return string(runes)
}

// randomName returns a text that is valid as a name.
func randomName(r *rand.Rand, n int) string {
	return string(bytes.ReplaceAll([]byte(randomText(r, n)), []byte{0}, []byte{'.'}))
}

// randomMetadata returns a compact JSON object.
func randomMetadata(r *rand.Rand) json.RawMessage {
	raw, err := json.Marshal(map[string]any{
		randomText(r, 5): randomText(r, 20), "client": randomText(r, 3), "n": r.Int64(),
		"list": []any{nil, true, map[string]any{"x": r.IntN(10)}},
	})
	if err != nil {
		panic(err)
	}
	return raw
}

// randomUsage returns valid counts of every kind, some of them absent.
func randomUsage(r *rand.Rand) humanhours.Usage {
	count := func() humanhours.NullInt64 {
		return maybe(r, humanhours.Int64(pick(r, 0, r.Int64N(5_000), r.Int64N(200_000))))
	}
	u := humanhours.Usage{
		TokensCacheRead: count(), TokensCacheWrite: count(), TokensCacheWrite1h: count(), TokensReasoning: count(), TokensAudio: count(),
		Images: count(), WebSearches: count(),
	}
	u.TokensIn, u.TokensOut = humanhours.Int64(r.Int64N(5_000)), humanhours.Int64(r.Int64N(5_000))
	return maybe(r, u)
}

// randomRequest returns a valid request that resolves through every layer now and then.
func randomRequest(r *rand.Rand) humanhours.TrackRequest {
	number := func(limit int64) decimal.NullDecimal {
		if r.IntN(3) == 0 {
			return decimal.NullDecimal{}
		}
		return decimal.NewNullDecimal(randomNumber(r, limit, 9))
	}
	tokens := func() humanhours.NullInt64 {
		return maybe(r, humanhours.Int64(pick(r, 0, r.Int64N(5_000), r.Int64N(humanhours.MaxTokens+1))))
	}
	req := humanhours.TrackRequest{
		AgentID: randomName(r, 12), TaskType: pick(r, "email_classification", "code_review", "own", randomName(r, 8)),
		Outcome:       pick(r, humanhours.OutcomeSuccess, humanhours.OutcomeFailure, humanhours.OutcomeNeedsReview),
		AgentDuration: number(pick[int64](r, 10, 20_000, humanhours.MaxDurationSeconds)),
		AgentCost:     maybe(r, number(pick[int64](r, 5, humanhours.MaxAgentCost))),
		Model:         maybe(r, pick(r, "eur", "usd", "full", "gbp", "free", "dynamic", "unknown")),
		Usage:         humanhours.Usage{TokensIn: tokens(), TokensOut: tokens()},
		Metadata:      maybe(r, randomMetadata(r)),
		AuditSample:   maybe(r, humanhours.AuditSample{InputExcerpt: maybe(r, randomText(r, 30)), OutputExcerpt: maybe(r, randomText(r, 30))}),
		OccurredAt:    maybe(r, noon.Add(-time.Duration(r.Int64N(int64(humanhours.MaxEventAge))))),
	}
	switch r.IntN(4) {
	case 0: // a run with parts
		req.Usage = randomUsage(r)
	case 1: // a run of calls
		req.Usage = humanhours.Usage{}
		for range 1 + r.IntN(4) {
			req.LLMCalls = append(req.LLMCalls, humanhours.LLMCall{
				Model: maybe(r, pick(r, "eur", "usd", "usd", "full", "free", "dynamic", "unknown")), Usage: randomUsage(r),
			})
		}
	}
	if builtin := slices.Contains([]string{"email_classification", "code_review", "own"}, req.TaskType); !builtin || r.IntN(2) == 0 {
		req.HumanBaselineMinutes = decimal.NewNullDecimal(randomNumber(r, pick[int64](r, 10, 600, humanhours.MaxBaselineMinutes), 9))
	}
	return req
}

// newRandomWorld returns a world where randomRequest meets prices in three currencies and an own task type.
func newRandomWorld(t testing.TB, r *rand.Rand) *world {
	t.Helper()
	price := func() string { return randomNumber(r, 1, 12).Shift(-3).String() }
	w := newWorld(t, humanhours.Config{
		Prices: book{
			"eur": quote(price(), price(), "EUR"), "usd": quote(price(), price(), "USD"), "gbp": quote(price(), "", "GBP"),
			"free": quote("0", "0", "EUR"), "dynamic": {Unpriced: humanhours.UnpricedDynamic}, "full": fullQuote(price),
		},
		Rates: rateFunc(func(from, _ string, at time.Time) (humanhours.ExchangeRate, bool, error) {
			date := at.Truncate(24 * time.Hour)
			rate := decimal.New(500_000_000+at.UnixMilli()%1_000_000_000, -9)
			return humanhours.ExchangeRate{Rate: rate, Source: "fixing", Date: date}, from == "USD", nil
		}),
	})
	w.setOrg(t, defaultOrg, func(o *humanhours.Org) {
		o.HourlyRate = null("61.25")
		o.TaskTypes = map[string]humanhours.TaskType{"own": {Key: "own", BaselineMinutes: null("7.3333333")}}
	})
	return w
}

func textLogger(to *testLog) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

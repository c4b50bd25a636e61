package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go"
)

// start is when everything happens.
var start = time.Date(2026, time.May, 14, 9, 30, 0, 0, time.UTC)

func clock() time.Time { return start }

// Bodies of POST /v1/track: the example of the documentation, as little as there can be, and everything.
const (
	Documented = `{"agent_id":"support-classifier","task_type":"email_classification","outcome":"success","agent_duration_seconds":4,` +
		`"model":"anthropic/claude-haiku-4.5","tokens_in":1240,"tokens_out":35,"metadata":{"client":"acme","run":"a81c"},"occurred_at":"2026-05-14T09:29:00.000Z"}`
	Small = `{"agent_id":"a","task_type":"email_classification","outcome":"success"}`
)

var longText = strings.Repeat("0123456789abcdef", 62)

// Full is a body with 1 KiB of metadata, an audit sample and calls.
var Full = `{"agent_id":"support-classifier","task_type":"email_classification","outcome":"success","agent_duration_seconds":4.25,` +
	`"llm_calls":[{"model":"anthropic/claude-haiku-4.5","tokens_in":1240,"tokens_out":35},{"model":"openai/gpt-4o-mini","tokens_in":88,"tokens_out":12}],` +
	`"metadata":{"client":"acme","text":"` + longText + `"},` +
	`"audit_sample":{"input_excerpt":"Where is my parcel? It was to be here on Monday.","output_excerpt":"parcel_status"},"occurred_at":"2026-05-14T09:29:00.000Z"}`

// Request is Documented as a program in Go sends it.
func Request() humanhours.TrackRequest {
	return humanhours.TrackRequest{
		AgentID: "support-classifier", TaskType: "email_classification", Outcome: humanhours.OutcomeSuccess,
		AgentDuration: decimal.NewNullDecimal(decimal.New(4, 0)), Model: "anthropic/claude-haiku-4.5", Usage: usage(1240, 35),
		Metadata: []byte(`{"client":"acme","run":"a81c"}`), OccurredAt: start.Add(-time.Minute),
	}
}

func usage(in, out int64) humanhours.Usage {
	return humanhours.Usage{TokensIn: humanhours.Int64(in), TokensOut: humanhours.Int64(out)}
}

// smallRequest is Small, likewise.
func smallRequest() humanhours.TrackRequest {
	return humanhours.TrackRequest{AgentID: "a", TaskType: "email_classification", Outcome: humanhours.OutcomeSuccess}
}

// fullRequest is Full.
func fullRequest() humanhours.TrackRequest {
	r := Request()
	r.AgentDuration, r.Model, r.Usage = decimal.NewNullDecimal(decimal.New(425, -2)), "", humanhours.Usage{}
	r.LLMCalls = []humanhours.LLMCall{{Model: "anthropic/claude-haiku-4.5", Usage: usage(1240, 35)}, {Model: "openai/gpt-4o-mini", Usage: usage(88, 12)}}
	r.Metadata = []byte(`{"client":"acme","text":"` + longText + `"}`)
	r.AuditSample = humanhours.AuditSample{InputExcerpt: "Where is my parcel? It was to be here on Monday.", OutputExcerpt: "parcel_status"}
	return r
}

// batch is a body of POST /v1/track/batch.
func batch(n int) string {
	return `{"events":[` + strings.Repeat(Documented+",", n-1) + Documented + `]}`
}

// The population: each org has so many agents, and any of them does any task with any model.
const orgs, agents, taskTypes, models = 100, 20, 30, 10

var (
	orgNames, agentNames  = names("org-", orgs), names("agent-", agents)
	taskNames, modelNames = names("task_type_", taskTypes), names("acme/model-", models)
)

func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = prefix + strconv.Itoa(i)
	}
	return list
}

// entry is the n-th event of the population, or of its first orgs: as if by chance, and the same one each time.
func entry(n, ofOrgs int) humanhours.Entry {
	at, digits := start.Add(time.Duration(n)*time.Millisecond), strconv.Itoa(n)
	e := template
	e.Event.ID = "evt_01KRJ6G0Y3" + "0000000000000000"[len(digits):] + digits
	chance := scatter(uint64(n))
	pick := func(list []string) string {
		one := list[chance%uint64(len(list))]
		chance /= uint64(len(list))
		return one
	}
	e.Event.AgentID, e.Event.TaskType, e.Event.Model, e.Event.Org = pick(agentNames), pick(taskNames), pick(modelNames), pick(orgNames[:ofOrgs])
	e.Event.ReceivedAt, e.Event.OccurredAt, e.At = at, at.Add(-time.Minute), at
	e.Key, e.Window = "key-"+digits, humanhours.IdempotencyWindow
	return e
}

// scatter is the n-th number of SplitMix64.
func scatter(n uint64) uint64 {
	n = (n + 1) * 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// keyed is a body with an idempotency key in it, as long as those of keys.many.
func keyed(body string) string {
	return strings.TrimSuffix(body, "}") + `,"idempotency_key":"key-0001234567"}`
}

// keys gives every request another idempotency key.
type keys struct{ n int }

func (k *keys) next() string {
	k.n++
	return "key-" + strconv.Itoa(k.n)
}

// many gives n keys. All are parts of one text, so that the garbage collector has nothing to do with them.
func (k *keys) many(n int) func(i int) string {
	const size = len("key-0000000000")
	var all strings.Builder
	all.Grow(n * size)
	for i := range n {
		fmt.Fprintf(&all, "key-%010d", k.n+1+i)
	}
	k.n += n
	text := all.String()
	return func(i int) string { return text[i*size : (i+1)*size] }
}

// requestJSON is a request as encoding/json reads it, without any rule of ours.
type requestJSON struct {
	AgentID       string              `json:"agent_id"`
	TaskType      string              `json:"task_type"`
	Outcome       string              `json:"outcome"`
	AgentDuration decimal.NullDecimal `json:"agent_duration_seconds"`
	AgentCost     decimal.NullDecimal `json:"agent_cost"`
	Baseline      decimal.NullDecimal `json:"human_baseline_minutes"`
	Model         string              `json:"model"`
	TokensIn      *int64              `json:"tokens_in"`
	TokensOut     *int64              `json:"tokens_out"`
	Calls         []callJSON          `json:"llm_calls"`
	Metadata      map[string]any      `json:"metadata"`
	Audit         *auditJSON          `json:"audit_sample"`
	OccurredAt    time.Time           `json:"occurred_at"`
	Key           string              `json:"idempotency_key,omitempty"`
}

type callJSON struct {
	Model     string `json:"model"`
	TokensIn  *int64 `json:"tokens_in"`
	TokensOut *int64 `json:"tokens_out"`
	*priceJSON
}

type auditJSON struct {
	Input  string `json:"input_excerpt"`
	Output string `json:"output_excerpt"`
}

// priceJSON is what an answer says of a price.
type priceJSON struct {
	PricedAs      string          `json:"priced_as"`
	PriceInput    decimal.Decimal `json:"price_input_per_token"`
	PriceOutput   decimal.Decimal `json:"price_output_per_token"`
	PriceCurrency string          `json:"price_currency"`
	PriceSource   string          `json:"price_source"`
	PriceVersion  string          `json:"price_version"`
	PriceDate     string          `json:"price_date"`
	FXRate        decimal.Decimal `json:"fx_rate"`
	FXSource      string          `json:"fx_source"`
	FXDate        string          `json:"fx_date"`
}

// answerJSON is an answer of the size of ours.
type answerJSON struct {
	ID             string              `json:"event_id"`
	AgentID        string              `json:"agent_id"`
	TaskType       string              `json:"task_type"`
	Outcome        string              `json:"outcome"`
	Baseline       decimal.Decimal     `json:"resolved_baseline_minutes"`
	BaselineSource string              `json:"resolved_baseline_source"`
	Rate           decimal.Decimal     `json:"resolved_hourly_rate"`
	RateSource     string              `json:"resolved_hourly_rate_source"`
	Currency       string              `json:"currency"`
	AgentDuration  decimal.NullDecimal `json:"agent_duration_seconds,omitzero"`
	HoursSaved     decimal.Decimal     `json:"hours_saved"`
	CostSaved      decimal.Decimal     `json:"cost_saved"`
	AgentCost      decimal.NullDecimal `json:"agent_cost"`
	CostSource     string              `json:"resolved_cost_source"`
	Precision      string              `json:"cost_precision,omitempty"`
	NetSaved       decimal.Decimal     `json:"net_saved"`
	OccurredAt     time.Time           `json:"occurred_at"`
	Model          string              `json:"model,omitempty"`
	TokensIn       *int64              `json:"tokens_in,omitempty"`
	TokensOut      *int64              `json:"tokens_out,omitempty"`
	*priceJSON
	Calls    []callJSON     `json:"llm_calls,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
	Audit    *auditJSON     `json:"audit_sample,omitempty"`
}

// answer is what a bare handler makes of a request.
func (r *requestJSON) answer() answerJSON {
	a := answerJSON{
		ID: "evt_01KRJ6G0Y3V8ZJ8M4T9M1YQ7QX", AgentID: r.AgentID, TaskType: r.TaskType, Outcome: r.Outcome, Baseline: decimal.New(4, 0), BaselineSource: "builtin",
		Rate: decimal.New(45, 0), RateSource: "default", Currency: "EUR", AgentDuration: r.AgentDuration, HoursSaved: decimal.New(66, -3), CostSaved: decimal.New(297, -2),
		CostSource: "none", NetSaved: decimal.New(296875448, -8), OccurredAt: r.OccurredAt, Model: r.Model, TokensIn: r.TokensIn, TokensOut: r.TokensOut,
		Calls: r.Calls, Metadata: r.Metadata, Audit: r.Audit,
	}
	if r.Model != "" {
		a.priceJSON = priced(r.Model)
	}
	for i := range r.Calls {
		r.Calls[i].priceJSON = priced(r.Calls[i].Model)
	}
	if r.Model != "" || len(r.Calls) > 0 {
		a.AgentCost, a.CostSource, a.Precision = decimal.NewNullDecimal(decimal.New(124552, -8)), "computed", "exact"
	}
	return a
}

func priced(model string) *priceJSON {
	return &priceJSON{
		PricedAs: model, PriceInput: decimal.New(1, -6), PriceOutput: decimal.New(5, -6), PriceCurrency: "USD", PriceSource: "openrouter",
		PriceVersion: "008816b296e7", PriceDate: "2026-11-23", FXRate: decimal.New(8786, -4), FXSource: "ECB", FXDate: "2026-11-23",
	}
}

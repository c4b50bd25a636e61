package humanhours

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/humanhours/humanhours-go/internal/instant"
)

// Bounds of a request that are not numbers of money or hours (those are in cost.go). All are inclusive.
const (
	MaxEventAge      = 90 * 24 * time.Hour // how old occurred_at may be at receipt
	MaxEventLead     = 24 * time.Hour      // how far ahead it may be: clocks differ
	MaxNameLength    = 200                 // of agent_id, task_type and model, in characters
	MaxExcerptLength = 2000                // of each excerpt, in characters
	MaxMetadataSize  = 16 << 10            // of metadata as compact JSON, in bytes
	MaxMetadataDepth = 8                   // the object itself is depth 1
	MaxBatch         = 1000                // requests in one TrackBatch
)

// TrackRequest says what an agent did. AgentID, TaskType and Outcome are required.
type TrackRequest struct {
	AgentID  string // which agent, 1 to MaxNameLength characters, no control characters
	TaskType string // a key of the catalogue, or any name if HumanBaselineMinutes is given; likewise
	Outcome  Outcome

	AgentDuration        decimal.NullDecimal // seconds the agent needed, 0 to MaxDurationSeconds; see Seconds. Absent: 0
	AgentCost            decimal.NullDecimal // what the run cost, in the org's currency, 0 to MaxAgentCost. Absent: computed if possible
	HumanBaselineMinutes decimal.NullDecimal // what a person would have needed, 0 to MaxBaselineMinutes. Absent: from the catalogue

	Model string // the model's id in the price book; may be empty
	Usage        // of the whole run; TokensIn or TokensOut alone is enough to compute a cost
	// LLMCalls lists the calls of a run one by one, up to MaxLLMCalls, instead of Usage: for runs with several models, and for prices that
	// depend on the size of a call.
	LLMCalls []LLMCall

	Metadata    json.RawMessage // a JSON object for your own use, up to MaxMetadataSize and MaxMetadataDepth; nil: none
	AuditSample AuditSample
	OccurredAt  time.Time // zero: now. Kept to the millisecond. Between MaxEventAge ago and MaxEventLead ahead

	// IdempotencyKey names this request for IdempotencyWindow: sent again, it is answered with the same event.
	// 1 to MaxIdempotencyKey characters, no control characters. Empty: every call creates an event.
	IdempotencyKey string
}

// Seconds returns a duration as the AgentDuration of a TrackRequest.
func Seconds(d time.Duration) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.New(int64(d), -9))
}

// Caller is on whose behalf something is done. The zero value is Config.DefaultOrg with all scopes.
type Caller struct {
	Org    string // up to MaxOrgLength bytes of any kind; empty: Config.DefaultOrg
	KeyID  string // the id of the API key, for rate limits and provenance, valid UTF-8; empty in process
	Test   bool   // came with a test key
	Scopes Scopes // zero: all
}

// Result is what became of a TrackRequest.
type Result struct {
	Event    Event
	Replayed bool // the idempotency key named an event already; Event is that one
	Mismatch bool // Replayed, and this request differs from the one that created the event
}

// BatchResult is what became of one request of a batch: either Err or Result is set.
type BatchResult struct {
	Result
	Err error // an *Error, as Track would have returned it
}

// Config configures a Tracker. The zero value is right for one tenant without limits: every org has 45 EUR an hour, the built-in
// catalogue and no price book.
type Config struct {
	// Orgs holds the settings of the orgs. Defaults to nil: every org has OrgDefaults.
	Orgs OrgStore
	// OrgDefaults are the settings of an org that Orgs does not know. Defaults to the zero Org: EUR,
	// DefaultHourlyRate, no limits. ID and Version are ignored.
	OrgDefaults Org
	// OrgCacheTTL is how long the settings of an org are remembered before Orgs is asked again, and so how long an update
	// made by another process may take to show. Updates through UpdateOrg show at once. Defaults to 5 seconds; negative: no cache.
	OrgCacheTTL time.Duration
	// DefaultOrg is the org of a Caller that names none. Defaults to "default".
	DefaultOrg string
	// Plans are the limits by plan name. Defaults to DefaultPlans().
	Plans map[string]Plan

	// Prices says what models cost. Defaults to nil: no run cost is computed.
	Prices PriceBook
	// Rates converts prices to the org's currency. Defaults to nil: only prices in that currency are used.
	Rates Rates
	// Limiter counts requests. Defaults to NewLimiter(Clock).
	Limiter Limiter

	// FallbackBaseline is the baseline, in minutes, of task types that have none. Defaults to none: they are refused
	// with CodeUnknownTaskType.
	FallbackBaseline decimal.NullDecimal
	// Credit decides which outcomes save anything. It is asked once per event and its answer is frozen there.
	// Defaults to DefaultCredit.
	Credit func(Outcome) bool
	// Mismatch is what happens when an idempotency key comes again with a different request. Defaults to MismatchReplay.
	Mismatch MismatchPolicy

	// OnEvent is told of every event that was created (not of replays), OnMismatch of every mismatch, also
	// under MismatchRefuse. Both run beside the answer, one call at a time, on another goroutine: they cannot delay or
	// break it. If they fall HookQueue calls behind, further calls are dropped and logged: they
	// are for metrics and alerts, the Store is the record. Default to nil.
	OnEvent    func(Event)
	OnMismatch func(Mismatch)
	// HookQueue is how many hook calls may wait. Defaults to 4096.
	HookQueue int

	// Clock defaults to time.Now.
	Clock func() time.Time
	// NewID makes the id of an event received at a time; ids must never repeat. Defaults to "evt_" and a ULID over crypto/rand.
	NewID func(at time.Time) (string, error)
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.OrgCacheTTL == 0 {
		c.OrgCacheTTL = 5 * time.Second
	}
	if c.DefaultOrg == "" {
		c.DefaultOrg = "default"
	}
	if c.Plans == nil {
		c.Plans = DefaultPlans()
	} else {
		c.Plans = maps.Clone(c.Plans)
	}
	c.OrgDefaults.ID, c.OrgDefaults.Version = "", 0
	if c.Credit == nil {
		c.Credit = DefaultCredit
	}
	if c.HookQueue == 0 {
		c.HookQueue = 4096
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Limiter == nil {
		c.Limiter = NewLimiter(c.Clock)
	}
	if c.NewID == nil {
		c.NewID = newULIDs(rand.Reader)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// validate checks the rules of a Config with its defaults and rounds the numbers in it.
func (c *Config) validate() error {
	if err := c.OrgDefaults.normalize(); err != nil {
		return fmt.Errorf("humanhours: Config.OrgDefaults: %w", err)
	}
	if _, ok := c.Plans[c.OrgDefaults.Plan]; !ok && c.OrgDefaults.Plan != "" {
		return fmt.Errorf("humanhours: Config.OrgDefaults.Plan: there is no plan %q in Config.Plans", c.OrgDefaults.Plan)
	}
	for name, plan := range c.Plans {
		if plan.RequestsPerSecond < 0 || plan.EventsPerMonth < 0 {
			return fmt.Errorf("humanhours: Config.Plans: the limits of plan %q must not be negative (0: no limit)", name)
		}
	}
	if c.FallbackBaseline.Valid {
		minutes, err := keep(c.FallbackBaseline.Decimal, MaxBaselineMinutes, inputScale)
		if err != nil {
			return fmt.Errorf("humanhours: Config.FallbackBaseline must be 0 to %d minutes", MaxBaselineMinutes)
		}
		c.FallbackBaseline.Decimal = minutes
	}
	if c.Mismatch != MismatchReplay && c.Mismatch != MismatchRefuse {
		return fmt.Errorf("humanhours: Config.Mismatch: there is no policy %d", c.Mismatch)
	}
	if c.HookQueue < 0 {
		return errors.New("humanhours: Config.HookQueue must not be negative")
	}
	return nil
}

// Tracker turns finished tasks into stored events. It is safe for concurrent use. Make one with New.
type Tracker struct {
	store Store
	sums  Reporter // the store, if it is one
	cfg   Config
	orgs  orgCache
	hooks hooks

	unpriced unpriced

	single, batch sync.Pool // of *[]Entry, to lend: no store keeps any, and they are most of the memory that a request would take
}

// New returns a Tracker over a store. The store stays the caller's to close, after Shutdown.
func New(store Store, cfg Config) (*Tracker, error) {
	if store == nil {
		return nil, errors.New("humanhours: New needs a Store; store/memory has one for a first try")
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	none := func() any { return new([]Entry) }
	t := &Tracker{store: store, cfg: cfg, single: sync.Pool{New: none}, batch: sync.Pool{New: none}}
	t.sums, _ = store.(Reporter)
	t.orgs.init()
	t.hooks.init("a hook", cfg.HookQueue, cfg.Logger)
	return t, nil
}

// Shutdown waits until the hooks have been told of everything that was answered so far, or until ctx ends. A Tracker
// has nothing else to close: it can be used during and after Shutdown.
func (t *Tracker) Shutdown(ctx context.Context) error { return t.hooks.drain(ctx) }

// Track records one finished task: Admit, then Record.
//
// An error is always an *Error. With CodeUnavailable the event may or may not have been stored: call again with the
// same IdempotencyKey.
func (t *Tracker) Track(ctx context.Context, c Caller, r TrackRequest) (result Result, err error) {
	org, err := t.admit(ctx, c, ScopeTrackWrite)
	if err == nil {
		err = t.record(ctx, c, org, &r, &result)
	}
	return result, err
}

// TrackBatch records up to MaxBatch finished tasks at once: Admit, then RecordBatch. It takes one token of the rate limit; the
// events count one by one against the quota.
func (t *Tracker) TrackBatch(ctx context.Context, c Caller, rs []TrackRequest) ([]BatchResult, error) {
	org, err := t.admit(ctx, c, ScopeTrackWrite)
	if err != nil {
		return nil, err
	}
	return t.recordBatch(ctx, c, org, rs)
}

// Admit decides whether a caller may make a request now: it takes one token of the rate limit of the org's plan, and
// then checks the scopes. Track does it by itself. Admit, Record and RecordBatch are for servers, which
// admit a request before they read its body, and must not take a second token after.
func (t *Tracker) Admit(ctx context.Context, c Caller, need Scopes) error {
	_, err := t.admit(ctx, c, need)
	return err
}

// admit returns the settings that it went by.
func (t *Tracker) admit(ctx context.Context, c Caller, need Scopes) (*orgSettings, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return nil, err
	}
	if org.plan.RequestsPerSecond > 0 {
		d, err := t.cfg.Limiter.Take(ctx, TakeQuery{Key: limiterKey(org.ID, c.KeyID), Limit: org.plan.RequestsPerSecond})
		if err != nil {
			return nil, unavailable("the rate limiter", err)
		}
		if !d.Allowed {
			if d.RetryAfter <= 0 {
				d.RetryAfter = limitWindow // a limiter that does not say
			}
			return nil, &Error{
				Code: CodeRateLimited, RetryAfter: d.RetryAfter,
				Message: "more than " + strconv.Itoa(org.plan.RequestsPerSecond) + " requests in one second",
				Hint:    "Wait a second and retry, or send several events in one POST /v1/track/batch.",
			}
		}
	}
	if !c.Scopes.Allows(need) {
		return nil, &Error{
			Code: CodeInsufficientScope, Message: "the API key lacks the scope " + need.String(),
			Hint: "Use a key that has it.",
		}
	}
	return org, nil
}

// limiterKey joins org and key id so that no two pairs meet.
func limiterKey(org, keyID string) string {
	return strconv.Itoa(len(org)) + ":" + org + keyID
}

// Record is Track without Admit.
func (t *Tracker) Record(ctx context.Context, c Caller, r TrackRequest) (result Result, err error) {
	org, err := t.org(ctx, c)
	if err == nil {
		err = t.record(ctx, c, org, &r, &result)
	}
	return result, err
}

// record writes what becomes of a request, which it may change, to result, which is zero.
func (t *Tracker) record(ctx context.Context, c Caller, org *orgSettings, r *TrackRequest, result *Result) error {
	c.Org, c.KeyID = org.ID, mend(c.KeyID)
	entries := t.lend(1)
	entry := &(*entries)[0]
	err := t.prepare(ctx, c, org, r, t.now(), entry)
	if err != nil {
		err = t.refuse(ctx, c, entry, err, result)
	} else {
		err = t.conclude(c, entry, &t.append(ctx, *entries)[0], result)
	}
	t.giveBack(entries, 1)
	return err
}

// RecordBatch is TrackBatch without Admit. It returns one result per request, in order; one that is bad, refused or a
// replay changes nothing for the others. An error means that nothing was stored.
func (t *Tracker) RecordBatch(ctx context.Context, c Caller, rs []TrackRequest) ([]BatchResult, error) {
	org, err := t.org(ctx, c)
	if err != nil {
		return nil, err
	}
	return t.recordBatch(ctx, c, org, rs)
}

func (t *Tracker) recordBatch(ctx context.Context, c Caller, org *orgSettings, rs []TrackRequest) ([]BatchResult, error) {
	if len(rs) > MaxBatch {
		e := invalid("events", "must have at most "+string(appendGrouped(nil, MaxBatch))+" items")
		e.Hint = "Split the batch."
		return nil, e
	}
	c.Org, c.KeyID = org.ID, mend(c.KeyID)
	now := t.now()
	lent := t.lend(len(rs))
	entries := *lent
	out := make([]BatchResult, len(rs))
	slots := make([]int, 0, len(rs)) // slots[i] is the index in rs of entries[i]
	for i := range rs {
		entry := &entries[len(slots)]
		one := rs[i] // to leave the caller's as it is
		if err := t.prepare(ctx, c, org, &one, now, entry); err != nil {
			out[i].Err = t.refuse(ctx, c, entry, err, &out[i].Result)
			*entry = Entry{}
			continue
		}
		slots = append(slots, i)
	}
	if len(slots) > 0 {
		results := t.append(ctx, entries[:len(slots)])
		for i, slot := range slots {
			out[slot].Err = t.conclude(c, &entries[i], &results[i], &out[slot].Result)
		}
	}
	t.giveBack(lent, len(slots))
	return out, nil
}

// lend returns n entries, which are zero.
func (t *Tracker) lend(n int) *[]Entry {
	entries := t.pool(n).Get().(*[]Entry)
	if cap(*entries) < n {
		*entries = make([]Entry, n)
	}
	*entries = (*entries)[:n]
	return entries
}

// giveBack takes entries back, of which the first n were used.
func (t *Tracker) giveBack(entries *[]Entry, n int) {
	clear((*entries)[:n]) // which keeps nobody's metadata alive, either
	t.pool(len(*entries)).Put(entries)
}

// pool is that of so many entries: one has another than those of batches, which are large.
func (t *Tracker) pool(n int) *sync.Pool {
	if n == 1 {
		return &t.single
	}
	return &t.batch
}

// prepare does everything before the store: validate, resolve and compute. request is normalised in place, and entry is zero before. When prepare
// refuses for a reason that depends on state, entry still has what Replay needs.
func (t *Tracker) prepare(ctx context.Context, c Caller, org *orgSettings, request *TrackRequest, now time.Time, entry *Entry) error {
	r := checked{TrackRequest: request}
	if err := r.validate(); err != nil {
		return err
	}
	entry.At, entry.Cap = now, org.plan.EventsPerMonth
	if r.IdempotencyKey != "" {
		entry.Key = storeKey(c, r.IdempotencyKey)
		entry.Fingerprint = r.fingerprint()
		entry.Window = IdempotencyWindow
	}
	if r.OccurredAt.IsZero() {
		r.OccurredAt = now
	}
	baseline, ok := org.resolveBaseline(r.TaskType, r.HumanBaselineMinutes, t.cfg.FallbackBaseline)
	if !ok {
		return unknownTaskType(&org.Org, r.TaskType)
	}
	if r.OccurredAt.Before(now.Add(-MaxEventAge)) || r.OccurredAt.After(now.Add(MaxEventLead)) {
		return &Error{
			Code: CodeOccurredAtOutOfRange, Field: "occurred_at",
			Message: "occurred_at must be at most 90 days ago and at most 24 hours ahead",
			Hint:    "The server's clock says " + now.Format(instant.Layout) + ".",
		}
	}
	id, err := t.cfg.NewID(now)
	if err == nil && id == "" {
		err = errors.New("Config.NewID returned an empty id")
	}
	if err != nil {
		return &Error{Code: CodeInternal, Message: "could not make an event id", Err: err}
	}
	rate := org.rate
	if len(org.Agents) > 0 {
		rate = org.resolveRate(r.AgentID)
	}
	credited := t.cfg.Credit(r.Outcome)
	e := &entry.Event // field by field: an Event is large, and this one is there already
	e.ID, e.Org, e.KeyID, e.Test = id, org.ID, c.KeyID, c.Test
	e.AgentID, e.TaskType, e.Outcome, e.AgentDuration = r.AgentID, r.TaskType, r.Outcome, r.AgentDuration
	e.Model, e.Usage = r.Model, r.Usage
	e.Metadata, e.AuditSample = r.Metadata, r.AuditSample
	e.OccurredAt, e.ReceivedAt = r.OccurredAt, now
	e.Baseline, e.HourlyRate, e.Currency, e.Credited, e.Scale = baseline, rate, org.currency(), credited, DefaultScale()
	e.setCalls(r.LLMCalls)
	t.resolveCost(ctx, e, r.AgentCost)
	e.ROI = computeROI(baseline.Minutes, r.AgentDuration.Decimal, rate.Amount, e.AgentCost, credited, e.Scale)
	return nil
}

func unknownTaskType(org *Org, key string) error {
	e := &Error{
		Code: CodeUnknownTaskType, Field: "task_type",
		Message: "task_type " + strconv.Quote(key) + " is not in the catalogue",
		Hint:    "GET /v1/task-types lists the known ones; or send human_baseline_minutes with the request.",
	}
	if tt, ok := org.TaskTypes[key]; ok && tt.ArchivedAt.IsZero() {
		e.Message = "task_type " + strconv.Quote(key) + " has no baseline"
		e.Hint = "Set its baseline, or send human_baseline_minutes with the request."
	}
	return e
}

// dependsOnState tells refusals that a request met only because the world has moved on since it was first sent.
func dependsOnState(err error) bool {
	return errors.Is(err, CodeUnknownTaskType) || errors.Is(err, CodeOccurredAtOutOfRange)
}

// refuse answers a retry whose request would be refused today with the event that its key names, and any other request with the refusal.
func (t *Tracker) refuse(ctx context.Context, c Caller, entry *Entry, refusal error, result *Result) error {
	if !dependsOnState(refusal) || entry.Key == "" {
		return refusal
	}
	found, err := t.store.Replay(ctx, ReplayQuery{Org: c.Org, Key: entry.Key, Fingerprint: entry.Fingerprint, At: entry.At})
	switch {
	case err != nil:
		return unavailable("the store", err)
	case !found.Found:
		return refusal
	}
	return t.conclude(c, entry, &Appended{Event: &found.Event, Replayed: true, Mismatch: found.Mismatch}, result)
}

// append hands entries to the store, and those that failed a second time: the connection may have been lost after they were
// stored, and the store answers an id that it has with the stored event.
func (t *Tracker) append(ctx context.Context, entries []Entry) []Appended {
	results := t.appendOnce(ctx, entries)
	var again []Entry
	var slots []int
	for i := range results {
		if results[i].Err != nil {
			again = append(again, entries[i])
			slots = append(slots, i)
		}
	}
	if len(again) == 0 || ctx.Err() != nil {
		return results
	}
	for i, result := range t.appendOnce(ctx, again) {
		results[slots[i]] = result
	}
	return results
}

// appendOnce is Store.Append for a store that may break the contract by answering too little.
func (t *Tracker) appendOnce(ctx context.Context, entries []Entry) []Appended {
	results := t.store.Append(ctx, entries)
	for len(results) < len(entries) {
		results = append(results, Appended{})
	}
	for i := range entries {
		if r := &results[i]; r.Event == nil && r.Err == nil && !r.QuotaExceeded {
			r.Err = errors.New("the store gave no answer for this entry")
		}
	}
	return results[:len(entries)]
}

// conclude turns the store's answer into the caller's, and tells the hooks.
func (t *Tracker) conclude(c Caller, entry *Entry, a *Appended, result *Result) error {
	switch {
	case a.Err != nil:
		return unavailable("the store", a.Err)
	case a.QuotaExceeded:
		return &Error{
			Code:       CodeQuotaExceeded,
			Message:    "the plan's " + string(appendGrouped(nil, entry.Cap)) + " events of this month are used up",
			Hint:       "The next month starts at " + MonthOf(entry.At).Next().Start().Format(time.RFC3339) + "; or upgrade the plan.",
			RetryAfter: MonthOf(entry.At).Next().Start().Sub(entry.At),
		}
	}
	if a.Mismatch {
		if t.cfg.OnMismatch != nil {
			m := Mismatch{Org: c.Org, KeyID: c.KeyID, Key: strings.TrimPrefix(entry.Key, testKeySpace), First: a.Event.Clone()}
			t.hooks.enqueue(func() { t.cfg.OnMismatch(m) })
		}
		if t.cfg.Mismatch == MismatchRefuse {
			return &Error{
				Code: CodeIdempotencyKeyReused, Field: "idempotency_key",
				Message: "the idempotency key was used for a different request within the last 24 hours",
				Hint:    "Use a new key for each task, and the same key only to retry the same request.",
			}
		}
	}
	if !a.Replayed {
		t.unpriced.add(a.Event)
		if t.cfg.OnEvent != nil {
			event := a.Event.Clone()
			t.hooks.enqueue(func() { t.cfg.OnEvent(event) })
		}
	}
	result.Event = *a.Event
	if a.Event != &entry.Event { // others may have the same one, as requests of a batch with one key
		result.Event.Metadata, result.Event.LLMCalls = slices.Clone(a.Event.Metadata), slices.Clone(a.Event.LLMCalls)
	}
	result.Replayed, result.Mismatch = a.Replayed, a.Mismatch
	return nil
}

// unread is the error of a backend that did not answer to who only reads.
func unread(what string, cause error) *Error {
	return &Error{Code: CodeUnavailable, Message: what + " did not answer", RetryAfter: time.Second, Err: cause, Hint: "Try again in a moment."}
}

// unavailable is the error of a backend that did not answer.
func unavailable(what string, cause error) *Error {
	return &Error{
		Code: CodeUnavailable, Message: what + " did not answer", RetryAfter: time.Second, Err: cause,
		Hint: "Nothing is half-written, but the outcome may be unknown: retry with the same idempotency key.",
	}
}

// now is the receipt time of a request.
func (t *Tracker) now() time.Time { return t.cfg.Clock().UTC().Truncate(time.Millisecond) }

const ruleOutcome = "must be one of success, failure, needs_review"

// checked is a request on its way, which is normalised in place.
type checked struct {
	*TrackRequest
	canonical bool // Metadata is known to be as canonicalJSON makes it
}

// validate checks every rule that needs no state, in the order of the fields, and normalises the values: numbers are rounded to
// what is kept, metadata is compacted into a copy, the instant is put into UTC milliseconds.
func (r *checked) validate() error {
	if err := checkName("agent_id", r.AgentID); err != nil {
		return err
	}
	if err := checkName("task_type", r.TaskType); err != nil {
		return err
	}
	switch {
	case r.Outcome == "":
		return invalid("outcome", "is required")
	case !r.Outcome.Valid():
		return invalid("outcome", ruleOutcome)
	}
	if err := keepNumber("agent_duration_seconds", &r.AgentDuration, MaxDurationSeconds); err != nil {
		return err
	}
	if err := keepNumber("agent_cost", &r.AgentCost, MaxAgentCost); err != nil {
		return err
	}
	if err := keepNumber("human_baseline_minutes", &r.HumanBaselineMinutes, MaxBaselineMinutes); err != nil {
		return err
	}
	if r.Model != "" {
		if err := checkName("model", r.Model); err != nil {
			return err
		}
	}
	if err := r.Usage.validate(""); err != nil {
		return err
	}
	if err := r.validateCalls(); err != nil {
		return err
	}
	if err := r.validateMetadata(); err != nil {
		return err
	}
	if err := checkExcerpt("audit_sample.input_excerpt", r.AuditSample.InputExcerpt); err != nil {
		return err
	}
	if err := checkExcerpt("audit_sample.output_excerpt", r.AuditSample.OutputExcerpt); err != nil {
		return err
	}
	if !r.OccurredAt.IsZero() {
		r.OccurredAt = r.OccurredAt.UTC().Truncate(time.Millisecond)
		if r.OccurredAt.IsZero() {
			r.OccurredAt = r.OccurredAt.Add(time.Millisecond) // the first instant of the year 1 is out of range, not absent
		}
	}
	if r.IdempotencyKey != "" {
		return checkIdempotencyKey(r.IdempotencyKey)
	}
	return nil
}

// keepNumber is checkNumber for one that may be absent, in place.
func keepNumber(field string, n *decimal.NullDecimal, limit int64) error {
	if !n.Valid {
		n.Decimal = decimal.Decimal{}
		return nil
	}
	kept, err := checkNumber(field, n.Decimal, limit)
	if err == nil {
		n.Decimal = kept
	}
	return err
}

func checkName(field, s string) error {
	if s != "" && len(s) <= MaxNameLength && printable(s) {
		return nil
	}
	if s == "" {
		return invalid(field, "is required")
	}
	if utf8.RuneCountInString(s) > MaxNameLength {
		return invalid(field, "must be at most 200 characters")
	}
	return checkText(field, s)
}

func checkExcerpt(field, s string) error {
	if !utf8.ValidString(s) {
		return invalid(field, "must be valid UTF-8")
	}
	if utf8.RuneCountInString(s) > MaxExcerptLength {
		return invalid(field, "must be at most 2,000 characters")
	}
	return nil
}

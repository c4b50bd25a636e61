package storetest

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/shopspring/decimal"
)

// epoch is when the first sample was received. It is in the past: a store that expires data by its own clock loses it at once.
var epoch = time.Date(2026, time.May, 14, 9, 30, 0, 123_000_000, time.UTC)

// window is the idempotency window of the samples that have a key.
const window = humanhours.IdempotencyWindow

// Event returns a valid event of org in which every field is set that can be in a run that was sent as totals: priced in another currency, with
// metadata and excerpts. It is the same for the same org and n (0 or more), in every process; n makes the id, and the event is
// received n seconds after a fixed instant in May 2026.
func Event(org string, n int) humanhours.Event {
	received := epoch.Add(time.Duration(n) * time.Second)
	return humanhours.Event{
		ID: eventID(n), Org: org, KeyID: "3fK9xQ2b",
		AgentID: "agent-" + strconv.Itoa(n%7), TaskType: "ticket_deflection", Outcome: humanhours.OutcomeSuccess,
		AgentDuration: null("4.25"),
		Model:         "acme/large-2", Usage: humanhours.Usage{
			TokensIn: humanhours.Int64(1234), TokensOut: humanhours.Int64(567), TokensCacheRead: humanhours.Int64(4096),
			TokensCacheWrite: humanhours.Int64(512), TokensCacheWrite1h: humanhours.Int64(64), TokensReasoning: humanhours.Int64(89),
			TokensAudio: humanhours.Int64(7), Images: humanhours.Int64(2), WebSearches: humanhours.Int64(1),
		},
		Metadata:    json.RawMessage(`{"client":"Zoë","n":` + strconv.Itoa(n) + `}`),
		AuditSample: humanhours.AuditSample{InputExcerpt: "Where is my parcel?", OutputExcerpt: "On its way."},
		OccurredAt:  received.Add(-90*time.Second - 7*time.Millisecond), ReceivedAt: received,
		Baseline:   humanhours.Baseline{Minutes: dec("30.5"), Source: humanhours.BaselineOverride},
		HourlyRate: humanhours.HourlyRate{Amount: dec("52.75"), Source: humanhours.RateAgent},
		Currency:   "EUR",
		Cost: humanhours.RunCost{
			Source: humanhours.CostComputed, Precision: humanhours.CostEstimated,
			Price: humanhours.Price{
				Model: "acme/large", Input: null("0.0000000833333333333333"), Output: null("0.00000125"),
				CacheRead: null("0.00000000833333333333333"), CacheWrite: null("0.0000001"), CacheWrite1h: null("0.0000002"),
				Reasoning: null("0.0000015"), Audio: null("0.000001"), Image: null("0.0013"), WebSearch: null("0.01"), Request: null("0.005"),
				Currency: "USD", Source: "acme", Version: "2026-05-01",
				Date: time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC),
			},
			FX: humanhours.ExchangeRate{
				From: "USD", To: "EUR", Rate: dec("0.9231"), Source: "ECB",
				Date: time.Date(2026, time.May, 13, 0, 0, 0, 0, time.UTC),
			},
		},
		Credited: true,
		Scale:    humanhours.DefaultScale(),
		ROI: humanhours.ROI{
			HoursSaved: dec("0.507"), CostSaved: dec("26.74425"),
			AgentCost: null("0.017216015"), NetSaved: dec("26.727033985"),
		},
	}
}

// Entry returns Event(org, n) as an entry that was received then, without a key and without a cap.
func Entry(org string, n int) humanhours.Entry {
	event := Event(org, n)
	return humanhours.Entry{Event: event, At: event.ReceivedAt}
}

// eventID returns the n-th id: shaped like a ULID, and in the order of n.
func eventID(n int) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	id := []byte("evt_01JV0000000000000000000000")
	for i := len(id) - 1; n > 0; i, n = i-1, n/len(digits) {
		id[i] = digits[n%len(digits)]
	}
	return string(id)
}

func dec(s string) decimal.Decimal { return decimal.RequireFromString(s) }

func null(s string) decimal.NullDecimal { return decimal.NewNullDecimal(dec(s)) }

// calls turns e into a run that was sent as calls: of two models, priced in two currencies.
func calls(e *humanhours.Event) {
	full := *e
	e.Model = ""
	e.Cost.Price, e.Cost.FX = humanhours.Price{}, humanhours.ExchangeRate{}
	plain := humanhours.Price{
		Model: "own/small", Input: null("0"), Output: null("0.000000000000000000001"), Currency: "EUR", Source: "own", Version: "2",
		Date: time.Date(2026, time.April, 30, 0, 0, 0, 0, time.UTC),
	}
	e.LLMCalls = []humanhours.PricedCall{
		{LLMCall: humanhours.LLMCall{Model: "acme/large-2", Usage: full.Usage}, Price: full.Cost.Price, FX: full.Cost.FX},
		{
			LLMCall: humanhours.LLMCall{Model: "own \"small\"\u2028Zoë", Usage: humanhours.Usage{TokensIn: humanhours.Int64(0), TokensOut: humanhours.Int64(1)}},
			Price:   plain,
		},
	}
}

// bare returns Event without anything that may be absent.
func bare(org string, n int) humanhours.Event {
	full := Event(org, n)
	return humanhours.Event{
		ID: full.ID, Org: org, AgentID: full.AgentID, TaskType: full.TaskType, Outcome: humanhours.OutcomeFailure,
		OccurredAt: full.OccurredAt, ReceivedAt: full.ReceivedAt,
		Baseline: full.Baseline, HourlyRate: full.HourlyRate, Currency: full.Currency,
		Cost:  humanhours.RunCost{Source: humanhours.CostNone},
		Scale: full.Scale,
	}
}

// option changes a sample entry.
type option func(*humanhours.Entry)

// key gives the entry an idempotency key for the usual window.
func key(key string) option {
	return func(e *humanhours.Entry) { e.Key, e.Window = key, window }
}

// lasting says how long the key names its event. It goes after key.
func lasting(d time.Duration) option { return func(e *humanhours.Entry) { e.Window = d } }

// fingerprint sets the fingerprint; samples have the zero one.
func fingerprint(f humanhours.Fingerprint) option {
	return func(e *humanhours.Entry) { e.Fingerprint = f }
}

// at says when the entry was received.
func at(t time.Time) option {
	return func(e *humanhours.Entry) { e.At, e.Event.ReceivedAt = t, t }
}

// occurred says when the task was done.
func occurred(t time.Time) option {
	return func(e *humanhours.Entry) { e.Event.OccurredAt = t }
}

// capped limits the month.
func capped(n int64) option { return func(e *humanhours.Entry) { e.Cap = n } }

// test makes it the event of a test key.
func test(e *humanhours.Entry) { e.Event.Test = true }

// names are byte strings that stores like to mistake for one another, or for something of their own.
func names() []string {
	list := []string{
		"a", "A", "b", "c", "ab", "bc", "abc", "a ", " a", "a\t", "a\n", "a\r\n", "a\nb", "a\x00", "a\x00b", "\x00", "\x00a", " ",
		"{a}", "{a}b", "b{a}", "{", "}", "{}", "a}", "{a", "[a]", "(a)", `"a"`, "'a'", "a'b", "a''b", `a\b`, `a\\b`, "a\\n",
		"a*", "a?", "a%", "a_", "*", "%", "_", "a/b", "a/../a", "..", ".", "a;b", "a--b", "a=b", "a+b", "a%3Ab", "a%20",
		"0", "1", "01", "1.0", "1e0", "-1", "null", "NULL", "nil", "true", "NaN", "undefined",
		"usage", "a:usage", "a:events", "a:keys", "usage:2026-05", "2026-05", "a:2026-05", "a}:usage", "evt_", eventID(1),
		"\u00e9", "e\u0301", "E\u0301", "\u00c9", "ß", "ss", "SS", "ı", "i", "I", "İ", "ſ", "s", "K", "k", "\u212a",
		"日本", "😀", "😁", "a\u200b", "\ufeffa", "a\u00ad", "\u00a0a",
		"\xff", "\xfe", "\xff\xfe", "\ufffd", "a\xc3", "a\xc3\x28", "a\ufffd", "\xed\xa0\x80", "\x80", "\xc0\x80",
	}
	for _, separator := range separators() {
		list = append(list, joints(separator)...)
	}
	every := make([]byte, 255)
	for i := range every {
		every[i] = byte(i)
	}
	list = append(list, string(every))
	every[254] = 255
	list = append(list, string(every), string(every[1:]), string(every[:254]))
	return distinct(list)
}

// separators are what a store may join names with.
func separators() []string {
	return []string{"", ":", "/", "|", "-", "_", ".", ",", "#", "\x00", "\x1f", "::", "\n", " ", "\xff"}
}

// joints are names of which several pairs are equal when they are joined with separator.
func joints(separator string) []string {
	return distinct([]string{
		"a", "b", "c", "a" + separator, separator + "c", "a" + separator + "b", "b" + separator + "c", "a" + separator + "b" + separator + "c",
	})
}

// longKeys are idempotency keys that differ only far from their start, up to the longest that a store must take.
func longKeys() []string {
	var list []string
	for _, n := range []int{255, 256, 767, 1024, 1099, 1100} {
		key := make([]byte, n)
		for i := range key {
			key[i] = byte('k' + i%3)
		}
		list = append(list, string(key))
		key[n-1] = 0xfe
		list = append(list, string(key))
	}
	return distinct(list)
}

func distinct(list []string) []string {
	seen := make(map[string]bool)
	out := list[:0]
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

package humanhours

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

// IdempotencyWindow is how long a key keeps naming its event, from its first use. At exactly this age it is free again.
const IdempotencyWindow = 24 * time.Hour

// MaxIdempotencyKey is the longest key, in characters.
const MaxIdempotencyKey = 255

// MismatchPolicy is what happens when a key comes again with a different request.
type MismatchPolicy int

const (
	// MismatchReplay answers the first event, as for any retry, with Result.Mismatch set. It is the default: a key
	// names one event, and a client that builds its request anew for a retry must not lose the answer.
	MismatchReplay MismatchPolicy = iota
	// MismatchRefuse answers CodeIdempotencyKeyReused.
	MismatchRefuse
)

// Mismatch tells Config.OnMismatch about a key that came again with a different request. Keys that repeat across
// runs hide volume: the second run is answered with the first one's event and is never stored.
type Mismatch struct {
	Org   string
	KeyID string // the API key that sent the different request; empty in process
	Key   string // the idempotency key
	First Event  // the event that the key names
}

// Fingerprint identifies the content of a request, so that a retry can be told from another request under the same key.
type Fingerprint [16]byte

// checkIdempotencyKey holds a key that is present against its rules.
func checkIdempotencyKey(key string) error {
	if key != "" && len(key) <= MaxIdempotencyKey && printable(key) {
		return nil
	}
	if n := utf8.RuneCountInString(key); n < 1 || n > MaxIdempotencyKey {
		return invalid("idempotency_key", "must be 1 to 255 characters")
	}
	return checkText("idempotency_key", key)
}

// printable reports whether s is of printable ASCII alone, as most texts are.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// checkText refuses invalid UTF-8 and control characters.
func checkText(field, s string) error {
	if !utf8.ValidString(s) {
		return invalid(field, "must be valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return invalid(field, "must not contain control characters")
		}
	}
	return nil
}

// testKeySpace starts the stored form of a test caller's key.
const testKeySpace = "test\x00"

// storeKey is the key under which a caller's idempotency key is stored. Test keys have a space of their own, so that a
// rehearsal can never swallow a live event. A key of a caller holds no control character, so the two cannot meet.
func storeKey(c Caller, key string) string {
	if c.Test {
		return testKeySpace + key
	}
	return key
}

// fingerprint hashes the decoded request as it was sent: not its bytes, so that spaces, the order of fields and 4 or
// 4.0 make no difference (within metadata, which is the sender's, they do), and not what was resolved, so that a changed
// catalogue makes none either. r must have been validated.
func (r *checked) fingerprint() Fingerprint {
	b := make([]byte, 0, 512)
	str := func(s string) { // the length first: no text can pretend to be two fields
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	num := func(d decimal.NullDecimal) {
		if d.Valid {
			b = AppendDecimal(b, d.Decimal)
		}
		b = append(b, ';')
	}
	count := func(n NullInt64) {
		if n.Valid {
			b = binary.AppendVarint(append(b, 1), n.Int64)
		} else {
			b = append(b, 0)
		}
	}
	str(r.AgentID)
	str(r.TaskType)
	str(string(r.Outcome))
	num(r.AgentDuration)
	num(r.AgentCost)
	num(r.HumanBaselineMinutes)
	str(r.Model)
	count(r.TokensIn)
	count(r.TokensOut)
	metadata := r.Metadata
	if !r.canonical {
		metadata = canonicalJSON(metadata)
	}
	str(string(metadata))
	str(r.AuditSample.InputExcerpt)
	str(r.AuditSample.OutputExcerpt)
	if !r.OccurredAt.IsZero() {
		b = binary.AppendVarint(b, r.OccurredAt.UnixMilli())
	}
	// What came later than the rest adds nothing where it is absent: a retry may meet a newer release than its first try.
	counts := r.Usage.counts()
	for i, n := range counts[2:] {
		if n.Valid {
			str(countNames[2+i])
			count(*n)
		}
	}
	for i := range r.LLMCalls {
		str("llm_calls")
		str(r.LLMCalls[i].Model)
		for _, n := range r.LLMCalls[i].counts() {
			count(*n)
		}
	}
	sum := sha256.Sum256(b)
	return Fingerprint(sum[:16])
}

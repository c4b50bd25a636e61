package redis

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/humanhours/humanhours-go"
	instants "github.com/humanhours/humanhours-go/internal/instant"
)

// A record is an event as it is kept in Redis, where memory is what costs:
//
//	3 bytes   length of what follows, big-endian
//	1 byte    plainRecord or keyedRecord
//	6 bytes   received_at in Unix milliseconds + timeBias, big-endian
//	6 bytes   occurred_at, likewise
//	22 bytes  if the event claims an idempotency key: when it is free again, likewise, and the fingerprint of the request
//	the rest  the event's stored encoding, in which codes stand for its field names and for common values
//
// The stored encoding is JSON, and in JSON no byte below 0x20 stands for itself but white space. So such a byte is free to be a code,
// whatever a client puts into its metadata, and a field that a later release adds is kept as the text that it is.
const (
	plainRecord = 1
	keyedRecord = 2
	lengthBytes = 3
	headBytes   = lengthBytes + 1 + 6 + 6
	claimBytes  = 6 + 16
	maxRecord   = 1<<24 - 1
	timeBias    = 1 << 47 // makes years before 1970 positive
)

// Codes that have arguments, or none to speak of. A wide code is followed by a second byte.
const (
	codeReceived = 0x01 // ,"received_at":"..." of the head
	codeOccurred = 0x02 // ,"occurred_at":"..." of the head
	codeULID     = 0x03 // ,"event_id":"evt_..." of 16 bytes
	codeWide     = 0x1f
)

// fragments are what the codes stand for. The order is the meaning: a fragment may be added at the end of wideFragments, and never
// changed. A release that does not know a code says so.
var (
	fragments = [...]struct {
		code byte
		text string
	}{
		{0x04, `{"v":1,"key_id":"`},
		{0x05, `,"hours_scale":3,"money_scale":9`},
		{0x06, `,"agent_id":"`},
		{0x07, `","task_type":"`},
		{0x08, `","outcome":"success","resolved_baseline_minutes":`},
		{0x0b, `,"resolved_baseline_source":"builtin","resolved_hourly_rate":`},
		{0x0c, `,"resolved_hourly_rate_source":"org","currency":"EUR"`},
		{0x0e, `,"resolved_hourly_rate_source":"default","currency":"EUR"`},
		{0x0f, `,"agent_duration_seconds":`},
		{0x10, `,"hours_saved":`},
		{0x11, `,"cost_saved":`},
		{0x12, `,"agent_cost":`},
		{0x13, `,"resolved_cost_source":"computed","net_saved":`},
		{0x14, `,"agent_cost":null,"resolved_cost_source":"none","net_saved":`},
		{0x15, `,"model":"`},
		{0x16, `","tokens_in":`},
		{0x17, `,"tokens_out":`},
		{0x18, `,"priced_as":"`},
		{0x19, `","price_input_per_token":`},
		{0x1a, `,"price_output_per_token":`},
		{0x1b, `,"price_currency":"USD","price_source":"`},
		{0x1c, `","price_version":"`},
		{0x1d, `","price_date":"`},
		{0x1e, `,"metadata":{`},
	}
	wideFragments = [...]string{
		`{"v":1`,
		`,"hours_scale":`,
		`,"money_scale":`,
		`,"event_id":"`,
		`,"test":true`,
		`","outcome":"failure","resolved_baseline_minutes":`,
		`","outcome":"failure","credited":false,"resolved_baseline_minutes":`,
		`","outcome":"needs_review","resolved_baseline_minutes":`,
		`","outcome":"`,
		`","resolved_baseline_minutes":`,
		`,"credited":false`,
		`,"resolved_baseline_source":"`,
		`request","resolved_hourly_rate":`,
		`override","resolved_hourly_rate":`,
		`custom","resolved_hourly_rate":`,
		`fallback","resolved_hourly_rate":`,
		`,"resolved_hourly_rate":`,
		`,"resolved_hourly_rate_source":"agent","currency":"EUR"`,
		`,"resolved_hourly_rate_source":"agent","currency":"`,
		`,"resolved_hourly_rate_source":"org","currency":"USD"`,
		`,"resolved_hourly_rate_source":"org","currency":"`,
		`,"resolved_hourly_rate_source":"default","currency":"`,
		`,"resolved_hourly_rate_source":"`,
		`","currency":"`,
		`,"resolved_cost_source":"provided","net_saved":`,
		`,"resolved_cost_source":"none","unpriced_reason":"`,
		`,"resolved_cost_source":"`,
		`,"unpriced_reason":"`,
		`,"net_saved":`,
		`,"tokens_in":`,
		`,"price_currency":"`,
		`","price_source":"`,
		`openrouter`,
		`","fx_rate":`,
		`,"fx_source":"`,
		`","fx_date":"`,
		`,"audit_sample":{"input_excerpt":"`,
		`,"audit_sample":{"output_excerpt":"`,
		`","output_excerpt":"`,
		`client_id":"`,
		`client":"`,
		`,"resolved_cost_source":"computed","cost_precision":"exact","net_saved":`,
		`,"resolved_cost_source":"computed","cost_precision":"estimated","net_saved":`,
		`,"tokens_cache_read":`,
		`,"tokens_cache_write":`,
		`,"tokens_reasoning":`,
		`,"price_cache_read_per_token":`,
		`,"price_cache_write_per_token":`,
		`,"price_reasoning_per_token":`,
		`,"llm_calls":[{"model":"`,
		`},{"model":"`,
		`,"price_input_per_token":`,
	}
)

// codec finds fragments. It is immutable.
type codec struct {
	single [256]string // by code; empty: no fragment
	by     [256][]code // by hash of the first bytes of the fragment, longest first
	starts [256]bool   // bytes that a fragment starts with
}

// fingers is how many bytes of a fragment are looked at to find it. None is shorter.
const fingers = 6

func hash(text []byte) byte { return text[2]*3 ^ text[3]*5 ^ text[4]*17 ^ text[5]*29 }

type code struct {
	text  string
	bytes string // one or two
}

func newCodec() *codec {
	c := &codec{}
	add := func(k code) {
		first := hash([]byte(k.text))
		list := append(c.by[first], k)
		for i := len(list) - 1; i > 0 && len(list[i].text) > len(list[i-1].text); i-- {
			list[i], list[i-1] = list[i-1], list[i]
		}
		c.by[first] = list
		c.starts[k.text[0]] = true
	}
	for _, f := range fragments {
		c.single[f.code] = f.text
		add(code{f.text, string([]byte{f.code})})
	}
	for i, text := range wideFragments {
		add(code{text, string([]byte{codeWide, byte(i + 1)})})
	}
	return c
}

const (
	receivedField = `,"received_at":"`
	occurredField = `,"occurred_at":"`
	ulidField     = `,"event_id":"evt_`
	ulidPrefix    = "evt_"
)

// claim is what a record says of the key of its event.
type claim struct {
	expires     int64 // Unix milliseconds
	fingerprint humanhours.Fingerprint
}

// appendRecord appends the record of an event; claim is nil if the event has no key.
func (c *codec) appendRecord(dst []byte, e *humanhours.Event, claim *claim) ([]byte, error) {
	start := len(dst)
	received, occurred := e.ReceivedAt.UnixMilli(), e.OccurredAt.UnixMilli()
	if !inRange(received) || !inRange(occurred) {
		return dst, errors.New("redis: an instant of the event is out of range")
	}
	version := byte(plainRecord)
	if claim != nil {
		version = keyedRecord
	}
	dst = append(dst, 0, 0, 0, version)
	dst = appendInstant(dst, received)
	dst = appendInstant(dst, occurred)
	if claim != nil {
		dst = append(appendInstant(dst, claim.expires), claim.fingerprint[:]...)
	}
	var buf [1024]byte
	dst = c.compress(dst, e.AppendStored(buf[:0]), received, occurred)
	n := len(dst) - start - lengthBytes
	if n > maxRecord {
		return dst[:start], fmt.Errorf("redis: the event has %d bytes; at most %d can be stored", n, maxRecord)
	}
	dst[start], dst[start+1], dst[start+2] = byte(n>>16), byte(n>>8), byte(n)
	return dst, nil
}

func inRange(ms int64) bool { return -timeBias <= ms && ms < timeBias }

func appendInstant(dst []byte, ms int64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(ms+timeBias))
	return append(dst, b[2:]...)
}

func instantAt(b []byte) int64 {
	var whole [8]byte
	copy(whole[2:], b[:6])
	return int64(binary.BigEndian.Uint64(whole[:])) - timeBias
}

func (c *codec) compress(dst, text []byte, received, occurred int64) []byte {
	var scratch [64]byte
	for len(text) > 0 {
		if !c.starts[text[0]] || len(text) < fingers {
			n := 1
			for n < len(text) && !c.starts[text[n]] {
				n++
			}
			dst = append(dst, text[:n]...)
			text = text[n:]
			continue
		}
		if text[0] == ',' && (text[2] == 'r' || text[2] == 'o' || text[2] == 'e') {
			if rest, ok := cutInstant(text, receivedField, received, scratch[:0]); ok {
				dst, text = append(dst, codeReceived), rest
				continue
			}
			if rest, ok := cutInstant(text, occurredField, occurred, scratch[:0]); ok {
				dst, text = append(dst, codeOccurred), rest
				continue
			}
			if id, rest, ok := cutULID(text); ok {
				dst, text = append(append(dst, codeULID), id[:]...), rest
				continue
			}
		}
		found := false
		for _, k := range c.by[hash(text)] {
			if len(text) >= len(k.text) && string(text[:len(k.text)]) == k.text {
				dst, text, found = append(dst, k.bytes...), text[len(k.text):], true
				break
			}
		}
		if !found {
			dst = append(dst, text[0])
			text = text[1:]
		}
	}
	return dst
}

// cutInstant cuts a field that the head of the record can restore.
func cutInstant(text []byte, field string, ms int64, scratch []byte) (rest []byte, ok bool) {
	if len(text) < len(field) || string(text[:len(field)]) != field {
		return nil, false
	}
	want := append(instants.Append(scratch, ms), '"')
	value := text[len(field):]
	if len(value) < len(want) || string(value[:len(want)]) != string(want) {
		return nil, false
	}
	return value[len(want):], true
}

func cutULID(text []byte) (id ulid.ULID, rest []byte, ok bool) {
	end := len(ulidField) + ulid.EncodedSize
	if len(text) <= end || string(text[:len(ulidField)]) != ulidField || text[end] != '"' {
		return id, nil, false
	}
	if id, ok = parseULID(string(text[len(ulidField):end])); !ok {
		return id, nil, false
	}
	return id, text[end+1:], true
}

// parseULID reads a ULID that is written as this package would write it.
func parseULID(s string) (ulid.ULID, bool) {
	for i := range len(s) {
		if 'a' <= s[i] && s[i] <= 'z' {
			return ulid.ULID{}, false // is read too, and would come back in capitals
		}
	}
	id, err := ulid.ParseStrict(s)
	return id, err == nil
}

var errCorrupt = errors.New("redis: a stored event is damaged, or was written by a newer release")

// record is one event in a chunk, not decoded yet.
type record struct {
	received, occurred int64 // Unix milliseconds
	body               []byte
}

// cutRecord takes the first record off a chunk.
func cutRecord(chunk []byte) (r record, rest []byte, err error) {
	if len(chunk) < headBytes {
		return r, nil, errCorrupt
	}
	n := int(chunk[0])<<16 | int(chunk[1])<<8 | int(chunk[2])
	start := headBytes
	if chunk[lengthBytes] == keyedRecord {
		start += claimBytes
	}
	if version := chunk[lengthBytes]; lengthBytes+n < start || len(chunk) < lengthBytes+n || version != plainRecord && version != keyedRecord {
		return r, nil, errCorrupt
	}
	r.received = instantAt(chunk[lengthBytes+1:])
	r.occurred = instantAt(chunk[lengthBytes+7:])
	r.body = chunk[start : lengthBytes+n]
	return r, chunk[lengthBytes+n:], nil
}

// expand appends the stored encoding of a record.
func (c *codec) expand(dst []byte, r record) ([]byte, error) {
	for b := r.body; len(b) > 0; {
		k := b[0]
		b = b[1:]
		switch {
		case k >= 0x20 || k == '\t' || k == '\n' || k == '\r':
			dst = append(dst, k)
		case k == codeReceived:
			dst = appendInstantField(dst, receivedField, r.received)
		case k == codeOccurred:
			dst = appendInstantField(dst, occurredField, r.occurred)
		case k == codeULID:
			if len(b) < len(ulid.ULID{}) {
				return dst, errCorrupt
			}
			dst = append(append(append(dst, ulidField...), ulid.ULID(b[:16]).String()...), '"')
			b = b[16:]
		case k == codeWide:
			if len(b) == 0 || b[0] == 0 || int(b[0]) > len(wideFragments) {
				return dst, errCorrupt
			}
			dst = append(dst, wideFragments[b[0]-1]...)
			b = b[1:]
		case c.single[k] != "":
			dst = append(dst, c.single[k]...)
		default:
			return dst, errCorrupt
		}
	}
	return dst, nil
}

func appendInstantField(dst []byte, field string, ms int64) []byte {
	return append(instants.Append(append(dst, field...), ms), '"')
}

// redacted returns a record without what a redaction erases. Others say where it begins and where the next one does, so it stays as long as it
// was: blanks fill it up, which JSON may have behind a value. All else stays as it is, also what this release does not know.
func (c *codec) redacted(old []byte) ([]byte, error) {
	r, rest, err := cutRecord(old)
	if err != nil || len(rest) > 0 {
		return nil, errors.Join(errCorrupt, err)
	}
	text, err := c.expand(nil, r)
	if err == nil {
		text, err = without(text, "metadata", "audit_sample")
	}
	if err != nil {
		return nil, err
	}
	clean := make([]byte, 0, len(old))
	clean = c.compress(append(clean, old[:len(old)-len(r.body)]...), text, r.received, r.occurred)
	for len(clean) < len(old) {
		clean = append(clean, ' ')
	}
	// What is overwritten cannot be had again, so it is made sure of.
	want, err := c.decode("", r)
	if err != nil {
		return nil, err
	}
	want.Redact()
	now, rest, err := cutRecord(clean)
	if err != nil || len(rest) > 0 || len(clean) != len(old) {
		return nil, errors.Join(errCorrupt, err)
	}
	if got, err := c.decode("", now); err != nil || !got.Equal(&want) {
		return nil, errors.Join(errCorrupt, err)
	}
	return clean, nil
}

// without takes members out of a JSON object, of which they are not the first, and what is behind it.
func without(object []byte, names ...string) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, errors.Join(errCorrupt, err)
	}
	var kept []byte
	var value json.RawMessage
	from := int64(0)
	for d.More() {
		before := d.InputOffset() // the comma
		name, err := d.Token()
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, errors.Join(errCorrupt, err)
		}
		if text, _ := name.(string); slices.Contains(names, text) {
			kept, from = append(kept, object[from:before]...), d.InputOffset()
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.Join(errCorrupt, err)
	}
	return append(kept, object[from:d.InputOffset()]...), nil
}

// decode returns the event of a record.
func (c *codec) decode(org string, r record) (humanhours.Event, error) {
	return c.decodeBy(humanhours.DecodeStored, org, r)
}

// decodeBy is decode for a way to decode.
func (c *codec) decodeBy(by func(string, []byte) (humanhours.Event, error), org string, r record) (humanhours.Event, error) {
	var buf [1024]byte
	text, err := c.expand(buf[:0], r)
	if err != nil {
		return humanhours.Event{}, err
	}
	return by(org, text)
}

// idField is how an event id is written in the index: shorter for the ids that a Tracker makes, and never equal for two ids.
func idField(id string) string {
	if len(id) == len(ulidPrefix)+ulid.EncodedSize && id[:len(ulidPrefix)] == ulidPrefix {
		if u, ok := parseULID(id[len(ulidPrefix):]); ok {
			return "\x01" + string(u[:])
		}
	}
	return "\x00" + id
}

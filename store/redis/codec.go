package redis

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/compact"
)

// A record is an event as it is kept in Redis, where memory is what costs:
//
//	3 bytes   length of what follows, big-endian
//	1 byte    plainRecord or keyedRecord
//	6 bytes   received_at in Unix milliseconds + timeBias, big-endian
//	6 bytes   occurred_at, likewise
//	22 bytes  if the event claims an idempotency key: when it is free again, likewise, and the fingerprint of the request
//	1-3 bytes length of the id as the index has it, a varint
//	the id
//	the rest  all else, as package compact has it, which steps over the fields of a later release
const (
	plainRecord = 3 // 1 and 2 had the event as JSON, in no release
	keyedRecord = 4
	lengthBytes = 3
	headBytes   = lengthBytes + 1 + 6 + 6
	claimBytes  = 6 + 16
	maxRecord   = 1<<24 - 1
	timeBias    = 1 << 47 // makes years before 1970 positive
)

const ulidPrefix = "evt_"

// claim is what a record says of the key of its event.
type claim struct {
	expires     int64 // Unix milliseconds
	fingerprint humanhours.Fingerprint
}

// appendRecord appends the record of an event with an id as the index has it; claim is nil if the event has no key.
func appendRecord(dst []byte, e *humanhours.Event, id string, claim *claim) ([]byte, error) {
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
	dst = append(binary.AppendUvarint(dst, uint64(len(id))), id...)
	dst = compact.Append(dst, e)
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
	id                 []byte
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
	length, size := binary.Uvarint(r.body)
	if size <= 0 || length == 0 || length > uint64(len(r.body)-size) {
		return r, nil, errCorrupt
	}
	r.id, r.body = r.body[size:size+int(length)], r.body[size+int(length):]
	return r, chunk[lengthBytes+n:], nil
}

// event returns the event of a record; a sparse one as EventQuery.Sparse says.
func (r *record) event(org string, sparse bool) (humanhours.Event, error) {
	e := humanhours.Event{Org: org, ID: idOf(r.id), ReceivedAt: time.UnixMilli(r.received).UTC(), OccurredAt: time.UnixMilli(r.occurred).UTC()}
	if err := compact.Decode(r.body, &e, sparse); err != nil {
		return humanhours.Event{}, errors.Join(errCorrupt, err)
	}
	return e, nil
}

// redacted returns a record without what a redaction erases. Others say where it begins and where the next one does, so it stays as long as it
// was: zeros fill it up. All else stays as it is, also what this release does not know.
func redacted(old []byte) ([]byte, error) {
	r, rest, err := cutRecord(old)
	if err != nil || len(rest) > 0 {
		return nil, errors.Join(errCorrupt, err)
	}
	clean := append(make([]byte, 0, len(old)), old[:len(old)-len(r.body)]...)
	if clean, err = compact.Redact(clean, r.body); err != nil {
		return nil, errors.Join(errCorrupt, err)
	}
	clean = append(clean, make([]byte, len(old)-len(clean))...)
	// What is overwritten cannot be had again, so it is made sure of.
	want, err := r.event("", false)
	if err != nil {
		return nil, err
	}
	want.Redact()
	now, rest, err := cutRecord(clean)
	if err != nil || len(rest) > 0 {
		return nil, errors.Join(errCorrupt, err)
	}
	if got, err := now.event("", false); err != nil || !got.Equal(&want) {
		return nil, errors.Join(errCorrupt, err)
	}
	return clean, nil
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

// idOf is the id of a field of the index.
func idOf(field []byte) string {
	if len(field) == 1+len(ulid.ULID{}) && field[0] == 1 {
		var text [len(ulidPrefix) + ulid.EncodedSize]byte
		copy(text[:], ulidPrefix)
		if ulid.ULID(field[1:]).MarshalTextTo(text[len(ulidPrefix):]) == nil { // there is room
			return string(text[:])
		}
	}
	return string(field[1:])
}

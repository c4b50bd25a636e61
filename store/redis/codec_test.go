package redis

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func TestRecordsComeBack(t *testing.T) {
	var chunk []byte
	var want []humanhours.Event
	for n := range 50 {
		e := storetest.Event("acme", n)
		switch n % 5 {
		case 1:
			e = humanhours.Event{Org: "acme", ID: "x" + strconv.Itoa(n), Scale: humanhours.DefaultScale(), Credited: true,
				OccurredAt: time.UnixMilli(-62_135_596_800_000).UTC(), ReceivedAt: time.UnixMilli(4_000_000_000_000).UTC()}
		case 2:
			e.ID = "evt_01ARZ3NDEKTSV4RRFFQ69G5FA" + string("ABCDEFGHJK"[n/5])
		case 3:
			e.ID = "evt_01arz3ndektsv4rrffq69g5fav"
			e.Outcome, e.Credited, e.Test = humanhours.OutcomeFailure, false, true
		case 4:
			e.ID = strings.Repeat("x", 300)
		}
		var err error
		chunk, err = appendRecord(chunk, &e, idField(e.ID), map[bool]*claim{true: {expires: int64(n)}}[n%2 == 0])
		require.NoError(t, err)
		want = append(want, e)
	}
	for i := range want {
		r, rest, err := cutRecord(chunk)
		require.NoError(t, err)
		got, err := r.event("acme", false)
		require.NoError(t, err)
		assert.True(t, got.Equal(&want[i]), "event %d:\n%s\n%s", i, got.AppendStored(nil), want[i].AppendStored(nil))
		assert.Equal(t, want[i].ReceivedAt.UnixMilli(), r.received)
		assert.Equal(t, want[i].OccurredAt.UnixMilli(), r.occurred)
		chunk = rest
	}
	require.Empty(t, chunk)
}

// A record without what a redaction erases has its length and its claim, and all else that is in it, also what a later release has added.
func TestRedactedRecords(t *testing.T) {
	for n := range 60 {
		e := storetest.Event("acme", n)
		if n%4 == 1 {
			e.AuditSample = humanhours.AuditSample{}
		}
		if n%5 == 1 {
			e.Metadata = nil
		}
		old, err := appendRecord(nil, &e, idField(e.ID), map[bool]*claim{true: {expires: int64(n), fingerprint: humanhours.Fingerprint{1, 2}}}[n%2 == 0])
		require.NoError(t, err)
		later := "\x7f\x0alater" // a text, in a field of a later release
		if n%6 == 3 {
			old = append(old, later...)
			old[0], old[1], old[2] = 0, byte((len(old)-lengthBytes)>>8), byte(len(old)-lengthBytes)
		}
		r := must(cutRecord(old))
		was, err := r.event("acme", false)
		require.NoError(t, err)
		clean, err := redacted(old)
		require.NoError(t, err)
		require.Len(t, clean, len(old))
		head := len(old) - len(r.body)
		require.Equal(t, old[:head], clean[:head])
		now := must(cutRecord(clean))
		got, err := now.event("acme", false)
		require.NoError(t, err)
		was.Redact()
		require.True(t, got.Equal(&was))
		require.NotContains(t, string(clean), "parcel")
		require.NotContains(t, string(clean), "Zoë")
		require.Equal(t, n%6 == 3, strings.Contains(string(clean), later))
		again, err := redacted(clean)
		require.NoError(t, err)
		require.Equal(t, clean, again)
	}
	_, err := redacted([]byte("no record"))
	require.ErrorIs(t, err, errCorrupt)
}

func must(r record, _ []byte, err error) record {
	if err != nil {
		panic(err)
	}
	return r
}

func TestDamagedAmendments(t *testing.T) {
	whole := "\x00\x00\x05\x00\x02idabc" + "\x00\x00\x02\x00\x02id"
	got, err := amendments(nil).read(whole)
	require.NoError(t, err)
	require.Equal(t, amendments{"id": {"abc", ""}}, got)
	for n := range whole {
		if n != 0 && n != 10 {
			_, err := amendments(nil).read(whole[:n])
			require.ErrorIs(t, err, errCorrupt, "%d bytes", n)
		}
	}
	_, err = amendments(nil).read("\x00\x00\x01\x00\x02id")
	require.ErrorIs(t, err, errCorrupt)
}

func TestEventsOutsideOfTimeAreRefused(t *testing.T) {
	e := storetest.Event("acme", 1)
	e.OccurredAt = time.UnixMilli(timeBias)
	_, err := appendRecord(nil, &e, "x", nil)
	require.Error(t, err)
}

// FuzzCutRecord proves that what is damaged is an error.
func FuzzCutRecord(f *testing.F) {
	e := storetest.Event("acme", 1)
	record, err := appendRecord(nil, &e, idField(e.ID), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record)
	f.Add([]byte{0, 0, 13, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, chunk []byte) {
		for len(chunk) > 0 {
			r, rest, err := cutRecord(chunk)
			if err != nil {
				return
			}
			if len(rest) >= len(chunk) {
				t.Fatal("nothing was cut")
			}
			_, _ = r.event("acme", len(rest)%2 == 0)
			chunk = rest
		}
	})
}

func TestIDFieldsNeverCollide(t *testing.T) {
	seen := make(map[string]string)
	for _, id := range []string{"", "x", "\x01", "evt_", "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV", "evt_01arz3ndektsv4rrffq69g5fav", "01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"evt_O1ARZ3NDEKTSV4RRFFQ69G5FAV", "evt_ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "\x00x"} {
		field := idField(id)
		before, ok := seen[field]
		assert.False(t, ok, "%q and %q", id, before)
		assert.Equal(t, id, idOf([]byte(field)))
		seen[field] = id
	}
	assert.Len(t, idField("evt_01ARZ3NDEKTSV4RRFFQ69G5FAV"), 17)
}

func BenchmarkAppendRecord(b *testing.B) {
	e := storetest.Event("acme", 1)
	id, text := idField(e.ID), e.AppendStored(nil)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = appendRecord(dst[:0], &e, id, nil)
	}
	b.ReportMetric(float64(len(dst)), "bytes")
	b.ReportMetric(float64(len(text)), "json-bytes")
}

package redis

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	instants "github.com/humanhours/humanhours-go/internal/instant"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func TestRecordsComeBack(t *testing.T) {
	c := newCodec()
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
			e.Metadata = []byte("{\"a\":\"\\u0001,\\\"event_id\\\":\\\"evt_\",\n\t\"client_id\":\"x\"}")
		case 3:
			e.ID = "evt_01arz3ndektsv4rrffq69g5fav"
			e.Outcome, e.Credited, e.Test = humanhours.OutcomeFailure, false, true
			e.Metadata = []byte(`{"received_at":"2026-05-14T09:30:00.123Z","x":{"v":1,"occurred_at":"` + e.OccurredAt.Format(instants.Layout) + `"}}`)
		case 4:
			e.AgentID, e.Model = `","task_type":"`, "\x1f\x01"
		}
		var err error
		chunk, err = c.appendRecord(chunk, &e, map[bool]*claim{true: {expires: int64(n)}}[n%2 == 0])
		require.NoError(t, err)
		want = append(want, e)
	}
	for i := range want {
		r, rest, err := cutRecord(chunk)
		require.NoError(t, err)
		got, err := c.decode("acme", r)
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
	c := newCodec()
	for n := range 60 {
		e := storetest.Event("acme", n)
		if n%3 == 1 {
			e.Metadata = []byte(`{"metadata":{"a":"}],"},"audit_sample":[{"metadata":1}]}`)
		}
		if n%4 == 1 {
			e.AuditSample = humanhours.AuditSample{}
		}
		if n%5 == 1 {
			e.Metadata = nil
		}
		old, err := c.appendRecord(nil, &e, map[bool]*claim{true: {expires: int64(n), fingerprint: humanhours.Fingerprint{1, 2}}}[n%2 == 0])
		require.NoError(t, err)
		if n%6 == 3 { // of a later release, with text in place of codes
			text := e.AppendStored(nil)
			text = append(text[:len(text)-1], `,"later":{"metadata":"stays"}}`...)
			old = append(old[:headBytes:headBytes], text...)
			old[0], old[1], old[2] = 0, byte((len(old)-lengthBytes)>>8), byte(len(old)-lengthBytes)
		}
		was, err := c.decode("acme", must(cutRecord(old)))
		require.NoError(t, err)
		clean, err := c.redacted(old)
		require.NoError(t, err)
		require.Len(t, clean, len(old))
		require.Equal(t, old[:headBytes], clean[:headBytes])
		if n%2 == 0 {
			require.Equal(t, old[:headBytes+claimBytes], clean[:headBytes+claimBytes])
		}
		got, err := c.decode("acme", must(cutRecord(clean)))
		require.NoError(t, err)
		was.Redact()
		require.True(t, got.Equal(&was))
		require.NotContains(t, string(clean), "parcel")
		require.NotContains(t, string(clean), "Zoë")
		if n%6 == 3 {
			text, err := c.expand(nil, must(cutRecord(clean)))
			require.NoError(t, err)
			require.Contains(t, string(text), `,"later":{"metadata":"stays"}}`)
		}
		again, err := c.redacted(clean)
		require.NoError(t, err)
		require.Equal(t, clean, again)
	}
	_, err := c.redacted([]byte("no record"))
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

func TestCodesAreUnambiguous(t *testing.T) {
	seen := make(map[byte]bool)
	for _, f := range fragments {
		assert.False(t, seen[f.code], "code %#x", f.code)
		seen[f.code] = true
		assert.Less(t, f.code, byte(codeWide))
		assert.Greater(t, f.code, byte(codeULID))
		assert.NotContains(t, "\t\n\r", string(rune(f.code)))
		assert.GreaterOrEqual(t, len(f.text), fingers)
	}
	for _, text := range wideFragments {
		assert.GreaterOrEqual(t, len(text), fingers)
	}
	assert.Less(t, len(wideFragments), 255)
}

func TestEventsOutsideOfTimeAreRefused(t *testing.T) {
	e := storetest.Event("acme", 1)
	e.OccurredAt = time.UnixMilli(timeBias)
	_, err := newCodec().appendRecord(nil, &e, nil)
	require.Error(t, err)
}

// FuzzCompress proves that any JSON comes back as it was.
func FuzzCompress(f *testing.F) {
	c := newCodec()
	f.Add([]byte(`{"v":1,"event_id":"evt_01ARZ3NDEKTSV4RRFFQ69G5FAV","received_at":"2026-05-14T09:30:00.123Z"}`), int64(1778751000123))
	f.Add([]byte(`,"occurred_at":"1969-12-31T23:59:59.999Z"`), int64(-1))
	f.Fuzz(func(t *testing.T, text []byte, ms int64) {
		ms %= timeBias
		clean := bytes.Map(func(r rune) rune { // what JSON cannot have
			if r < 0x20 && r != '\t' && r != '\n' && r != '\r' {
				return ' '
			}
			return r
		}, text)
		body := c.compress(nil, clean, ms, ms)
		got, err := c.expand(nil, record{received: ms, occurred: ms, body: body})
		if err != nil || !bytes.Equal(got, clean) {
			t.Fatalf("%q became %q (%v)", clean, got, err)
		}
	})
}

// FuzzCutRecord proves that what is damaged is an error.
func FuzzCutRecord(f *testing.F) {
	c := newCodec()
	e := storetest.Event("acme", 1)
	record, err := c.appendRecord(nil, &e, nil)
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
			_, _ = c.decode("acme", r)
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
		seen[field] = id
	}
	assert.Len(t, idField("evt_01ARZ3NDEKTSV4RRFFQ69G5FAV"), 17)
}

func BenchmarkAppendRecord(b *testing.B) {
	c, e := newCodec(), storetest.Event("acme", 1)
	text := e.AppendStored(nil)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = c.appendRecord(dst[:0], &e, nil)
	}
	b.ReportMetric(float64(len(dst)), "bytes")
	b.ReportMetric(float64(len(text)), "json-bytes")
}

package compact_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/compact"
)

// fill gives v and all that is in it values that are not zero, or some of it if sometimes says so.
func fill(v reflect.Value, r *rand.Rand, sometimes bool) {
	if sometimes && r.IntN(3) == 0 {
		return
	}
	switch at := v.Addr().Interface().(type) {
	case *decimal.Decimal:
		*at = decimal.New(1+r.Int64()>>r.IntN(63), -r.Int32N(12))
		if r.IntN(20) == 0 {
			*at = at.Mul(decimal.New(r.Int64(), r.Int32N(80)))
		}
		if r.IntN(4) == 0 {
			*at = at.Neg()
		}
		return
	case *time.Time:
		*at = time.UnixMilli(r.Int64N(4e12)).UTC().Truncate(24 * time.Hour)
		return
	case *json.RawMessage:
		*at = json.RawMessage(`{"client":"acme","n":` + strings.Repeat("1", 1+r.IntN(200)) + `}`)
		return
	case *humanhours.Scale:
		*at = humanhours.Scale{Hours: r.Int32N(19), Money: r.Int32N(19)}
		return
	case *[]humanhours.Amendment:
		return // no part of what is stored of an event
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r, sometimes)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 3))
		for i := range v.Len() {
			fill(v.Index(i), r, sometimes)
		}
	case reflect.String:
		list := []string{"success", "EUR", "openrouter", "anthropic/claude-haiku-4.5", "ü\"\n", strings.Repeat("x", 200)}
		v.SetString(list[r.IntN(len(list))])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64, reflect.Int32:
		v.SetInt(1 + r.Int64N(math.MaxInt32))
	default:
		panic(v.Type().String())
	}
}

// event returns one as a Tracker could make it, as far as prices and rates belong to each other.
func event(r *rand.Rand, sometimes bool) humanhours.Event {
	var e humanhours.Event
	fill(reflect.ValueOf(&e).Elem(), r, sometimes)
	settle := func(p *humanhours.Price, fx *humanhours.ExchangeRate) {
		if p.Model == "" {
			*p = humanhours.Price{}
		}
		if p.Model == "" || fx.To == "" {
			*fx = humanhours.ExchangeRate{}
			return
		}
		fx.From, fx.To = p.Currency, e.Currency
		if e.Currency == "" {
			*fx = humanhours.ExchangeRate{}
		}
	}
	settle(&e.Cost.Price, &e.Cost.FX)
	for i := range e.LLMCalls {
		settle(&e.LLMCalls[i].Price, &e.LLMCalls[i].FX)
	}
	return e
}

func decode(t testing.TB, e *humanhours.Event, data []byte, sparse bool) humanhours.Event {
	t.Helper()
	got := humanhours.Event{Org: e.Org, ID: e.ID, OccurredAt: e.OccurredAt, ReceivedAt: e.ReceivedAt}
	require.NoError(t, compact.Decode(data, &got, sparse))
	return got
}

func requireEqual(t testing.TB, want, got humanhours.Event) {
	t.Helper()
	require.Equal(t, string(want.AppendStored(nil)), string(got.AppendStored(nil)))
	require.True(t, want.Equal(&got))
}

func TestEveryFieldSurvives(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		want := event(r, i > 100)
		requireEqual(t, want, decode(t, &want, compact.Append(nil, &want), false))
	}
	zero := humanhours.Event{Credited: true}
	assert.Empty(t, compact.Append(nil, &zero))
	call := humanhours.Event{LLMCalls: make([]humanhours.PricedCall, 2)}
	requireEqual(t, call, decode(t, &call, compact.Append(nil, &call), false))
}

// TestSparse: a sparse event has what EventQuery.Sparse leaves in.
func TestSparse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 1000 {
		e := event(r, i > 10)
		want, err := humanhours.DecodeSparse(e.Org, e.AppendStored(nil))
		require.NoError(t, err)
		got := decode(t, &want, compact.Append(nil, &e), true)
		got.Scale, want.Scale, got.Credited, want.Credited, got.ReceivedAt = humanhours.Scale{}, humanhours.Scale{}, true, true, want.ReceivedAt
		want.LLMCalls, want.AuditSample, want.Cost = nil, humanhours.AuditSample{}, humanhours.RunCost{Source: want.Cost.Source, UnpricedModel: want.Cost.UnpricedModel}
		requireEqual(t, want, got)
	}
}

func TestRedact(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		want := event(r, false)
		data := compact.Append(nil, &want)
		unknown := []byte{0x3f, 0x04, 0x7f, 0x02, 'x', 0xbf, 0x3d, 0x02, 0xbf, 0x00, 0x01, '1', 0xff, 0x01, 'y', 0x7e, 0x03} // of a newer release
		text, err := compact.Redact([]byte("before"), append(data, unknown...))
		require.NoError(t, err)
		clean, ok := strings.CutPrefix(string(text), "before")
		require.True(t, ok)
		require.True(t, strings.HasSuffix(clean, string(unknown)))
		want.Redact()
		requireEqual(t, want, decode(t, &want, append([]byte(clean), make([]byte, 300)...), false))
	}
	_, err := compact.Redact(nil, []byte{0x41})
	assert.Error(t, err)
}

// TestTextsStandAlone: who keeps a text of an event does not keep all of it.
func TestTextsStandAlone(t *testing.T) {
	const events, size = 200, 100_000
	e := humanhours.Event{AgentID: "support-classifier", Metadata: json.RawMessage(`{"a":"` + strings.Repeat("x", size) + `"}`)}
	data := compact.Append(nil, &e)
	var before, after runtime.MemStats
	kept := make([]string, events)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range kept {
		got := decode(t, &e, data, i%2 == 0)
		kept[i] = got.AgentID
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(events*size/10))
	runtime.KeepAlive(kept)
}

func TestDamaged(t *testing.T) {
	e := event(rand.New(rand.NewPCG(7, 8)), false)
	data := compact.Append(nil, &e)
	for n := range data {
		var got humanhours.Event
		_ = compact.Decode(data[:n], &got, n%2 == 0) // does not panic
	}
	for name, bad := range map[string][]byte{
		"no length": {0x42}, "too long": {0x42, 0x80, 0x01, 'a'}, "no such word": {0x44, 0xfd}, "endless number": {0x03, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"scale": {0x03, 0x26}, "exponent": {0x84, 0xff, 0x02}, "no decimal": {0x84, 0x00, 0x01, 'x'}, "block": {0xc1, 0x05, '{'},
	} {
		var got humanhours.Event
		assert.Error(t, compact.Decode(bad, &got, false), name)
	}
}

// FuzzDecode: whatever is stored, reading it does no harm, and what can be read comes back.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	for i := range 20 {
		e := event(r, i > 3)
		f.Add(compact.Append(nil, &e))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var e, sparse humanhours.Event
		err := compact.Decode(data, &e, false)
		if compact.Decode(data, &sparse, true) != nil {
			require.Error(t, err)
		}
		if err != nil {
			return
		}
		var again humanhours.Event
		require.NoError(t, compact.Decode(compact.Append(nil, &e), &again, false))
		require.Equal(t, len(e.LLMCalls), len(again.LLMCalls))
		clean, err := compact.Redact(nil, data)
		require.NoError(t, err)
		var redacted humanhours.Event
		require.NoError(t, compact.Decode(clean, &redacted, false))
		require.Empty(t, redacted.Metadata)
		require.Zero(t, redacted.AuditSample)
	})
}

func BenchmarkEvent(b *testing.B) {
	e := event(rand.New(rand.NewPCG(11, 12)), true)
	data := compact.Append(nil, &e)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		buf := data
		for b.Loop() {
			buf = compact.Append(buf[:0], &e)
		}
	})
	for name, sparse := range map[string]bool{"decode": false, "sparse": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got := humanhours.Event{}
				if err := compact.Decode(data, &got, sparse); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

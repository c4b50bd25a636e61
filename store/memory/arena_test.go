package memory

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// TestArena: whatever their size, records are where they were put, and blocks grow from small to large ones.
func TestArena(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	var a arena
	want := make(map[place]humanhours.Entry)
	for i := range 3000 {
		e := humanhours.Entry{Event: humanhours.Event{ID: fmt.Sprintf("evt_%d", i), OccurredAt: time.UnixMilli(random.Int64N(2000) - 1000), ReceivedAt: time.UnixMilli(int64(i))}}
		if i%2 == 0 {
			e.Key, e.At, e.Window, e.Fingerprint = strings.Repeat("k", 1+random.IntN(20)), time.Unix(random.Int64N(1<<40)-1<<39, 1), time.Duration(1+random.Int64()), humanhours.Fingerprint{byte(i)}
		}
		size := random.IntN(400)
		if i%500 == 0 {
			size = 3 << 20
		}
		at := a.put(&e, bytes.Repeat([]byte{byte(i)}, size))
		require.NotContains(t, want, at)
		want[at] = e
		require.Len(t, a.at(at).stored(), size)
	}
	for at, e := range want {
		r := a.at(at)
		require.Equal(t, e.Event.ID, string(r.id()))
		require.Equal(t, e.Key, string(r.key()))
		require.Equal(t, e.Event.OccurredAt.UnixMilli(), r.occurred())
		require.Equal(t, e.Event.ReceivedAt.UnixMilli(), r.received())
		if e.Key != "" {
			require.True(t, r.holds(e.At.Add(e.Window-1)) && !r.holds(e.At.Add(e.Window)))
			require.True(t, !r.differs(e.Fingerprint) && r.differs(humanhours.Fingerprint{1, 2}))
		}
	}
}

// TestPlacesShareHashes: keys are told apart where their hashes are not.
func TestPlacesShareHashes(t *testing.T) {
	var a arena
	p := newPlaces()
	put := func(hash uint64, key string) place {
		at := a.put(&humanhours.Entry{Key: key}, nil)
		p.by[hash] = at
		return at
	}
	_, hash, ok := p.find(&a, "mine")
	require.False(t, ok)
	put(hash, "another")
	put(hash+1, "a third")
	_, free, ok := p.find(&a, "mine")
	require.False(t, ok)
	require.Equal(t, hash+2, free)
	at := put(free, "mine")
	found, _, ok := p.find(&a, "mine")
	require.True(t, ok)
	require.Equal(t, at, found)
}

// TestPagesAreBounded: what is copied at a time goes by what is asked for, and by bytes, and nothing is missed.
func TestPagesAreBounded(t *testing.T) {
	s := New()
	ctx, text := t.Context(), `{"a":"`+strings.Repeat("x", 100_000)+`"}`
	const events = 40
	for i := range events {
		at := time.UnixMilli(int64(i / 3))
		got := s.Append(ctx, []humanhours.Entry{{At: at, Event: humanhours.Event{
			Org: "acme", ID: fmt.Sprintf("evt_%02d", i), OccurredAt: at, ReceivedAt: at, Credited: true, Metadata: []byte(text),
		}}})
		require.NoError(t, got[0].Err)
	}
	for _, down := range []bool{false, true} {
		n := 0
		for e, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme", Descending: down}) {
			require.NoError(t, err)
			want := n
			if down {
				want = events - 1 - n
			}
			require.Equal(t, fmt.Sprintf("evt_%02d", want), e.ID)
			n++
		}
		require.Equal(t, events, n)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		for _, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme", Limit: 1, Sparse: true}) {
			require.NoError(t, err)
		}
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10*5*len(text)))
}

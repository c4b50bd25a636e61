package memory

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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
			e.Key, e.At, e.Window, e.Fingerprint = strings.Repeat("k", 1+random.IntN(20)), time.Unix(int64(i), 1), time.Second, humanhours.Fingerprint{byte(i)}
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

// TestPlacesShareHashes: texts are told apart where their hashes are not.
func TestPlacesShareHashes(t *testing.T) {
	var a arena
	p := newPlaces()
	put := func(hash uint64, id string) place {
		at := a.put(&humanhours.Entry{Event: humanhours.Event{ID: id}}, nil)
		p.by[hash] = at
		return at
	}
	_, hash, ok := p.find(&a, record.id, "mine")
	require.False(t, ok)
	put(hash, "another")
	put(hash+1, "a third")
	_, free, ok := p.find(&a, record.id, "mine")
	require.False(t, ok)
	require.Equal(t, hash+2, free)
	at := put(free, "mine")
	found, _, ok := p.find(&a, record.id, "mine")
	require.True(t, ok)
	require.Equal(t, at, found)
}

package memory

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/stretchr/testify/require"
)

func newIndex() *index { return &index{at: func(r *record) int64 { return r.occurred }} }

// everything is the span of all records.
func everything(down bool) span { return newSpan(humanhours.EventQuery{Descending: down}) }

// requireChunks checks what find relies on: no chunk is empty or over its size, and the order goes on from one to the next.
func requireChunks(t *testing.T, x *index) {
	t.Helper()
	var last *record
	for _, chunk := range x.chunks {
		require.NotEmpty(t, chunk)
		require.LessOrEqual(t, len(chunk), chunkSize)
		for _, r := range chunk {
			if last != nil {
				require.Negative(t, x.position(last).compare(x.position(r)))
			}
			last = r
		}
	}
}

// randomRecords returns records in a random order, many of them at one instant.
func randomRecords(random *rand.Rand, n int) []*record {
	records := make([]*record, n)
	for i := range records {
		records[i] = &record{id: fmt.Sprintf("evt_%06d", i), occurred: int64(random.IntN(n/3 + 1))}
	}
	random.Shuffle(n, func(i, j int) { records[i], records[j] = records[j], records[i] })
	return records
}

func sorted(records []*record) []*record {
	records = slices.Clone(records)
	sort.Slice(records, func(i, j int) bool {
		a, b := records[i], records[j]
		return a.occurred < b.occurred || a.occurred == b.occurred && a.id < b.id
	})
	return records
}

func TestIndexSortsWhateverComes(t *testing.T) {
	for _, n := range []int{0, 1, 2, chunkSize - 1, chunkSize, chunkSize + 1, 2*chunkSize + 1, 5000} {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		x := newIndex()
		records := randomRecords(random, n)
		for _, r := range records {
			x.insert(r)
		}
		requireChunks(t, x)
		want := sorted(records)
		require.Equal(t, want, append([]*record{}, x.read(nil, everything(false), math.MaxInt)...))
		slices.Reverse(want)
		require.Equal(t, want, append([]*record{}, x.read(nil, everything(true), math.MaxInt)...))
	}
}

// What comes in order fills chunks to the brim; what comes in the opposite order splits the first one again and again.
func TestIndexSplitsChunks(t *testing.T) {
	const n = 4*chunkSize + 10
	up, down := newIndex(), newIndex()
	for i := range int64(n) {
		up.insert(&record{id: "evt", occurred: i})
		down.insert(&record{id: "evt", occurred: n - i})
	}
	requireChunks(t, up)
	requireChunks(t, down)
	require.Len(t, up.chunks, 5)
	require.GreaterOrEqual(t, len(down.chunks), 5)
	require.LessOrEqual(t, len(down.chunks), 9)

	// One that belongs between two full chunks goes into one of them, which is cut.
	before := len(up.chunks)
	up.insert(&record{id: "a", occurred: chunkSize})
	requireChunks(t, up)
	require.Len(t, up.chunks, before+1)
}

func TestIndexReadsSpans(t *testing.T) {
	const n = 2000
	random := rand.New(rand.NewPCG(2, 2))
	x := newIndex()
	records := randomRecords(random, n)
	for _, r := range records {
		x.insert(r)
	}
	all := sorted(records)
	instant := func() time.Time { // also before, after and between the records
		return time.UnixMilli(int64(random.IntN(n/3+40) - 20)).Add(time.Duration(random.IntN(2)) * 500 * time.Microsecond)
	}
	for range 2000 {
		q := humanhours.EventQuery{Descending: random.IntN(2) == 0}
		if random.IntN(2) == 0 {
			q.From = instant()
		}
		if random.IntN(2) == 0 {
			q.To = instant()
		}
		if random.IntN(2) == 0 {
			q.After = humanhours.Cursor{At: instant().Truncate(time.Millisecond), ID: all[random.IntN(n)].id}
			if random.IntN(2) == 0 { // a position that a record has
				q.After.At = time.UnixMilli(all[random.IntN(n)].occurred)
			}
		}
		limit := 1 + random.IntN(n)
		var want []*record
		for _, r := range all {
			at, p := time.UnixMilli(r.occurred), x.position(r)
			after := p.compare(position{ms: q.After.At.UnixMilli(), id: q.After.ID})
			if q.Descending {
				after = -after
			}
			if !q.From.IsZero() && at.Before(q.From) || !q.To.IsZero() && !at.Before(q.To) || !q.After.IsZero() && after <= 0 {
				continue
			}
			want = append(want, r)
		}
		if q.Descending {
			slices.Reverse(want)
		}
		if len(want) > limit {
			want = want[:limit]
		}
		got := x.read(nil, newSpan(q), limit)
		require.Len(t, got, len(want), "%+v", q)
		require.True(t, slices.Equal(want, got), "%+v", q)
	}
}

package memory

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/stretchr/testify/require"
)

func newIndex() *index { return &index{arena: &arena{}} }

// item puts a record into the arena of x.
func (x *index) item(ms int64, id string) item {
	return item{ms, x.arena.put(&humanhours.Entry{Event: humanhours.Event{ID: id, OccurredAt: time.UnixMilli(ms)}}, nil)}
}

func (x *index) id(i item) string { return string(x.arena.at(i.at).id()) }

func (x *index) position(i item) position { return position{rank: i.rank, id: x.id(i)} }

func (x *index) add(i item) { x.insert(i, x.id(i)) }

// everything is the span of all records.
func everything(down bool) span { return newSpan(humanhours.EventQuery{Descending: down}) }

// requireChunks checks what find relies on: no chunk is empty or over its size, and the order goes on from one to the next.
func requireChunks(t *testing.T, x *index) {
	t.Helper()
	var last *item
	for _, chunk := range x.chunks {
		require.NotEmpty(t, chunk)
		require.LessOrEqual(t, len(chunk), chunkSize)
		for _, r := range chunk {
			if last != nil {
				require.Negative(t, x.position(*last).compare(x.position(r)))
			}
			last = &r
		}
	}
}

// randomRecords returns records in a random order, many of them at one instant.
func randomRecords(x *index, random *rand.Rand, n int) []item {
	records := make([]item, n)
	for i := range records {
		records[i] = x.item(int64(random.IntN(n/3+1)), fmt.Sprintf("evt_%06d", i))
	}
	random.Shuffle(n, func(i, j int) { records[i], records[j] = records[j], records[i] })
	return records
}

func sorted(x *index, records []item) []item {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b item) int { return x.position(a).compare(x.position(b)) })
	return records
}

func TestIndexSortsWhateverComes(t *testing.T) {
	for _, n := range []int{0, 1, 2, chunkSize - 1, chunkSize, chunkSize + 1, 2*chunkSize + 1, 5000} {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		x := newIndex()
		records := randomRecords(x, random, n)
		for _, r := range records {
			x.add(r)
		}
		requireChunks(t, x)
		want := sorted(x, records)
		require.Equal(t, want, append([]item{}, x.read(nil, everything(false), math.MaxInt)...))
		slices.Reverse(want)
		require.Equal(t, want, append([]item{}, x.read(nil, everything(true), math.MaxInt)...))
	}
}

// What comes in order fills chunks to the brim; what comes in the opposite order splits the first one again and again.
func TestIndexSplitsChunks(t *testing.T) {
	const n = 4*chunkSize + 10
	up, down := newIndex(), newIndex()
	for i := range int64(n) {
		up.add(up.item(i, "evt"))
		down.add(down.item(n-i, "evt"))
	}
	requireChunks(t, up)
	requireChunks(t, down)
	require.Len(t, up.chunks, 5)
	require.GreaterOrEqual(t, len(down.chunks), 5)
	require.LessOrEqual(t, len(down.chunks), 9)

	// One that belongs between two full chunks goes into one of them, which is cut.
	before := len(up.chunks)
	up.add(up.item(chunkSize, "a"))
	requireChunks(t, up)
	require.Len(t, up.chunks, before+1)
}

func TestIndexReadsSpans(t *testing.T) {
	const n = 2000
	random := rand.New(rand.NewPCG(2, 2))
	x := newIndex()
	records := randomRecords(x, random, n)
	for _, r := range records {
		x.add(r)
	}
	all := sorted(x, records)
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
			q.After = humanhours.Cursor{At: instant().Truncate(time.Millisecond), ID: x.id(all[random.IntN(n)])}
			if random.IntN(2) == 0 { // a position that a record has
				q.After.At = time.UnixMilli(all[random.IntN(n)].rank)
			}
		}
		limit := 1 + random.IntN(n)
		var want []item
		for _, r := range all {
			at, p := time.UnixMilli(r.rank), x.position(r)
			after := p.compare(position{rank: q.After.At.UnixMilli(), id: q.After.ID})
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

// An index by id finds what is there and nothing else, whatever ids look like and in whatever order they came: in theirs, nearly so, or by chance.
func TestIndexByID(t *testing.T) {
	const n = 2000
	for _, layout := range []string{"evt_%026d", "evt_%d", "%d", "\xff\x80\x00%05d", "%x\x00", "evt_01KRJ6G0Y3%016d"} {
		id := func(i int) string { return fmt.Sprintf(layout, i) }
		for _, disorder := range []int{0, 5, n} {
			random := rand.New(rand.NewPCG(3, uint64(disorder)))
			x := newIndex()
			order := make([]int, n)
			for i := range order {
				order[i] = i
			}
			for i := range order {
				j := i + random.IntN(min(disorder, n-1-i)+1)
				order[i], order[j] = order[j], order[i]
			}
			want := make(map[int]item)
			for _, i := range order {
				_, there := x.at(byID(id(2 * i)))
				require.False(t, there)
				want[i] = x.item(byID(id(2*i)).rank, id(2*i))
				x.add(want[i])
			}
			requireChunks(t, x)
			for i := range n {
				at, there := x.at(byID(id(2 * i)))
				require.True(t, there)
				require.Equal(t, want[i].at, at)
				_, there = x.at(byID(id(2*i + 1)))
				require.False(t, there)
			}
			_, there := x.at(byID(""))
			require.False(t, there)
		}
	}
}

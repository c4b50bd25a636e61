package redis_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/redis"
	"github.com/humanhours/humanhours-go/store/rollup"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// late is how much later than its deadline a call may return: the machine is busy with everybody's tests.
const late = 1500 * time.Millisecond

// keyedEntry is the n-th entry of an org, with a key of its own, which counts for the quota.
func keyedEntry(org string, n int) humanhours.Entry {
	e := storetest.Entry(org, n)
	e.Key, e.Window = "key "+strconv.Itoa(n), humanhours.IdempotencyWindow
	return e
}

// storm is writers that go on whatever happens to Redis: each entry is sent until it is answered, with its id, or as another event with
// the same key.
type storm struct {
	t        *testing.T
	deadline time.Duration
	orgs     []string

	made     atomic.Int64
	stopped  chan struct{}
	writers  sync.WaitGroup
	answers  atomic.Int64
	failures atomic.Int64

	mu       sync.Mutex
	answered map[string]map[string]humanhours.Event // by org and key
	good     map[string]int                         // answers by org
	bad      map[string]int                         // errors by org
	texts    map[string]int                         // of errors
	slowest  time.Duration
}

// startStorm starts writers for orgs, each of which uses one of the stores.
func startStorm(t *testing.T, stores []*redis.Store, orgs []string, writers int, deadline time.Duration) *storm {
	s := &storm{
		t: t, deadline: deadline, orgs: orgs, stopped: make(chan struct{}), answered: make(map[string]map[string]humanhours.Event),
		good: make(map[string]int), bad: make(map[string]int), texts: make(map[string]int),
	}
	for _, org := range orgs {
		s.answered[org] = make(map[string]humanhours.Event)
	}
	for w := range writers {
		s.writers.Go(func() { s.write(stores[w%len(stores)], orgs[w%len(orgs)]) })
	}
	return s
}

func (s *storm) write(store *redis.Store, org string) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-s.stopped:
			return
		case <-pace.C:
		}
		entry := keyedEntry(org, int(s.made.Add(1)))
		for !s.send(store, entry) {
			<-pace.C
			if s.t.Context().Err() != nil {
				return
			}
			if n := int(s.made.Add(1)); n%2 == 0 { // what a client does that has lost its event id
				entry.Event.ID = storetest.Event(org, n).ID
			}
		}
	}
}

func (s *storm) send(store *redis.Store, entry humanhours.Entry) bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.deadline)
	defer cancel()
	start, org := time.Now(), entry.Event.Org
	got := store.Append(ctx, []humanhours.Entry{entry})[0]
	took := time.Since(start)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowest = max(s.slowest, took)
	if got.Err != nil {
		s.failures.Add(1)
		s.bad[org]++
		s.texts[got.Err.Error()]++
		return false
	}
	s.answers.Add(1)
	s.good[org]++
	assert.False(s.t, got.Mismatch || got.QuotaExceeded)
	s.answered[org][entry.Key] = *got.Event
	return true
}

// goods is a copy of how many answers each org has had.
func (s *storm) goods() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.good)
}

// more waits until n more calls are answered.
func (s *storm) more(n int64) {
	s.t.Helper()
	until := s.answers.Load() + n
	redistest.Eventually(s.t, func() error {
		if now := s.answers.Load(); now < until {
			return fmt.Errorf("%d answers, want %d: %v", now, until, s.errors())
		}
		return nil
	})
}

// fail waits until n more calls have failed.
func (s *storm) fail(n int64) {
	s.t.Helper()
	until := s.failures.Load() + n
	redistest.Eventually(s.t, func() error {
		if now := s.failures.Load(); now < until {
			return fmt.Errorf("%d errors, want %d", now, until)
		}
		return nil
	})
}

func (s *storm) errors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.texts))
}

// end waits until everything that was sent is answered, and audits what Redis has.
func (s *storm) end(store *redis.Store, raw goredis.UniversalClient, prefix string) {
	s.t.Helper()
	close(s.stopped)
	s.writers.Wait()
	s.t.Logf("%d answers, %d errors, the slowest call took %v", s.answers.Load(), s.failures.Load(), s.slowest)
	assert.LessOrEqual(s.t, s.slowest, s.deadline+late, "a call went on after its deadline")
	for _, org := range s.orgs {
		audit(s.t, store, org, s.answered[org])
		auditRaw(s.t, raw, prefix, org, len(s.answered[org]))
	}
}

// audit proves that exactly the answered events of an org are there, each with its answer, and that its keys replay.
func audit(t *testing.T, store *redis.Store, org string, answered map[string]humanhours.Event) {
	t.Helper()
	ctx := t.Context()
	byID := make(map[string]humanhours.Event)
	for _, e := range answered {
		byID[e.ID] = e
	}
	require.Len(t, byID, len(answered), "every key has its own event")
	for _, order := range []humanhours.EventOrder{humanhours.ByOccurred, humanhours.ByReceived} {
		n := 0
		for e, err := range store.Events(ctx, humanhours.EventQuery{Org: org, Order: order}) {
			require.NoError(t, err)
			want, ok := byID[e.ID]
			require.True(t, ok, "%s of %s is stored and was never answered", e.ID, org)
			require.True(t, e.Equal(&want), "%s of %s is not what was answered", e.ID, org)
			n++
		}
		require.Equal(t, len(byID), n, "events of %s", org)
	}
	requireAgents(t, store, org, slices.Collect(maps.Values(answered)))
	requireSums(t, store, org, slices.Collect(maps.Values(answered)))
	used, err := store.Usage(ctx, org, humanhours.MonthOf(storetest.Event(org, 0).ReceivedAt))
	require.NoError(t, err)
	require.EqualValues(t, len(byID), used, "usage of %s", org)
	var again []humanhours.Entry
	var want []humanhours.Event
	for key, e := range answered {
		entry := humanhours.Entry{Event: storetest.Event(org, 1<<24+len(again)), At: e.ReceivedAt, Key: key, Window: humanhours.IdempotencyWindow}
		again, want = append(again, entry), append(want, e)
	}
	if len(again) == 0 {
		return
	}
	for i, got := range store.Append(ctx, again) {
		require.NoError(t, got.Err)
		require.True(t, got.Replayed, "%q of %s", again[i].Key, org)
		require.True(t, got.Event.Equal(&want[i]), "%q of %s", again[i].Key, org)
	}
}

// requireAgents proves that the agents of an org are those of its events.
func requireAgents(t *testing.T, store *redis.Store, org string, events []humanhours.Event) {
	t.Helper()
	want := make(map[bool]map[string]humanhours.AgentSeen)
	for _, test := range []bool{false, true} {
		want[test] = make(map[string]humanhours.AgentSeen)
	}
	for _, e := range events {
		seen, ok := want[e.Test][e.AgentID]
		if !ok || e.OccurredAt.Before(seen.First) {
			seen.First = e.OccurredAt
		}
		if e.OccurredAt.After(seen.Last) {
			seen.Last = e.OccurredAt
		}
		seen.ID = e.AgentID
		want[e.Test][e.AgentID] = seen
	}
	for test, byID := range want {
		got, err := store.Agents(t.Context(), org, test)
		require.NoError(t, err)
		require.Len(t, got, len(byID), "agents of %s, test %t", org, test)
		for i, seen := range got {
			require.Equal(t, byID[seen.ID], seen, "an agent of %s, test %t", org, test)
			require.True(t, i == 0 || got[i-1].ID < seen.ID)
		}
	}
}

// requireSums proves that the sums of an org are those of its events, none of which is amended.
func requireSums(t *testing.T, store *redis.Store, org string, events []humanhours.Event) {
	t.Helper()
	sums := func(rollups iter.Seq2[humanhours.Rollup, error]) map[string]string {
		type sum struct {
			events      int64
			hours, cost humanhours.Sum
		}
		all := make(map[string]*sum)
		for r, err := range rollups {
			require.NoError(t, err)
			at := fmt.Sprint(r.Hour, r.Agent, r.Test)
			if all[at] == nil {
				all[at] = &sum{}
			}
			all[at].events += r.Events
			all[at].hours.AddSum(&r.HoursSaved)
			all[at].cost.AddSum(&r.CostSaved)
		}
		texts := make(map[string]string)
		for at, s := range all {
			texts[at] = fmt.Sprint(s.events, s.hours.Decimal(), s.cost.Decimal())
		}
		return texts
	}
	require.Equal(t, sums(func(yield func(humanhours.Rollup, error) bool) {
		for i := range events {
			if !yield(events[i].Rollup(), nil) {
				return
			}
		}
	}), sums(store.Rollups(t.Context(), humanhours.RollupQuery{Org: org, By: humanhours.ByAgent})), "sums of %s", org)
}

// rawKeys returns the names of all keys that begin with a text.
func rawKeys(t *testing.T, raw goredis.UniversalClient, begin string) []string {
	t.Helper()
	list := func(ctx context.Context, c *goredis.Client) ([]string, error) { return c.Keys(ctx, begin+"*").Result() }
	if cluster, ok := raw.(*goredis.ClusterClient); ok {
		var mu sync.Mutex
		var all []string
		require.NoError(t, cluster.ForEachMaster(t.Context(), func(ctx context.Context, c *goredis.Client) error {
			got, err := list(ctx, c)
			mu.Lock()
			all = append(all, got...)
			mu.Unlock()
			return err
		}))
		return all
	}
	all, err := list(t.Context(), raw.(*goredis.Client))
	require.NoError(t, err)
	return all
}

// auditRaw proves that nothing of an org is half-written: chunks, index, keys, counters and what is said about the chunks agree. Every event
// has a key and counts, and the names of the org need no encoding.
func auditRaw(t *testing.T, raw goredis.UniversalClient, prefix, org string, events int) {
	t.Helper()
	ctx := t.Context()
	base := prefix + "{" + org + "}"
	chunks, places, amended := make(map[string]string), make(map[string]bool), make(map[string]string)
	claims, inSums, summed := 0, int64(0), make(map[string]int64)
	var bucketNames []string
	hash := func(name string) map[string]string {
		got, err := raw.HGetAll(ctx, name).Result()
		require.NoError(t, err)
		return got
	}
	names := rawKeys(t, raw, base+":")
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(names))), len(names), "a key is on two nodes")
	for _, name := range names {
		rest := strings.TrimPrefix(name, base)
		switch {
		case strings.HasPrefix(rest, ":e:"):
			text, err := raw.Get(ctx, name).Result()
			require.NoError(t, err)
			number, err := strconv.Atoi(rest[3:])
			require.NoError(t, err)
			chunks[rest[3:]] = text
			for at := 0; at < len(text); {
				require.GreaterOrEqual(t, len(text)-at, 3, "a piece of a record in %s", name)
				place := binary.BigEndian.AppendUint32(nil, uint32(number))
				places[string(binary.BigEndian.AppendUint16(place, uint16(at)))] = true
				at += 3 + int(text[at])<<16 + int(text[at+1])<<8 + int(text[at+2])
				require.LessOrEqual(t, at, len(text), "a piece of a record in %s", name)
			}
		case strings.HasPrefix(rest, ":k:"):
			bucketNames = append(bucketNames, rest[3:])
			left, err := raw.PTTL(ctx, name).Result()
			require.NoError(t, err)
			require.Greater(t, left, humanhours.IdempotencyWindow-time.Hour, "%s does not last as long as its keys", name)
			claims += len(hash(name))
		case strings.HasPrefix(rest, ":v:"):
			amended[rest[3:]] = strconv.FormatInt(raw.StrLen(ctx, name).Val(), 10)
		case strings.HasPrefix(rest, ":s:"):
			log, err := raw.Get(ctx, name).Result()
			require.NoError(t, err)
			counted, agree, err := rollup.Count([]byte(log))
			require.NoError(t, err)
			require.True(t, agree, "the sums in %s", name)
			summed[rest[3:]] = counted
			inSums += counted
		case strings.HasPrefix(rest, ":w:"):
			left, err := raw.PTTL(ctx, name).Result()
			require.NoError(t, err)
			require.Positive(t, left, "%s is kept for ever", name)
		case slices.Contains([]string{":i", ":m", ":s", ":u", ":o", ":h", ":of", ":ot", ":rf", ":rt"}, rest):
		default:
			require.Fail(t, "unknown key", name)
		}
	}
	require.Len(t, places, events, "records of %s", org)
	require.EqualValues(t, events, inSums, "events in the sums of %s", org)
	for week, counted := range hash(base + ":s") {
		if week != "v" && !strings.HasPrefix(week, "g") {
			require.Equal(t, strconv.FormatInt(summed[week], 10), counted, "events in the sums of week %s of %s", week, org)
		}
	}
	index := hash(base + ":i")
	require.Len(t, index, events, "index of %s", org)
	for _, place := range index {
		require.True(t, places[place], "the index of %s names no record", org)
		delete(places, place) // and each of them once
	}
	require.Empty(t, places)
	require.Equal(t, events, claims, "claims of %s", org)
	used := 0
	for _, text := range hash(base + ":u") {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		used += n
	}
	require.Equal(t, events, used, "usage of %s", org)
	meta := hash(base + ":m")
	if events > 0 {
		require.Equal(t, strconv.Itoa(len(chunks)), meta["n"], "chunks of %s", org)
		require.Equal(t, strconv.Itoa(events), meta["r"], "events of %s whose agents are recorded", org)
	}
	live := strings.Fields(meta["b"])
	slices.Sort(live)
	slices.Sort(bucketNames)
	require.Equal(t, bucketNames, live, "buckets of %s", org)
	for field, value := range meta {
		if len(field) > 1 && field[0] == 'v' {
			require.Equal(t, amended[field[1:]], value, "%s of %s", field, org)
			delete(amended, field[1:])
		}
		if tail := strings.Fields(value); strings.HasPrefix(field, "t") {
			require.Equal(t, strconv.Itoa(len(chunks[tail[0]])), tail[1], "%s of %s", field, org)
		}
	}
	require.Empty(t, amended, "amendments of %s", org)
	for _, set := range []string{":of", ":ot", ":rf", ":rt"} {
		members, err := raw.ZRange(ctx, base+set, 0, -1).Result()
		require.NoError(t, err)
		slices.Sort(members)
		if len(members) == 0 {
			members = nil
		}
		require.Equal(t, slices.Sorted(maps.Keys(chunks)), members, "%s of %s", set, org)
	}
}

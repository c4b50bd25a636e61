package redis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
)

// amendment is one of the n-th event of acme, which has as many as base says.
func amendment(n int, kind humanhours.AmendmentKind, base int) humanhours.AmendQuery {
	e := keyedEntry("acme", n).Event
	at := e.ReceivedAt.Add(time.Duration(base+1) * time.Hour)
	q := humanhours.AmendQuery{Org: e.Org, ID: e.ID, Base: base, Amendment: humanhours.Amendment{
		Kind: kind, At: at, KeyID: "3fK9xQ2b", Reason: "amendment " + strconv.Itoa(base) + " of " + e.ID,
	}}
	if kind == humanhours.AmendReprice {
		q.Amendment.Cost, q.Amendment.AgentCost, q.Amendment.NetSaved, q.Amendment.LLMCalls = e.Cost, e.AgentCost, e.NetSaved, e.LLMCalls
	}
	q.Change = humanhours.Change{At: at, KeyID: "3fK9xQ2b", Subject: "events." + e.ID, New: string(kind), Reason: q.Amendment.Reason}
	return q
}

// amend makes an amendment that has to be stored.
func amend(t *testing.T, s *redis.Store, q humanhours.AmendQuery) humanhours.Event {
	t.Helper()
	got, err := s.Amend(t.Context(), q)
	require.NoError(t, err)
	require.True(t, got.Found && got.Stored, "%+v", got)
	require.Len(t, got.Event.Amendments, q.Base+1)
	require.Equal(t, q.Amendment.Reason, got.Event.Amendments[q.Base].Reason)
	return got.Event
}

// requireAmended proves that Event and Events show an event with amendments, that Append and Replay do not, and what is in the history.
func requireAmended(t *testing.T, s *redis.Store, want humanhours.Event, n, lines int) {
	t.Helper()
	ctx, entry := t.Context(), keyedEntry("acme", n)
	same := func(got humanhours.Event, amended bool) {
		t.Helper()
		require.True(t, got.Equal(&want), "%s\n%s", got.AppendStored(nil), want.AppendStored(nil))
		list := want.Amendments
		if !amended {
			list = nil
		}
		require.Equal(t, string(humanhours.AppendAmendments(nil, list)), string(humanhours.AppendAmendments(nil, got.Amendments)))
	}
	got, found, err := s.Event(ctx, "acme", want.ID)
	require.NoError(t, err)
	require.True(t, found)
	same(got, true)
	seen := 0
	for _, q := range []humanhours.EventQuery{{Org: "acme"}, {Org: "acme", Order: humanhours.ByReceived, Descending: true}} {
		for got, err := range s.Events(ctx, q) {
			require.NoError(t, err)
			if got.ID == want.ID {
				same(got, true)
				seen++
			}
		}
	}
	require.Equal(t, 2, seen)
	appended := s.Append(ctx, []humanhours.Entry{entry})[0]
	require.NoError(t, appended.Err)
	same(*appended.Event, false)
	retry := keyedEntry("acme", 1_000_000+n)
	retry.Key, retry.At = entry.Key, entry.At
	appended = s.Append(ctx, []humanhours.Entry{retry})[0]
	require.NoError(t, appended.Err)
	require.True(t, appended.Replayed && !appended.Mismatch)
	same(*appended.Event, false)
	replay, err := s.Replay(ctx, humanhours.ReplayQuery{Org: "acme", Key: entry.Key, At: entry.At})
	require.NoError(t, err)
	require.True(t, replay.Found && !replay.Mismatch)
	same(replay.Event, false)
	history, err := s.History(ctx, humanhours.HistoryQuery{Org: "acme"})
	require.NoError(t, err)
	require.Len(t, history, lines)
}

// secret makes an entry with texts that can be looked for in what Redis has.
func secret(n int) humanhours.Entry {
	e := keyedEntry("acme", n)
	text := fmt.Sprintf("secret-%d.", n)
	e.Event.Metadata = json.RawMessage(`{"client":"` + text + `","deep":[{"audit_sample":"` + text + `","s":" ,\"metadata\":{"}]}`)
	e.Event.AuditSample = humanhours.AuditSample{InputExcerpt: text + "\n\x01\"}" + strings.Repeat("ü", n%50), OutputExcerpt: text}
	return e
}

// A redaction takes the texts out of what Redis has, in chunks that are open and closed, and leaves everything else where it was.
func TestRedactionErases(t *testing.T) {
	const events = 120
	client, prefix, ctx := redistest.Start(t).Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	want := make([]humanhours.Event, events)
	for i := range want {
		e := secret(i)
		if i%10 == 3 {
			e.Event.Metadata = nil
		}
		if i%10 == 7 {
			e.Event.Metadata, e.Event.AuditSample = nil, humanhours.AuditSample{}
		}
		require.NoError(t, s.Append(ctx, []humanhours.Entry{e})[0].Err)
		want[i] = e.Event
	}
	chunks := func() map[string]string {
		all := make(map[string]string)
		for _, name := range rawKeys(t, client, prefix+"{acme}:e:") {
			all[name] = client.Get(ctx, name).Val()
		}
		return all
	}
	before, index := chunks(), client.HGetAll(ctx, prefix+"{acme}:i").Val()
	require.Greater(t, len(before), 3, "there are chunks that are closed")
	contains := func(text string) bool {
		for _, chunk := range chunks() {
			if strings.Contains(chunk, text) {
				return true
			}
		}
		return false
	}
	lines := 0
	for i := 0; i < events; i += 2 {
		if i%4 == 0 {
			amend(t, s, amendment(i, humanhours.AmendVoid, 0))
			lines++
		}
		if i%10 != 7 {
			require.True(t, contains(fmt.Sprintf("secret-%d.", i)))
		}
		q := amendment(i, humanhours.AmendRedact, (4-i%4)/4)
		want[i] = amend(t, s, q)
		lines++
		require.True(t, want[i].Redacted())
		require.Empty(t, want[i].Metadata)
		require.Empty(t, want[i].AuditSample)
		require.False(t, contains(fmt.Sprintf("secret-%d.", i)))
	}
	for i := range want {
		if i < events/8 {
			requireAmended(t, s, want[i], i, lines)
		}
		original := secret(i).Event
		require.Equal(t, original.NetSaved.String(), want[i].NetSaved.String())
	}
	// Twice erases nothing more.
	again := amend(t, s, amendment(0, humanhours.AmendRedact, 2))
	lines++
	requireAmended(t, s, again, 0, lines)
	after := chunks()
	require.Len(t, after, len(before))
	for name := range before {
		require.Len(t, after[name], len(before[name]))
	}
	require.Equal(t, index, client.HGetAll(ctx, prefix+"{acme}:i").Val())
	auditRaw(t, client, prefix, "acme", events)
	// And the org goes on.
	for i := events; i < events+60; i++ {
		require.NoError(t, s.Append(ctx, []humanhours.Entry{keyedEntry("acme", i)})[0].Err)
	}
	auditRaw(t, client, prefix, "acme", events+60)
	n := 0
	for event, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
		require.NoError(t, err)
		require.Equal(t, n < events && n%2 == 0, event.Redacted())
		require.Equal(t, n < events && n%4 == 0, event.Voided())
		n++
	}
	require.Equal(t, events+60, n)
}

func TestManyAmendments(t *testing.T) {
	client, prefix, ctx := redistest.Start(t).Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	for i := range 3 {
		require.NoError(t, s.Append(ctx, []humanhours.Entry{secret(i)})[0].Err)
	}
	kinds := []humanhours.AmendmentKind{humanhours.AmendReprice, humanhours.AmendVoid, humanhours.AmendRedact}
	var last [2]humanhours.Event
	for base := range humanhours.MaxAmendments {
		for n := range last {
			last[n] = amend(t, s, amendment(n, kinds[(base+n)%3], base))
			for _, wrong := range []int{base, base + 2, -1} {
				got, err := s.Amend(ctx, amendment(n, kinds[base%3], wrong))
				require.NoError(t, err)
				require.True(t, got.Found && !got.Stored)
				require.Len(t, got.Event.Amendments, base+1)
			}
		}
	}
	for n := range last {
		for i, a := range last[n].Amendments {
			want := amendment(n, kinds[(i+n)%3], i).Amendment
			require.Equal(t, string(humanhours.AppendAmendments(nil, []humanhours.Amendment{want})),
				string(humanhours.AppendAmendments(nil, []humanhours.Amendment{a})))
		}
		requireAmended(t, s, last[n], n, 2*humanhours.MaxAmendments)
	}
	requireAmended(t, s, secret(2).Event, 2, 2*humanhours.MaxAmendments)
	for _, q := range []humanhours.AmendQuery{amendment(77, humanhours.AmendVoid, 0), amendment(77, humanhours.AmendRedact, 0)} {
		got, err := s.Amend(ctx, q)
		require.NoError(t, err)
		require.Equal(t, humanhours.Amended{}, got, "there is no such event")
		q.Org = "other"
		got, err = s.Amend(ctx, q)
		require.NoError(t, err)
		require.Equal(t, humanhours.Amended{}, got, "there is no such org")
	}
	require.Empty(t, rawKeys(t, client, prefix+"{other}"))
	auditRaw(t, client, prefix, "acme", 3)
}

// A call whose answer is lost is made again, and finds what it has done itself, whatever others have done since.
func TestLostAnswersOfAmendments(t *testing.T) {
	server, prefix, ctx := redistest.Start(t), fresh(), t.Context()
	client, hook := server.Client(t), &loseAnswer{}
	client.AddHook(hook)
	s, other := open(t, client, prefix), open(t, server.Client(t), prefix)
	loseAfter := func(skip int, then func()) {
		hook.mu.Lock()
		hook.skip, hook.then = skip, then
		hook.mu.Unlock()
	}
	lose := func(then func()) { loseAfter(1, then) } // the first script reads
	for i := range 2 {
		require.NoError(t, s.Append(ctx, []humanhours.Entry{secret(i)})[0].Err)
	}
	amend(t, s, amendment(0, humanhours.AmendReprice, 0)) // the scripts are loaded
	lose(func() {})
	amend(t, s, amendment(0, humanhours.AmendVoid, 1))
	lose(func() { amend(t, other, amendment(0, humanhours.AmendReprice, 3)) })
	got, err := s.Amend(ctx, amendment(0, humanhours.AmendReprice, 2))
	require.NoError(t, err)
	require.True(t, got.Stored)
	require.Len(t, got.Event.Amendments, 4, "as it is now")

	lose(func() { amend(t, other, amendment(0, humanhours.AmendVoid, 5)) })
	got, err = s.Amend(ctx, amendment(0, humanhours.AmendRedact, 4))
	require.NoError(t, err)
	require.True(t, got.Stored)
	require.Len(t, got.Event.Amendments, 6, "another one came before the call was made again")
	requireAmended(t, other, got.Event, 0, 6)

	// Somebody is faster, and the answer that says so is lost.
	loseAfter(0, func() {
		amend(t, other, amendment(1, humanhours.AmendVoid, 0))
		loseAfter(0, func() {})
	})
	hook.keep = true
	got, err = s.Amend(ctx, amendment(1, humanhours.AmendReprice, 0))
	require.NoError(t, err)
	require.False(t, got.Stored)
	requireAmended(t, s, got.Event, 1, 7)
	auditRaw(t, server.Client(t), prefix, "acme", 2)
}

// What is read while an event is amended is the event before or after, and never in between.
func TestReadersDuringAmendments(t *testing.T) {
	const events = 60
	server, prefix, ctx := redistest.Start(t), fresh(), t.Context()
	s, reader := open(t, server.Client(t), prefix), open(t, server.Client(t), prefix)
	for i := range events {
		require.NoError(t, s.Append(ctx, []humanhours.Entry{secret(i)})[0].Err)
	}
	var done atomic.Bool
	var all sync.WaitGroup
	check := func(e humanhours.Event, err error) bool {
		whole := len(e.Metadata) > 0 && e.AuditSample != humanhours.AuditSample{}
		return assert.NoError(t, err) && assert.Equal(t, !e.Redacted(), whole, "%d amendments", len(e.Amendments)) &&
			assert.True(t, len(e.Amendments) == 0 || e.Voided())
	}
	all.Go(func() {
		for !done.Load() {
			for event, err := range reader.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
				if !check(event, err) {
					return
				}
			}
		}
	})
	all.Go(func() {
		for i := 0; !done.Load(); i++ {
			event, _, err := reader.Event(ctx, "acme", keyedEntry("acme", i%events).Event.ID)
			if !check(event, err) {
				return
			}
		}
	})
	for i := range events {
		amend(t, s, amendment(i, humanhours.AmendVoid, 0))
		amend(t, s, amendment(i, humanhours.AmendRedact, 1))
	}
	done.Store(true)
	all.Wait()
}

// The amendments of one Base that come at once: one is stored, with its line, and the texts are gone if that erases them.
func TestAmendmentsAtOnce(t *testing.T) {
	const rounds, callers = 20, 8
	server, prefix, ctx := redistest.Start(t), fresh(), t.Context()
	stores := []*redis.Store{open(t, server.Client(t), prefix), open(t, server.Client(t), prefix)}
	require.NoError(t, stores[0].Append(ctx, []humanhours.Entry{secret(0)})[0].Err)
	for base := range rounds {
		var stored atomic.Int64
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				kind := humanhours.AmendVoid
				if i%3 == 2 {
					kind = humanhours.AmendRedact
				}
				got, err := stores[i%2].Amend(ctx, amendment(0, kind, base))
				assert.NoError(t, err)
				if got.Stored {
					stored.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, stored.Load())
	}
	event, _, err := stores[0].Event(ctx, "acme", secret(0).Event.ID)
	require.NoError(t, err)
	require.Len(t, event.Amendments, rounds)
	requireAmended(t, stores[1], event, 0, rounds)
}

// Where Redis refuses to write, nothing of an amendment is written.
func TestAmendmentsWhereMemoryIsFull(t *testing.T) {
	server := redistest.Start(t, "--maxmemory-policy", "noeviction")
	client, prefix, ctx := server.Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	require.NoError(t, s.Append(ctx, []humanhours.Entry{secret(0)})[0].Err)
	before := rawKeys(t, client, prefix)
	server.Must(t, "CONFIG", "SET", "maxmemory", 1)
	for _, kind := range []humanhours.AmendmentKind{humanhours.AmendVoid, humanhours.AmendRedact} {
		_, err := s.Amend(ctx, amendment(0, kind, 0))
		require.ErrorContains(t, err, "raise maxmemory")
	}
	require.ElementsMatch(t, before, rawKeys(t, client, prefix))
	requireAmended(t, s, secret(0).Event, 0, 0)
	server.Must(t, "CONFIG", "SET", "maxmemory", 0)
	amend(t, s, amendment(0, humanhours.AmendRedact, 0))
}

// Reading takes as many round trips as without amendments.
func TestAmendmentsAddNoRoundTrip(t *testing.T) {
	server := redistest.Start(t)
	prefix, ctx := fresh(), t.Context()
	client := server.Client(t)
	trips := &countTrips{}
	client.AddHook(trips)
	s := open(t, client, prefix)
	for i := range 60 {
		require.NoError(t, s.Append(ctx, []humanhours.Entry{keyedEntry("acme", i)})[0].Err)
	}
	read := func() (event, events int64) {
		trips.n.Store(0)
		_, _, err := s.Event(ctx, "acme", keyedEntry("acme", 1).Event.ID)
		require.NoError(t, err)
		event = trips.n.Swap(0)
		for _, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
			require.NoError(t, err)
		}
		return event, trips.n.Load()
	}
	read() // the scripts are loaded
	event, events := read()
	require.EqualValues(t, 1, event)
	for i := range 60 {
		amend(t, s, amendment(i, humanhours.AmendVoid, 0))
	}
	amendedEvent, amendedEvents := read()
	require.Equal(t, event, amendedEvent)
	require.Equal(t, events, amendedEvents)
}

// countTrips counts what is sent and waited for.
type countTrips struct{ n atomic.Int64 }

func (*countTrips) DialHook(next goredis.DialHook) goredis.DialHook { return next }
func (c *countTrips) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error { c.n.Add(1); return next(ctx, cmds) }
}
func (c *countTrips) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error { c.n.Add(1); return next(ctx, cmd) }
}

// Amendments that are gone are missed, and those that belong to a chunk that is gone come to no other.
func TestAmendmentsThatAreGone(t *testing.T) {
	client, ctx := redistest.Start(t).Client(t), t.Context()
	for _, gone := range []string{":v:1", ":m"} {
		prefix := fresh()
		s := open(t, client, prefix)
		require.NoError(t, s.Append(ctx, []humanhours.Entry{keyedEntry("acme", 0)})[0].Err)
		amend(t, s, amendment(0, humanhours.AmendVoid, 0))
		require.NoError(t, client.Del(ctx, prefix+"{acme}"+gone).Err())
		_, _, err := s.Event(ctx, "acme", keyedEntry("acme", 0).Event.ID)
		require.ErrorContains(t, err, "maxmemory-policy")
		for base := range 2 {
			_, err = s.Amend(ctx, amendment(0, humanhours.AmendVoid, base))
			require.ErrorContains(t, err, "maxmemory-policy")
		}
		for event, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
			require.True(t, err != nil || event.Voided())
		}
	}
	prefix := fresh()
	s := open(t, client, prefix)
	require.NoError(t, s.Append(ctx, []humanhours.Entry{keyedEntry("acme", 0)})[0].Err)
	amend(t, s, amendment(0, humanhours.AmendVoid, 0))
	for _, name := range rawKeys(t, client, prefix+"{acme}:") {
		if !strings.HasSuffix(name, ":v:1") {
			require.NoError(t, client.Del(ctx, name).Err())
		}
	}
	require.ErrorContains(t, s.Append(ctx, []humanhours.Entry{keyedEntry("acme", 1)})[0].Err, "maxmemory-policy")
}

// amendedInACluster: whatever is needed of an org is in its slot, also while that moves.
func amendedInACluster(t *testing.T, c *redistest.Cluster) {
	client, prefix, ctx := c.Client(t), fresh(), t.Context()
	s := patient(t, client, prefix)
	base := prefix + "{acme}"
	for i := range 60 {
		require.NoError(t, s.Append(ctx, []humanhours.Entry{secret(i)})[0].Err)
	}
	amend(t, s, amendment(0, humanhours.AmendVoid, 0))
	slot := c.SlotOf(t, base)
	var waiting sync.WaitGroup
	steps := 0
	c.MoveSlot(t, slot, (c.Owner(t, slot)+1)%len(c.Nodes), func(int) {
		steps++
		n := steps
		waiting.Go(func() { // until the slot has moved
			assert.NoError(t, prompt(t, "Amend", 15*time.Second, func(ctx context.Context) error {
				got, err := s.Amend(ctx, amendment(n, humanhours.AmendRedact, 0))
				if err == nil && !got.Stored {
					err = errors.New("it is not stored")
				}
				return err
			}))
		})
		_ = prompt(t, "Events", 250*time.Millisecond, func(ctx context.Context) error {
			for event, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
				if err != nil {
					return err
				}
				assert.Equal(t, event.ID == secret(0).Event.ID, event.Voided())
			}
			return nil
		})
	})
	waiting.Wait()
	require.Greater(t, steps, 3)
	for n := 1; n <= min(steps, 20); n++ {
		event, _, err := s.Event(ctx, "acme", secret(n).Event.ID)
		require.NoError(t, err)
		require.True(t, event.Redacted())
		requireAmended(t, s, event, n, steps+1)
	}
	for _, name := range rawKeys(t, client, base) {
		require.Equal(t, slot, c.SlotOf(t, name))
	}
	auditRaw(t, client, prefix, "acme", 60)
}

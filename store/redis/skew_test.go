package redis_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
)

// Instances whose clocks differ: what counts is Entry.At.
func TestSkewedInstances(t *testing.T) {
	server := redistest.Start(t)
	for _, skew := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		prefix, ctx := fresh(), t.Context()
		one, other := open(t, server.Client(t), prefix), open(t, server.Client(t), prefix)
		by := func(n int, at time.Time) humanhours.Entry {
			e := keyedEntry("acme", n)
			e.At, e.Event.ReceivedAt, e.Key = at, at, "k"
			return e
		}
		first := by(1, keyedEntry("acme", 0).At)
		require.NoError(t, one.Append(ctx, []humanhours.Entry{first})[0].Err)
		n := 1
		for _, since := range []time.Duration{0, time.Hour, 20*time.Hour + 59*time.Minute} {
			n++
			at := first.At.Add(since + skew)
			got := other.Append(ctx, []humanhours.Entry{by(n, at)})[0]
			require.NoError(t, got.Err)
			require.True(t, got.Replayed && got.Event.Equal(&first.Event), "%v later, with a skew of %v", since, skew)
			replay, err := other.Replay(ctx, humanhours.ReplayQuery{Org: "acme", Key: "k", At: at})
			require.NoError(t, err)
			require.True(t, replay.Found && replay.Event.Equal(&first.Event))
		}
		end := first.At.Add(humanhours.IdempotencyWindow)
		got := other.Append(ctx, []humanhours.Entry{by(n+1, end.Add(-time.Millisecond))})[0]
		require.True(t, got.Replayed)
		second := by(n+2, end)
		got = other.Append(ctx, []humanhours.Entry{second})[0]
		require.NoError(t, got.Err)
		require.False(t, got.Replayed, "at the end of the window the key is free")
		// Who is behind finds the later claim, and not the earlier one that its clock would still allow.
		got = one.Append(ctx, []humanhours.Entry{by(n+3, end.Add(-2*time.Hour))})[0]
		require.True(t, got.Replayed && got.Event.Equal(&second.Event))
		auditRaw(t, server.Client(t), prefix, "acme", 2)
	}
}

// The lifetimes of keys are relative, so no clock has a part in them, and they outlast the window by more than clocks differ.
func TestBucketsGoAway(t *testing.T) {
	const slack = 6 * time.Hour
	server := redistest.Start(t)
	client, prefix, ctx := server.Client(t), fresh(), t.Context()
	s := open(t, client, prefix)
	base := prefix + "{acme}"
	for i, at := range []time.Time{
		time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC), keyedEntry("acme", 0).At, time.Date(2026, 5, 20, 23, 59, 59, 0, time.UTC), time.Date(2200, 1, 1, 3, 0, 0, 0, time.UTC),
	} {
		e := keyedEntry("acme", i)
		e.At = at
		require.NoError(t, s.Append(ctx, []humanhours.Entry{e})[0].Err)
	}
	buckets := rawKeys(t, client, base+":k:")
	require.Len(t, buckets, 4)
	for _, bucket := range buckets {
		left, err := client.PTTL(ctx, bucket).Result()
		require.NoError(t, err)
		require.Greater(t, left, humanhours.IdempotencyWindow+slack-time.Minute)
		require.LessOrEqual(t, left, humanhours.IdempotencyWindow+2*slack)
	}
	// A later claim of the same bucket does not shorten its life, and an earlier one makes it longer.
	e := keyedEntry("acme", 10)
	e.At = e.At.Truncate(6 * time.Hour) // the beginning of a bucket, a window later
	require.NoError(t, s.Append(ctx, []humanhours.Entry{e})[0].Err)
	bucket := base + ":k:" + strconv.FormatInt(e.At.Add(e.Window).UnixMilli()/(6*time.Hour).Milliseconds(), 10)
	require.Greater(t, client.PTTL(ctx, bucket).Val(), humanhours.IdempotencyWindow+2*slack-time.Minute)
	late := keyedEntry("acme", 11)
	late.At = e.At.Add(6*time.Hour - time.Second)
	require.NoError(t, s.Append(ctx, []humanhours.Entry{late})[0].Err)
	require.Greater(t, client.PTTL(ctx, bucket).Val(), humanhours.IdempotencyWindow+2*slack-time.Minute)

	for _, bucket := range buckets {
		require.NoError(t, client.PExpire(ctx, bucket, time.Millisecond).Err())
	}
	redistest.Eventually(t, func() error {
		if n := len(rawKeys(t, client, base+":k:")); n != 0 {
			return fmt.Errorf("%d buckets are left", n)
		}
		return nil
	})
	again := keyedEntry("acme", 1) // the same id
	got := s.Append(ctx, []humanhours.Entry{again})[0]
	require.NoError(t, got.Err)
	require.False(t, got.Replayed)
	require.Empty(t, rawKeys(t, client, base+":k:"), "an event that is there claims nothing")
	again.Event.ID, again.At = "another", keyedEntry("acme", 1).At
	got = s.Append(ctx, []humanhours.Entry{again})[0]
	require.NoError(t, got.Err)
	require.False(t, got.Replayed, "the key is gone with its bucket")
	found, err := s.Replay(ctx, humanhours.ReplayQuery{Org: "acme", Key: again.Key, At: again.At})
	require.NoError(t, err)
	require.True(t, found.Found && found.Event.ID == "another")
	n := 0
	for _, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 7, n)
	// A bucket that is new forgets those that are gone.
	later := keyedEntry("acme", 20)
	later.At = later.At.Add(100 * time.Hour)
	require.NoError(t, s.Append(ctx, []humanhours.Entry{later})[0].Err)
	require.Len(t, rawKeys(t, client, base+":k:"), 2)
	require.Len(t, client.HGet(ctx, base+":m", "b").Val(), len("12345 12345"))
}

func TestCountersAreExact(t *testing.T) {
	client, ctx := redistest.Start(t).Client(t), t.Context()
	month := humanhours.Month{Year: 2026, Month: time.May}
	for i, test := range []struct {
		used, cap int64
		what      string
	}{
		{9007199254740993, 9007199254740993, "refused"},
		{9007199254740993, 9007199254740994, "created"},
		{9007199254740992, 9007199254740993, "created"},
		{9007199254740994, 9007199254740993, "refused"},
		{9999999999, 10000000000, "created"},
		{10000000000, 10000000000, "refused"},
		{19999999999, 20000000000, "created"},
		{20000000000, 19999999999, "refused"},
		{9007199254740993, 0, "created"},
		{math.MaxInt64 - 1, math.MaxInt64, "created"},
		{math.MaxInt64 - 1, 0, "created"},
		{math.MaxInt64 - 1, math.MaxInt64 - 1, "refused"},
		{math.MaxInt64, math.MaxInt64, "refused"},
		{math.MaxInt64, 0, "full"},
		{5, math.MaxInt64, "created"},
		{math.MaxInt64, 5, "refused"},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			prefix := fresh()
			s := open(t, client, prefix)
			base := prefix + "{acme}"
			require.NoError(t, client.HSet(ctx, base+":u", 2026*12+4, test.used).Err())
			e := keyedEntry("acme", i)
			e.Cap = test.cap
			got := s.Append(ctx, []humanhours.Entry{e})[0]
			want := test.used
			switch test.what {
			case "created":
				require.NoError(t, got.Err)
				require.False(t, got.QuotaExceeded)
				want++
				if test.cap == test.used+1 { // now it is used up
					e := keyedEntry("acme", 100)
					e.Cap = test.cap
					require.True(t, s.Append(ctx, []humanhours.Entry{e})[0].QuotaExceeded)
				}
			case "refused":
				require.NoError(t, got.Err)
				require.True(t, got.QuotaExceeded)
			case "full":
				require.ErrorContains(t, got.Err, "counter of the month is full")
			}
			used, err := s.Usage(ctx, "acme", month)
			require.NoError(t, err)
			require.Equal(t, want, used)
			if test.what != "created" {
				require.Equal(t, []string{base + ":u"}, rawKeys(t, client, base), "something was written")
			}
		})
	}
	// One that cannot be counted is no trouble for one of the same batch that is not counted.
	prefix := fresh()
	s := open(t, client, prefix)
	require.NoError(t, client.HSet(ctx, prefix+"{acme}:u", 2026*12+4, int64(math.MaxInt64)).Err())
	full, free := keyedEntry("acme", 1), keyedEntry("acme", 2)
	free.Event.Test = true
	got := s.Append(ctx, []humanhours.Entry{full, free})
	require.Error(t, got[0].Err)
	require.NoError(t, got[1].Err)
	require.Equal(t, free.Event.ID, got[1].Event.ID)
}

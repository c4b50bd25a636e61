package humanhours

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Keys whose hashes are equal, or differ only in bits that a small table does not look at, or meet at its end, are still told apart: also
// when the table grows, and when others are dropped from among them.
func TestLimiterShardTellsEqualHashesApart(t *testing.T) {
	hashes := []uint32{0, 1, 7, 1 << 8, 1 << 31, 1<<32 - 1, 1<<32 - 2}
	var s limiterShard
	random := rand.New(rand.NewPCG(9, 9))
	latest := make(map[string]time.Duration)
	now := limitWindow
	for range 20_000 {
		now += time.Duration(random.Int64N(int64(limitWindow / 100)))
		i := random.IntN(500)
		key := fmt.Sprint("key ", i)
		k := s.find(key, hashes[i%len(hashes)])
		require.Equal(t, key, k.key)
		require.Equal(t, latest[key], k.latest(), key)
		require.True(t, k.take(now, 1000).Allowed)
		latest[key] = now
		if random.IntN(50) == 0 {
			now += time.Duration(random.Int64N(2) * random.Int64N(int64(limitWindow)))
			s.sweep(now)
			for name, at := range latest {
				if now-at >= limitWindow {
					delete(latest, name)
				}
			}
			require.Len(t, s.keys, len(latest))
		}
	}
}

// A ring has room for what is inside the window, not for all that the limit would allow, and never for more than that.
func TestTakesGrowAsTheyNeedTo(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 5, 100, 1 << 30} {
		var k takes
		for i := range 3 * min(limit, 100) {
			k.take(limitWindow, limit)
			require.LessOrEqual(t, len(k.ring()), min(max(2, 2*i), max(2, limit)), "take %d with a limit of %d", i, limit)
		}
		room := len(k.ring())
		for i := range 10 * room {
			require.True(t, k.take(limitWindow*time.Duration(2+i), limit).Allowed)
		}
		require.Len(t, k.ring(), room, "a key that is seldom asked for, with a limit of %d", limit)
	}
}

// Idle keys go at any pace of Takes, also one at which no Take comes within many windows, or always at the same part of one.
func TestIdleKeysGoAtAnyPace(t *testing.T) {
	for _, pace := range []time.Duration{time.Millisecond, limitWindow / limiterShards, 10 * time.Millisecond, 100 * time.Millisecond, limitWindow / 4, limitWindow / 2, limitWindow, 10 * time.Second} {
		now := time.Unix(1_700_000_000, 0)
		l := NewLimiter(func() time.Time { return now })
		for i := range 5_000 {
			_, _ = l.Take(t.Context(), TakeQuery{Key: fmt.Sprint("crowd ", i), Limit: 5})
		}
		for range max(2*limiterShards/limiterSweeps, int(2*limitWindow/pace)) {
			now = now.Add(pace)
			_, _ = l.Take(t.Context(), TakeQuery{Key: "one", Limit: 1 << 20})
		}
		require.Equal(t, 1, l.Len(), "a Take every %v", pace)

		// New keys all the time take no more room than those of a while.
		for i := range 20_000 {
			now = now.Add(pace)
			_, _ = l.Take(t.Context(), TakeQuery{Key: fmt.Sprint("new ", i), Limit: 5})
		}
		most := 2*limiterShards/limiterSweeps + 2*int(limitWindow/pace)
		require.LessOrEqual(t, l.Len(), most, "a new key every %v", pace)
	}
}

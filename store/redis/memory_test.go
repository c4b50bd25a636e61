package redis_test

import (
	"strconv"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go/internal/redistest"
)

// usedMemory is what the data of a server take.
func usedMemory(tb testing.TB, c *goredis.Client) int {
	tb.Helper()
	info, err := c.Info(tb.Context(), "memory").Result()
	require.NoError(tb, err)
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			n, err := strconv.Atoi(value)
			require.NoError(tb, err)
			return n
		}
	}
	tb.Fatal("no used_memory")
	return 0
}

func TestMemoryOfAnEvent(t *testing.T) {
	const events, group = 100_000, 200
	c := redistest.Start(t).Client(t)
	s := open(t, c, fresh())
	require.Less(t, len(entries(0, 1)[0].Event.AppendJSON(nil)), 500)
	require.Greater(t, len(entries(0, 1)[0].Event.AppendJSON(nil)), 430)
	require.NoError(t, s.Append(t.Context(), entries(events, 1))[0].Err) // the script is loaded
	before := usedMemory(t, c)
	for i := 0; i < events; i += group {
		for _, got := range s.Append(t.Context(), entries(i, group)) {
			require.NoError(t, got.Err)
			require.False(t, got.Replayed)
		}
	}
	each := (usedMemory(t, c) - before) / events
	t.Logf("%d bytes for each event of %d bytes of JSON", each, len(entries(0, 1)[0].Event.AppendJSON(nil)))
	require.LessOrEqual(t, each, 450)
}

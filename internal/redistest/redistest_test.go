package redistest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go/internal/redistest"
)

func TestServerComesBackWithWhatItWrote(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	s.Must(t, "SET", "a", "1")
	s.Kill()
	require.Error(t, s.Client(t).Ping(context.Background()).Err())
	s.Restart()
	require.Equal(t, "1", s.Must(t, "GET", "a"))
}

func TestClusterMovesASlot(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	client := c.Client(t)
	for _, key := range []string{"{a}1", "{a}2", "{a}3", "{a}4"} {
		require.NoError(t, client.Set(t.Context(), key, key, 0).Err())
	}
	slot := c.SlotOf(t, "{a}")
	from := c.Owner(t, slot)
	steps := 0
	c.MoveSlot(t, slot, (from+1)%3, func(int) {
		steps++
		require.Equal(t, "{a}2", client.Get(t.Context(), "{a}2").Val())
	})
	require.Equal(t, 4, steps)
	require.Equal(t, (from+1)%3, c.Owner(t, slot))
	require.Equal(t, "{a}3", client.Get(t.Context(), "{a}3").Val())
}

package humanhours_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// touches is a KeyStore that counts TouchKey, and can fail or hang in it.
type touches struct {
	humanhours.KeyStore
	n    atomic.Int64
	err  error
	hang chan struct{} // nil: does not
}

func (s *touches) TouchKey(ctx context.Context, id string, at time.Time) error {
	s.n.Add(1)
	if s.hang != nil {
		<-s.hang
	}
	if s.err != nil {
		return s.err
	}
	return s.KeyStore.TouchKey(ctx, id, at)
}

func TestLastUseIsWrittenLazily(t *testing.T) {
	store, clock := &touches{KeyStore: memory.New()}, newClock(noon.Add(400*time.Microsecond))
	keys := humanhours.NewKeys(store, humanhours.KeysConfig{Clock: clock.Now})
	key, secret, err := keys.Create(t.Context(), "acme", false, 0)
	require.NoError(t, err)
	require.True(t, key.LastUsedAt.IsZero())
	use := func() time.Time {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, err := keys.Authenticate(t.Context(), secret.Reveal())
				assert.NoError(t, err)
			})
		}
		all.Wait()
		require.NoError(t, keys.Flush(t.Context()))
		list, err := keys.List(t.Context(), "acme")
		require.NoError(t, err)
		return list[0].LastUsedAt
	}
	require.Equal(t, noon, use())
	require.EqualValues(t, 1, store.n.Load(), "once a minute")
	clock.Advance(time.Minute - 1)
	require.Equal(t, noon, use())
	clock.Advance(1)
	require.Equal(t, noon.Add(time.Minute), use())
	require.EqualValues(t, 2, store.n.Load())
	clock.Advance(-time.Hour)
	require.Equal(t, noon.Add(time.Minute), use(), "it never goes back")

	_, err = keys.Authenticate(t.Context(), secret.Reveal()[:50]+"AAAAAAAAAAAAAAA")
	requireError(t, err, humanhours.CodeInvalidAPIKey, "")
	require.EqualValues(t, 3, store.n.Load(), "a wrong secret is no use of the key")
}

func TestLastUseDelaysNobody(t *testing.T) {
	store, log := &touches{KeyStore: memory.New(), hang: make(chan struct{}), err: errors.New("broken")}, &testLog{}
	keys := humanhours.NewKeys(store, humanhours.KeysConfig{Logger: textLogger(log)})
	_, secret, err := keys.Create(t.Context(), "acme", false, 0)
	require.NoError(t, err)
	_, err = keys.Authenticate(t.Context(), secret.Reveal()) // while TouchKey hangs
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, keys.Flush(ended), context.Canceled)
	close(store.hang)
	require.NoError(t, keys.Flush(t.Context()))
	assert.Contains(t, log.String(), "could not write when a key was last used")
	assert.NotContains(t, log.String(), secret.Reveal())

	quiet := &touches{KeyStore: store.KeyStore}
	keys = humanhours.NewKeys(quiet, humanhours.KeysConfig{LastUsedEvery: -1})
	_, err = keys.Authenticate(t.Context(), secret.Reveal())
	require.NoError(t, err)
	require.NoError(t, keys.Flush(t.Context()))
	assert.Zero(t, quiet.n.Load())
}

func TestRotateWithoutDowntime(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{LastUsedEvery: -1})
	old, oldSecret := k.create(t, "acme", true, humanhours.ScopeTrackWrite)
	fresh, secret, err := k.Rotate(t.Context(), old.ID)
	require.NoError(t, err)
	assert.NotEqual(t, old.ID, fresh.ID)
	assert.True(t, fresh.Test)
	for _, s := range []humanhours.Secret{oldSecret, secret} {
		caller, err := k.Authenticate(t.Context(), s.Reveal())
		require.NoError(t, err, "both work")
		assert.Equal(t, "acme", caller.Org)
		assert.Equal(t, humanhours.ScopeTrackWrite, caller.Scopes)
		assert.True(t, caller.Test)
	}
	_, err = k.Revoke(t.Context(), old.ID)
	require.NoError(t, err)
	_, err = k.Authenticate(t.Context(), oldSecret.Reveal())
	requireError(t, err, humanhours.CodeKeyRevoked, "")
	_, err = k.Authenticate(t.Context(), secret.Reveal())
	require.NoError(t, err)

	_, _, err = k.Rotate(t.Context(), old.ID)
	requireError(t, err, humanhours.CodeKeyRevoked, "id")
	_, _, err = k.Rotate(t.Context(), "nothing1")
	requireError(t, err, humanhours.CodeNotFound, "id")
	k.spy.err = errors.New("broken")
	_, _, err = k.Rotate(t.Context(), fresh.ID)
	requireError(t, err, humanhours.CodeUnavailable, "")
}

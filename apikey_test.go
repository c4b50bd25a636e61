package humanhours_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
)

// counting is a source of bytes 0, 1, 2, ...
type counting byte

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(*c)
		*c++
	}
	return len(p), nil
}

// repeated is a source of one byte.
type repeated byte

func (b repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// chaCha returns a source of good bytes that are the same in every run.
func chaCha() io.Reader { return rand.NewChaCha8([32]byte([]byte("a seed for tests, 32 bytes long."))) }

// keySpy is a KeyStore that remembers what it was given, counts reads, and fails when told to.
type keySpy struct {
	humanhours.KeyStore
	given  bytes.Buffer
	reads  int
	err    error
	onRead func()
}

func newKeySpy() *keySpy { return &keySpy{KeyStore: memory.New()} }

func (s *keySpy) PutKey(ctx context.Context, key humanhours.APIKey) (humanhours.APIKey, bool, error) {
	fmt.Fprintf(&s.given, "%+v %#v\n", key, key)
	if err := json.NewEncoder(&s.given).Encode(key); err != nil {
		return key, false, err
	}
	if s.err != nil {
		return key, false, s.err
	}
	return s.KeyStore.PutKey(ctx, key)
}

func (s *keySpy) Key(ctx context.Context, id string) (humanhours.APIKey, bool, error) {
	fmt.Fprintln(&s.given, id)
	s.reads++
	key, ok, err := s.KeyStore.Key(ctx, id)
	if s.onRead != nil {
		s.onRead()
	}
	return key, ok, errors.Join(err, s.err)
}

func (s *keySpy) Keys(ctx context.Context, org string) ([]humanhours.APIKey, error) {
	keys, err := s.KeyStore.Keys(ctx, org)
	return keys, errors.Join(err, s.err)
}

func (s *keySpy) RevokeKey(ctx context.Context, id string, at time.Time) (humanhours.APIKey, bool, error) {
	key, ok, err := s.KeyStore.RevokeKey(ctx, id, at)
	return key, ok, errors.Join(err, s.err)
}

// keyring is Keys over a spied store with a clock and bytes that are the same in every run.
type keyring struct {
	*humanhours.Keys
	spy   *keySpy
	clock *testClock
}

func newKeyring(cfg humanhours.KeysConfig) *keyring {
	k := &keyring{spy: newKeySpy(), clock: newClock(noon.Add(123_456 * time.Microsecond))}
	cfg.Clock = k.clock.Now
	if cfg.Random == nil {
		cfg.Random = chaCha()
	}
	k.Keys = humanhours.NewKeys(k.spy, cfg)
	return k
}

func (k *keyring) create(t *testing.T, org string, test bool, scopes humanhours.Scopes) (humanhours.APIKey, humanhours.Secret) {
	t.Helper()
	key, secret, err := k.Create(t.Context(), org, test, scopes)
	require.NoError(t, err)
	return key, secret
}

func TestCreateKey(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{Random: new(counting)})
	key, secret := k.create(t, "acme", false, humanhours.ScopeTrackWrite)
	assert.Equal(t, "hh_live_ABCDEFGH_IJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123", secret.Reveal(), "8 letters of id, 48 of secret")
	assert.Equal(t, "ABCDEFGH", key.ID)
	assert.Equal(t, "acme", key.Org)
	assert.False(t, key.Test)
	assert.Equal(t, humanhours.ScopeTrackWrite, key.Scopes)
	assert.Equal(t, noon.Add(123*time.Millisecond), key.CreatedAt, "UTC, milliseconds")
	assert.True(t, key.RevokedAt.IsZero())

	_, secret = k.create(t, "acme", true, 0)
	assert.Regexp(t, `^hh_test_[A-Za-z0-9]{8}_[A-Za-z0-9]{48}$`, secret.Reveal())
}

func TestKeysOfTheDefaultSourceDiffer(t *testing.T) {
	k := humanhours.NewKeys(memory.New(), humanhours.KeysConfig{})
	seen := map[string]bool{}
	for range 100 {
		_, secret, err := k.Create(t.Context(), "acme", false, 0)
		require.NoError(t, err)
		id, rest, _ := strings.Cut(strings.TrimPrefix(secret.Reveal(), "hh_live_"), "_")
		seen[id], seen[rest] = true, true
	}
	assert.Len(t, seen, 200)
}

// A byte modulo 62 would favour the first 8 letters by a quarter.
func TestKeyAlphabetIsUnbiased(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{})
	letters := map[rune]int{}
	const keys = 2000
	for range keys {
		_, secret := k.create(t, "acme", false, 0)
		for _, c := range strings.ReplaceAll(strings.TrimPrefix(secret.Reveal(), "hh_live_"), "_", "") {
			letters[c]++
		}
	}
	require.Len(t, letters, 62)
	for c, n := range letters {
		assert.InDelta(t, keys*56/62, n, 250, "%c: six standard deviations", c)
	}
}

func TestKeyRandomnessThatIsNone(t *testing.T) {
	broken := errors.New("no entropy")
	for name, tc := range map[string]struct {
		random io.Reader
		cause  error
	}{
		"fails": {failing{broken}, broken}, "ends": {bytes.NewReader(make([]byte, 10)), io.ErrUnexpectedEOF}, "has no usable bytes": {repeated(0xff), nil},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeyring(humanhours.KeysConfig{Random: tc.random})
			_, secret, err := k.Create(t.Context(), "acme", false, 0)
			requireError(t, err, humanhours.CodeInternal, "")
			if tc.cause != nil {
				assert.ErrorIs(t, err, tc.cause)
			}
			assert.Zero(t, secret)
		})
	}
	k := newKeyring(humanhours.KeysConfig{Random: repeated(0)})
	k.create(t, "acme", false, 0)
	_, _, err := k.Create(t.Context(), "acme", false, 0)
	requireError(t, err, humanhours.CodeInternal, "")
}

// failing is a source that has nothing.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A key id that is taken is no reason to fail: another one is drawn.
func TestCreateKeyDrawsAnotherIDWhenOneIsTaken(t *testing.T) {
	same := strings.Repeat("\x00", 8)
	first, second, third := strings.Repeat("\x01", 56), strings.Repeat("\x02", 56), strings.Repeat("\x03", 64)
	k := newKeyring(humanhours.KeysConfig{Random: strings.NewReader(same + first + same + second + third)})
	one, _ := k.create(t, "acme", false, 0)
	two, secret := k.create(t, "acme", false, 0)
	assert.Equal(t, "AAAAAAAA", one.ID)
	assert.Equal(t, "DDDDDDDD", two.ID)
	c, err := k.Authenticate(t.Context(), secret.Reveal())
	require.NoError(t, err)
	assert.Equal(t, "DDDDDDDD", c.KeyID)
}

func TestAuthenticate(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{})
	for _, want := range []humanhours.Caller{
		{Org: "acme"}, {Org: "acme", Test: true}, {Org: "globex", Scopes: humanhours.ScopeReportsRead | humanhours.ScopeOrgWrite},
	} {
		key, secret := k.create(t, want.Org, want.Test, want.Scopes)
		want.KeyID = key.ID
		got, err := k.Authenticate(t.Context(), secret.Reveal())
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, _, err := k.Create(t.Context(), "", false, 0)
	requireError(t, err, humanhours.CodeValidation, "org")
}

// malformedKeys are texts of the wrong shape that hold a good key's secret as far as possible.
func malformedKeys(good string) map[string]string {
	id, secret := good[8:16], good[17:]
	return map[string]string{
		"empty": "", "prefix alone": "hh_live_", "one character short": good[:len(good)-1], "one character long": good + "A", "without secret": good[:17],
		"scheme": "Bearer " + good, "leading space": " " + good[:len(good)-1], "trailing newline": good[:len(good)-1] + "\n", "trailing space": good + " ",
		"upper-case prefix": "HH_LIVE_" + id + "_" + secret, "another prefix": "hh_prod_" + id + "_" + secret, "stripe's prefix": "sk_live_" + id + "_" + secret,
		"no separator": "hh_live_" + id + "x" + secret, "separator in the id": "hh_live_" + id[:7] + "__" + secret, "separator too early": "hh_live_" + id[:7] + "_" + secret + "A",
		"dash in the secret": good[:len(good)-1] + "-", "underscore in the secret": good[:len(good)-1] + "_", "NUL in the secret": good[:len(good)-1] + "\x00",
		"space in the id":     "hh_live_" + id[:7] + " _" + secret,
		"accent, same bytes":  good[:len(good)-2] + "é",
		"accent, same length": good[:len(good)-1] + "é", "full-width letter": good[:len(good)-3] + "Ａ", "invalid UTF-8": good[:len(good)-1] + "\xff",
		"edges of the alphabet": good[:len(good)-6] + "@[`{/:", "very long": strings.Repeat(good, 1000),
	}
}

func TestMalformedKeys(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{})
	_, secret := k.create(t, "acme", false, 0)
	for name, presented := range malformedKeys(secret.Reveal()) {
		_, err := k.Authenticate(t.Context(), presented)
		assert.Equal(t, humanhours.CodeInvalidAPIKey, humanhours.CodeOf(err), name)
		_, _, err = k.Import(t.Context(), "acme", humanhours.NewSecret(presented), 0)
		assert.Equal(t, humanhours.CodeInvalidAPIKey, humanhours.CodeOf(err), name)
		_, _, err = humanhours.ParseKey(presented)
		assert.Error(t, err, name)
	}
	assert.Zero(t, k.spy.reads, "the store is not asked for what cannot be a key")

	id, test, err := humanhours.ParseKey("hh_test_09AZaz00_" + strings.Repeat("zZ9", 16))
	require.NoError(t, err)
	assert.Equal(t, "09AZaz00", id)
	assert.True(t, test)
}

func TestWrongSecret(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{})
	key, secret := k.create(t, "acme", false, 0)
	good := secret.Reveal()
	_, err := k.Revoke(t.Context(), key.ID)
	require.NoError(t, err)

	_, err = k.Authenticate(t.Context(), good)
	requireError(t, err, humanhours.CodeKeyRevoked, "")
	for name, presented := range map[string]string{
		"another secret under the id": good[:17] + strings.Repeat("A", 48), "another last letter": good[:64] + other(good[64]), "the test twin": strings.Replace(good, "live", "test", 1),
		"the id in another case": good[:8] + strings.ToUpper(good[8:16]) + good[16:], "an unknown id": "hh_live_00000000_" + good[17:],
	} {
		_, err = k.Authenticate(t.Context(), presented)
		requireError(t, err, humanhours.CodeInvalidAPIKey, "")
		assert.NotContains(t, err.Error(), "revoked", "%s: only the holder of the secret is told", name)
	}
}

// other returns another letter than c.
func other(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func TestRevoke(t *testing.T) {
	here := newKeyring(humanhours.KeysConfig{CacheTTL: 10 * time.Second})
	there := humanhours.NewKeys(here.spy, humanhours.KeysConfig{CacheTTL: 10 * time.Second, Clock: here.clock.Now})
	key, secret := here.create(t, "acme", false, 0)
	for _, k := range []*humanhours.Keys{here.Keys, there} {
		_, err := k.Authenticate(t.Context(), secret.Reveal())
		require.NoError(t, err)
	}
	here.clock.Advance(time.Second)
	revoked, err := here.Revoke(t.Context(), key.ID)
	require.NoError(t, err)
	at := noon.Add(1123 * time.Millisecond)
	assert.Equal(t, at, revoked.RevokedAt)

	_, err = here.Authenticate(t.Context(), secret.Reveal())
	requireError(t, err, humanhours.CodeKeyRevoked, "")
	here.clock.Advance(9*time.Second - time.Nanosecond)
	_, err = there.Authenticate(t.Context(), secret.Reveal())
	require.NoError(t, err, "another process has it in its cache")
	here.clock.Advance(time.Nanosecond)
	_, err = there.Authenticate(t.Context(), secret.Reveal())
	requireError(t, err, humanhours.CodeKeyRevoked, "")

	again, err := here.Revoke(t.Context(), key.ID)
	require.NoError(t, err)
	assert.Equal(t, at, again.RevokedAt, "the first time stays")
	_, err = here.Revoke(t.Context(), "nosuchid")
	requireError(t, err, humanhours.CodeNotFound, "id")
}

// A look-up that started before a revocation and ends after it must not bring the key back.
func TestRevokeDuringALookup(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{CacheTTL: time.Hour})
	key, secret := k.create(t, "acme", false, 0)
	k.spy.onRead = func() {
		k.spy.onRead = nil
		_, err := k.Revoke(t.Context(), key.ID)
		require.NoError(t, err)
	}
	_, err := k.Authenticate(t.Context(), secret.Reveal())
	require.NoError(t, err, "this one read the key while it was good")
	_, err = k.Authenticate(t.Context(), secret.Reveal())
	requireError(t, err, humanhours.CodeKeyRevoked, "")
}

func TestKeyCache(t *testing.T) {
	for name, tc := range map[string]struct{ configured, ttl time.Duration }{"default": {0, 5 * time.Second}, "configured": {time.Minute, time.Minute}} {
		k := newKeyring(humanhours.KeysConfig{CacheTTL: tc.configured})
		_, secret := k.create(t, "acme", false, 0)
		authenticate := func() {
			_, err := k.Authenticate(t.Context(), secret.Reveal())
			require.NoError(t, err)
		}
		authenticate()
		k.clock.Advance(tc.ttl - 1)
		authenticate()
		assert.Equal(t, 1, k.spy.reads, name)
		k.clock.Advance(1)
		authenticate()
		assert.Equal(t, 2, k.spy.reads, name)
	}

	k := newKeyring(humanhours.KeysConfig{CacheTTL: -1})
	_, secret := k.create(t, "acme", false, 0)
	for range 3 {
		_, err := k.Authenticate(t.Context(), secret.Reveal())
		require.NoError(t, err)
	}
	assert.Equal(t, 3, k.spy.reads, "no cache")

	// An unknown key is not remembered as unknown: it may be created elsewhere the next moment.
	k = newKeyring(humanhours.KeysConfig{})
	elsewhere := newKeyring(humanhours.KeysConfig{})
	elsewhere.Keys = humanhours.NewKeys(k.spy.KeyStore, humanhours.KeysConfig{Random: chaCha()})
	_, secret = newKeyring(humanhours.KeysConfig{}).create(t, "acme", false, 0)
	_, err := k.Authenticate(t.Context(), secret.Reveal())
	requireError(t, err, humanhours.CodeInvalidAPIKey, "")
	_, same := elsewhere.create(t, "acme", false, 0)
	require.Equal(t, secret.Reveal(), same.Reveal())
	_, err = k.Authenticate(t.Context(), secret.Reveal())
	require.NoError(t, err)
}

func TestListKeys(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{})
	first, _ := k.create(t, "acme", false, 0)
	k.clock.Advance(time.Second)
	second, _ := k.create(t, "acme", true, humanhours.ScopeTrackWrite)
	k.create(t, "globex", false, 0)
	first, err := k.Revoke(t.Context(), first.ID)
	require.NoError(t, err)
	list, err := k.List(t.Context(), "acme")
	require.NoError(t, err)
	assert.Equal(t, []humanhours.APIKey{first, second}, list)
	assert.False(t, list[0].RevokedAt.IsZero())
}

func TestImportKey(t *testing.T) {
	const textA = "hh_live_configur_" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	k := newKeyring(humanhours.KeysConfig{})
	secret := humanhours.NewSecret(textA)
	key, created, err := k.Import(t.Context(), "acme", secret, humanhours.ScopeTrackWrite)
	require.NoError(t, err)
	assert.True(t, created)
	c, err := k.Authenticate(t.Context(), textA)
	require.NoError(t, err)
	assert.Equal(t, humanhours.Caller{Org: "acme", KeyID: "configur", Scopes: humanhours.ScopeTrackWrite}, c)

	k.clock.Advance(time.Hour)
	again, created, err := k.Import(t.Context(), "acme", secret, 0)
	require.NoError(t, err)
	assert.False(t, created)
	again.LastUsedAt = key.LastUsedAt // which the call above records when it comes to it
	assert.Equal(t, key, again, "what is stored stays, whatever the second import says")

	_, err = k.Revoke(t.Context(), key.ID)
	require.NoError(t, err)
	again, created, err = k.Import(t.Context(), "acme", secret, 0)
	require.NoError(t, err)
	assert.False(t, created)
	assert.False(t, again.RevokedAt.IsZero(), "a restart does not un-revoke a key of the configuration")

	_, _, err = k.Import(t.Context(), "globex", secret, 0)
	requireError(t, err, humanhours.CodeValidation, "key")
	_, _, err = k.Import(t.Context(), "acme", humanhours.NewSecret(strings.ReplaceAll(textA, "A", "B")), 0)
	requireError(t, err, humanhours.CodeValidation, "key")
}

// A key of no org would let its holder into the default org.
func TestImportKeyNeedsAnOrg(t *testing.T) {
	_, secret := newKeyring(humanhours.KeysConfig{}).create(t, "acme", false, 0)
	_, _, err := newKeyring(humanhours.KeysConfig{}).Import(t.Context(), "", secret, 0)
	requireError(t, err, humanhours.CodeValidation, "org")
}

func TestKeyStoreThatFails(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{})
	key, secret := k.create(t, "acme", false, 0)
	k.spy.err = errors.New("connection refused")
	for name, call := range map[string]func() error{
		"Create":       func() error { _, _, err := k.Create(t.Context(), "acme", false, 0); return err },
		"Import":       func() error { _, _, err := k.Import(t.Context(), "acme", secret, 0); return err },
		"Authenticate": func() error { _, err := k.Authenticate(t.Context(), secret.Reveal()); return err },
		"List":         func() error { _, err := k.List(t.Context(), "acme"); return err },
		"Revoke":       func() error { _, err := k.Revoke(t.Context(), key.ID); return err },
	} {
		err := call()
		requireError(t, err, humanhours.CodeUnavailable, "")
		assert.ErrorIs(t, err, k.spy.err, name)
	}
	// The revocation reached the store although its answer was lost, and the cache must not outlive it.
	k.spy.err = nil
	_, err := k.Authenticate(t.Context(), secret.Reveal())
	requireError(t, err, humanhours.CodeKeyRevoked, "")

	k.spy.err = errors.New("connection refused")
	_, secret, err = k.Create(t.Context(), "acme", false, 0)
	require.Error(t, err)
	assert.Empty(t, secret.Reveal(), "a key that may not exist is not handed out")
}

// requireNoSecret checks that no six characters in a row of the 48 are in a text.
func requireNoSecret(t *testing.T, where, text, key string) {
	t.Helper()
	secret := key[17:]
	for i := range len(secret) - 5 {
		require.NotContains(t, text, secret[i:i+6], where)
	}
}

func TestSecretShowsNowhere(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{LastUsedEvery: -1})
	key, secret := k.create(t, "acme", false, humanhours.ScopeTrackWrite)
	text := secret.Reveal()
	caller, err := k.Authenticate(t.Context(), text)
	require.NoError(t, err)
	type embedding struct{ humanhours.Secret }
	type holding struct {
		Name     string
		Exported humanhours.Secret
		private  humanhours.Secret
		pointer  *humanhours.Secret
		any      any
	}
	values := map[string]any{
		"Secret": secret, "*Secret": &secret, "APIKey": key, "Caller": caller, "Keys": k.Keys, "embedded": embedding{secret}, "*embedded": &embedding{secret},
		"fields": holding{"n", secret, secret, &secret, secret}, "*fields": &holding{"n", secret, secret, &secret, &secret},
		"list": []humanhours.Secret{secret}, "map": map[string]humanhours.Secret{"k": secret}, "map key": map[humanhours.Secret]int{secret: 1},
		"in an error": fmt.Errorf("login with %v failed", secret),
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			requireNoSecret(t, name+" by "+verb, fmt.Sprintf(verb, v), text)
		}
		requireNoSecret(t, name+" printed", fmt.Sprint(v)+fmt.Sprintln(v), text)
		if raw, err := json.Marshal(v); err == nil {
			requireNoSecret(t, name+" as JSON", string(raw), text)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("login", "key", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("login", "key", v, slog.Group("g", "key", v))
		requireNoSecret(t, name+" in a log", log.String(), text)
	}
	requireNoSecret(t, "the store", k.spy.given.String(), text)
	assert.Contains(t, k.spy.given.String(), key.ID, "the spy has seen the key")

	public := text[:17] + "..."
	raw, err := json.Marshal(map[string]any{"key": secret})
	require.NoError(t, err)
	assert.Equal(t, `{"key":"`+public+`"}`, string(raw), "the public part tells which key it is")
	assert.Equal(t, public, fmt.Sprint(secret))
	assert.Equal(t, "hh_...", fmt.Sprint(humanhours.NewSecret("hunter2")), "nothing of a text that is no key")
	assert.Equal(t, "hh_...", fmt.Sprint(humanhours.Secret{}))
	assert.Empty(t, humanhours.Secret{}.Reveal())
}

func TestSecretIsInNoError(t *testing.T) {
	k := newKeyring(humanhours.KeysConfig{})
	key, secret := k.create(t, "acme", false, 0)
	text := secret.Reveal()
	check := func(name string, err error) {
		t.Helper()
		require.Error(t, err, name)
		var e *humanhours.Error
		require.ErrorAs(t, err, &e)
		requireNoSecret(t, name, fmt.Sprintf("%v %+v %#v %q %+v %#v", err, err, err, err, *e, *e), text)
	}
	both := func(name, presented string) {
		t.Helper()
		_, err := k.Authenticate(t.Context(), presented)
		check("Authenticate "+name, err)
		_, _, err = k.Import(t.Context(), "globex", humanhours.NewSecret(presented), 0)
		check("Import "+name, err)
	}
	for name, presented := range malformedKeys(text) {
		both(name, presented)
	}
	_, err := k.Revoke(t.Context(), key.ID)
	require.NoError(t, err)
	both("revoked", text)
	k.spy.err = errors.New("connection refused")
	both("without a store", text)
}

func TestScopesAsJSON(t *testing.T) {
	for mask := range humanhours.Scopes(8) {
		raw, err := json.Marshal(mask)
		require.NoError(t, err)
		var back humanhours.Scopes = 0xff
		require.NoError(t, json.Unmarshal(raw, &back))
		assert.Equal(t, mask, back, "%s", raw)
	}
	raw, err := json.Marshal(humanhours.ScopeOrgWrite | humanhours.ScopeTrackWrite)
	require.NoError(t, err)
	assert.Equal(t, `["track:write","org:write"]`, string(raw))
	assert.Equal(t, "track:write org:write", (humanhours.ScopeOrgWrite | humanhours.ScopeTrackWrite).String())
	assert.Equal(t, "all", humanhours.Scopes(0).String())

	for _, bad := range []string{`["track:write","admin"]`, `[""]`, `["Track:Write"]`, `"track:write"`, `[1]`, `{}`} {
		var s humanhours.Scopes
		assert.Error(t, json.Unmarshal([]byte(bad), &s), "%s: leaving it out could widen what a key may do", bad)
	}
}

// The empty list means all: a scope that has no name must not become it.
func TestScopesWithoutANameDoNotWiden(t *testing.T) {
	unnamed := humanhours.Scopes(1 << 7)
	if raw, err := json.Marshal(unnamed); err == nil {
		var back humanhours.Scopes
		if json.Unmarshal(raw, &back) == nil {
			assert.False(t, back.Allows(humanhours.ScopeOrgWrite), "%s is read as %q", raw, back)
		}
	}
}

func TestKeyHashAsText(t *testing.T) {
	key, _ := newKeyring(humanhours.KeysConfig{}).create(t, "acme", true, humanhours.ScopeReportsRead)
	raw, err := json.Marshal(key)
	require.NoError(t, err)
	var back humanhours.APIKey
	require.NoError(t, json.Unmarshal(raw, &back))
	assert.Equal(t, key, back)

	text, err := key.Hash.MarshalText()
	require.NoError(t, err)
	assert.Regexp(t, `^[0-9a-f]{64}$`, string(text))
	good := string(text)
	for name, bad := range map[string]string{
		"empty": "", "short": good[:62], "odd": good[:63], "long": good + "00", "no hexadecimal": "zz" + good[2:], "0x": "0x" + good[2:],
		"leading space": " " + good, "trailing text": good + " and more", "trailing newline": good + "\n", "trailing letter": good + "z", "two lines": good + "\n" + good,
	} {
		hash := humanhours.KeyHash{1}
		assert.Error(t, hash.UnmarshalText([]byte(bad)), name)
		assert.True(t, hash == (humanhours.KeyHash{1}), "%s: unchanged", name)
	}
}

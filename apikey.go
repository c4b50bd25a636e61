package humanhours

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// An API key is hh_live_ or hh_test_, an id of 8 characters, an underscore, and a secret of 48, all of [A-Za-z0-9]:
//
//	hh_live_3fK9xQ2b_<48 characters>
//
// The id is public and names the key in lists and logs. Only the SHA-256 of the whole text is stored: 48 characters of
// random secret (285 bits) need no slow hash.
const (
	keyPrefixLive = "hh_live_"
	keyPrefixTest = "hh_test_"
	keyPrefixLen  = len(keyPrefixLive)
	keyIDLen      = 8
	keySecretLen  = 48
	keyLen        = keyPrefixLen + keyIDLen + 1 + keySecretLen
	keyAlphabet   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// Scopes is a set of things that a key may do. The zero value is every scope.
type Scopes uint8

// The scopes.
const (
	ScopeTrackWrite  Scopes = 1 << iota // track:write
	ScopeReportsRead                    // reports:read
	ScopeOrgWrite                       // org:write
)

// scopeNames has the wire names in bit order.
var scopeNames = [...]string{"track:write", "reports:read", "org:write"}

// Allows reports whether s covers every scope of need. Everything covers no scope at all.
func (s Scopes) Allows(need Scopes) bool { return s == 0 || s&need == need }

// String lists the scopes, or "all".
func (s Scopes) String() string {
	if s == 0 {
		return "all"
	}
	return strings.Join(s.names(), " ")
}

// Names lists the scopes by name, all of them for the zero value.
func (s Scopes) Names() []string {
	if s == 0 {
		return slices.Clone(scopeNames[:])
	}
	return s.names()
}

func (s Scopes) names() []string {
	names := []string{}
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// MarshalJSON writes a list of scope names; the empty list means all. A scope without a name is an error: left out, it could
// turn a narrow set into the empty list.
func (s Scopes) MarshalJSON() ([]byte, error) {
	if s>>len(scopeNames) != 0 {
		return nil, fmt.Errorf("humanhours: there is no scope of bit pattern %b", uint8(s))
	}
	return json.Marshal(s.names())
}

// UnmarshalJSON reads what MarshalJSON wrote. An unknown name is an error: leaving it out could widen what a key may do.
func (s *Scopes) UnmarshalJSON(data []byte) error {
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	*s = 0
next:
	for _, name := range names {
		for i, known := range scopeNames {
			if name == known {
				*s |= 1 << i
				continue next
			}
		}
		return fmt.Errorf("humanhours: unknown scope %q", name)
	}
	return nil
}

// Secret is the text of an API key. It exists once, when the key is made: no store has it, and it does not
// show when it is printed, logged or marshalled, alone or inside another struct.
type Secret struct {
	text *string // behind a pointer: fmt prints unexported fields without asking String
}

// NewSecret wraps the text of an API key.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal returns the text of the key, to hand it to its owner.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns the public part of the key.
func (s Secret) String() string {
	id, _, err := parseKey(s.Reveal())
	if err != nil {
		return "hh_..."
	}
	return s.Reveal()[:keyPrefixLen] + id + "_..."
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler with the public part only.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// APIKey is what is stored of a key.
type APIKey struct {
	ID        string    `json:"id"`   // 8 characters of [A-Za-z0-9], unique in the store
	Org       string    `json:"org"`  // whose key it is
	Hash      KeyHash   `json:"hash"` // SHA-256 of the whole key
	Test      bool      `json:"test,omitempty"`
	Scopes    Scopes    `json:"scopes"`              // zero: all
	CreatedAt time.Time `json:"created_at"`          // UTC, milliseconds
	RevokedAt time.Time `json:"revoked_at,omitzero"` // zero: not revoked
	// LastUsedAt is when the key was last seen to be used, to about KeysConfig.LastUsedEvery; zero: never.
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// KeyHash is the SHA-256 of a key.
type KeyHash [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler: hexadecimal.
func (h KeyHash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *KeyHash) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("humanhours: a key hash is %d hexadecimal digits", 2*len(h))
	}
	*h = KeyHash(b)
	return nil
}

// KeyStore keeps API keys, never their secrets. Methods must be safe for concurrent use and must return promptly when
// ctx ends. Instants must survive to the millisecond in UTC.
type KeyStore interface {
	// PutKey stores a key. If the id is taken, it changes nothing, whatever the stored key says (it never
	// un-revokes), and returns the stored key and false.
	PutKey(ctx context.Context, key APIKey) (stored APIKey, created bool, err error)

	// Key returns the key of an id, revoked or not; false when there is none. Ids differ by case.
	Key(ctx context.Context, id string) (APIKey, bool, error)

	// Keys returns the keys of an org, revoked ones too, ordered by (CreatedAt, ID); those of all orgs if org is empty.
	Keys(ctx context.Context, org string) ([]APIKey, error)

	// RevokeKey marks a key as revoked at a time and returns it; false when there is none. Revoking again changes
	// nothing: the first time stays.
	RevokeKey(ctx context.Context, id string, at time.Time) (APIKey, bool, error)

	// TouchKey records that a key was used at a time. LastUsedAt never goes back; revoked keys are touched too; an id that there is no key
	// of is no error. PutKey stores a key with its LastUsedAt.
	TouchKey(ctx context.Context, id string, at time.Time) error
}

// KeysConfig configures Keys. The zero value is right for production.
type KeysConfig struct {
	// CacheTTL is how long a key is remembered before the store is asked again, and so how long a key that another
	// process revoked keeps working here. Revoking through the same Keys takes effect at once. Defaults to 5 seconds; negative: no cache.
	CacheTTL time.Duration
	// Clock defaults to time.Now.
	Clock func() time.Time
	// Random is where keys come from. Defaults to crypto/rand.Reader.
	Random io.Reader
	// LastUsedEvery is how often the use of one key is written to the store, at most, by this process. It is written beside the answers and
	// never delays one. Defaults to one minute; negative: never.
	LastUsedEvery time.Duration
	// Logger is told when the use of a key could not be written. Defaults to slog.Default().
	Logger *slog.Logger
}

// Keys makes, checks and revokes API keys. It is safe for concurrent use. Make one with NewKeys.
type Keys struct {
	store KeyStore
	cfg   KeysConfig

	mu    sync.RWMutex
	cache map[string]cachedKey
	drops int64                // counts invalidations, so that a read that was under way does not bring the old key back
	used  map[string]time.Time // when the use of a key was last written, or is about to be

	writes hooks // of the uses
}

type cachedKey struct {
	key   APIKey
	until time.Time
}

// NewKeys returns Keys over a store.
func NewKeys(store KeyStore, cfg KeysConfig) *Keys {
	if cfg.CacheTTL == 0 {
		cfg.CacheTTL = 5 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.LastUsedEvery == 0 {
		cfg.LastUsedEvery = time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	k := &Keys{store: store, cfg: cfg, cache: make(map[string]cachedKey), used: make(map[string]time.Time)}
	k.writes.init("the store of when keys were used", maxUses, cfg.Logger)
	return k
}

// maxUses is how many uses may wait to be written. One that finds no room is written when the key is used a while later.
const maxUses = 4096

// touchTimeout is how long the write of one use may take.
const touchTimeout = 5 * time.Second

// use has the use of a key written, if that was not done for a while.
func (k *Keys) use(id string) {
	if k.cfg.LastUsedEvery < 0 {
		return
	}
	now := k.cfg.Clock()
	k.mu.RLock()
	last, ok := k.used[id]
	k.mu.RUnlock()
	if due := now.Sub(last); ok && due < k.cfg.LastUsedEvery && due >= 0 { // below 0: the clock was set back
		return
	}
	k.mu.Lock()
	again := k.used[id] != last // somebody else was faster
	k.used[id] = now
	k.mu.Unlock()
	if again {
		return
	}
	k.writes.enqueue(func() {
		ctx, cancel := context.WithTimeout(context.Background(), touchTimeout)
		defer cancel()
		if err := k.store.TouchKey(ctx, id, now.UTC().Truncate(time.Millisecond)); err != nil {
			k.cfg.Logger.Warn("humanhours: could not write when a key was last used", "key_id", id, "error", err)
		}
	})
}

// Flush waits until the uses of keys that were seen so far have been written, or until ctx ends. Keys has nothing else to close.
func (k *Keys) Flush(ctx context.Context) error { return k.writes.drain(ctx) }

// Create makes a key for org and stores its hash. The Secret is all there will ever be of it.
func (k *Keys) Create(ctx context.Context, org string, test bool, scopes Scopes) (APIKey, Secret, error) {
	for range 3 { // ids have 47 bits: a second collision in a row means that something else is wrong
		text, err := newKeyText(k.cfg.Random, test)
		if err != nil {
			return APIKey{}, Secret{}, err
		}
		secret := NewSecret(text)
		_, stored, created, err := k.put(ctx, org, secret, scopes)
		if err != nil {
			return APIKey{}, Secret{}, err
		}
		if created {
			return stored, secret, nil
		}
	}
	return APIKey{}, Secret{}, &Error{Code: CodeInternal, Message: "could not find a free key id; is Random random?"}
}

// Import stores a key that was made elsewhere, for example in a configuration file. False: the store has that key
// already, and its state (also revoked) stays. A key that is malformed, or whose id belongs to a different
// key or org, is an error.
func (k *Keys) Import(ctx context.Context, org string, secret Secret, scopes Scopes) (APIKey, bool, error) {
	key, stored, created, err := k.put(ctx, org, secret, scopes)
	if err != nil {
		return APIKey{}, false, err
	}
	if stored.Hash != key.Hash || stored.Org != org {
		return APIKey{}, false, &Error{
			Code: CodeValidation, Message: "the key id " + key.ID + " belongs to another key or org already",
			Hint: "Make a new key.", Field: "key",
		}
	}
	return stored, created, nil
}

// put offers a key to the store and returns it beside the one that the store now has under its id.
func (k *Keys) put(ctx context.Context, org string, secret Secret, scopes Scopes) (key, stored APIKey, created bool, err error) {
	if org == "" {
		return APIKey{}, APIKey{}, false, invalid("org", "must not be empty") // such a key would open the default org
	}
	text := secret.Reveal()
	id, test, err := parseKey(text)
	if err != nil {
		return APIKey{}, APIKey{}, false, err
	}
	key = APIKey{
		ID: id, Org: org, Hash: sha256.Sum256([]byte(text)), Test: test, Scopes: scopes,
		CreatedAt: k.cfg.Clock().UTC().Truncate(time.Millisecond),
	}
	if stored, created, err = k.store.PutKey(ctx, key); err != nil {
		return APIKey{}, APIKey{}, false, unavailable("the key store", err)
	}
	return key, stored, created, nil
}

// Rotate makes a key for the org, of the kind and with the scopes that another one has. Both work until the old one is revoked, so that
// nothing stands still while its users change over. A revoked key cannot be rotated.
func (k *Keys) Rotate(ctx context.Context, id string) (APIKey, Secret, error) {
	old, ok, err := k.store.Key(ctx, id)
	switch {
	case err != nil:
		return APIKey{}, Secret{}, unavailable("the key store", err)
	case !ok:
		return APIKey{}, Secret{}, noKey()
	case !old.RevokedAt.IsZero():
		return APIKey{}, Secret{}, &Error{
			Code: CodeKeyRevoked, Message: "the key " + id + " has been revoked", Hint: "Make a new key.", Field: "id",
		}
	}
	return k.Create(ctx, old.Org, old.Test, old.Scopes)
}

func noKey() error {
	return &Error{Code: CodeNotFound, Message: "there is no key of that id", Field: "id", Hint: "The id is the 8 characters after hh_live_ or hh_test_."}
}

// Revoke ends a key. It takes effect here at once, and in other processes within their CacheTTL.
func (k *Keys) Revoke(ctx context.Context, id string) (APIKey, error) {
	key, ok, err := k.store.RevokeKey(ctx, id, k.cfg.Clock().UTC().Truncate(time.Millisecond))
	k.mu.Lock()
	delete(k.cache, id)
	k.drops++
	k.mu.Unlock()
	switch {
	case err != nil:
		return APIKey{}, unavailable("the key store", err)
	case !ok:
		return APIKey{}, noKey()
	}
	return key, nil
}

// List returns the keys of an org, revoked ones too, oldest first.
func (k *Keys) List(ctx context.Context, org string) ([]APIKey, error) {
	keys, err := k.store.Keys(ctx, org)
	if err != nil {
		return nil, unread("the key store", err)
	}
	return keys, nil
}

// Authenticate returns the caller that a presented key belongs to. The error is a CodeInvalidAPIKey, CodeKeyRevoked or
// CodeUnavailable error; no text of the key is in it.
func (k *Keys) Authenticate(ctx context.Context, presented string) (Caller, error) {
	id, _, err := parseKey(presented)
	if err != nil {
		return Caller{}, err
	}
	var text [keyLen]byte // on the stack
	copy(text[:], presented)
	hash := sha256.Sum256(text[:])
	key, ok, err := k.lookup(ctx, id)
	if err != nil {
		return Caller{}, unavailable("the key store", err)
	}
	if !ok || subtle.ConstantTimeCompare(hash[:], key.Hash[:]) != 1 {
		return Caller{}, &Error{
			Code: CodeInvalidAPIKey, Message: "the API key is not known",
			Hint: "Check that the whole key was copied, and that it belongs to this server.",
		}
	}
	if !key.RevokedAt.IsZero() {
		return Caller{}, &Error{
			Code: CodeKeyRevoked, Message: "the API key has been revoked",
			Hint: "Use a current key of your organisation.",
		}
	}
	k.use(key.ID)
	return Caller{Org: key.Org, KeyID: key.ID, Test: key.Test, Scopes: key.Scopes}, nil
}

// lookup is KeyStore.Key behind the cache. Unknown ids are not remembered: a new key works at once, and
// guesses take no memory.
func (k *Keys) lookup(ctx context.Context, id string) (APIKey, bool, error) {
	if k.cfg.CacheTTL < 0 {
		return k.store.Key(ctx, id)
	}
	now := k.cfg.Clock()
	k.mu.RLock()
	hit, ok := k.cache[id]
	drops := k.drops
	k.mu.RUnlock()
	if ok && now.Before(hit.until) {
		return hit.key, true, nil
	}
	key, ok, err := k.store.Key(ctx, id)
	if err == nil && ok {
		k.mu.Lock()
		if k.drops == drops {
			k.cache[id] = cachedKey{key: key, until: now.Add(k.cfg.CacheTTL)}
		}
		k.mu.Unlock()
	}
	return key, ok, err
}

// CheckKey reports whether a text has the shape of an API key, as a CodeInvalidAPIKey error that repeats nothing of it.
func CheckKey(secret Secret) error {
	_, _, err := parseKey(secret.Reveal())
	return err
}

// parseKey splits a key. The error says what a key looks like and repeats nothing of what was presented.
func parseKey(text string) (id string, test bool, err error) {
	malformed := func() error {
		return &Error{
			Code: CodeInvalidAPIKey, Message: "the API key is malformed",
			Hint: "Send the header Authorization: Bearer hh_live_<8 characters>_<48 characters>.",
		}
	}
	if len(text) != keyLen || text[keyPrefixLen+keyIDLen] != '_' {
		return "", false, malformed()
	}
	switch text[:keyPrefixLen] {
	case keyPrefixLive:
	case keyPrefixTest:
		test = true
	default:
		return "", false, malformed()
	}
	id = text[keyPrefixLen : keyPrefixLen+keyIDLen]
	if !isAlphanumeric(id) || !isAlphanumeric(text[keyPrefixLen+keyIDLen+1:]) {
		return "", false, malformed()
	}
	return id, test, nil
}

func isAlphanumeric(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// newKeyText makes the text of a key. Bytes that would favour some letters of the alphabet are thrown away.
func newKeyText(random io.Reader, test bool) (string, error) {
	const fair = 256 - 256%len(keyAlphabet)
	letters := make([]byte, 0, keyIDLen+keySecretLen)
	var buf [64]byte
	for tries := 0; len(letters) < cap(letters); tries++ {
		if tries == 100 {
			return "", &Error{Code: CodeInternal, Message: "could not make an API key: the source of randomness gives no usable bytes"}
		}
		if _, err := io.ReadFull(random, buf[:]); err != nil {
			return "", &Error{Code: CodeInternal, Message: "could not read randomness for an API key", Err: err}
		}
		for _, b := range buf {
			if int(b) < fair && len(letters) < cap(letters) {
				letters = append(letters, keyAlphabet[int(b)%len(keyAlphabet)])
			}
		}
	}
	prefix := keyPrefixLive
	if test {
		prefix = keyPrefixTest
	}
	return prefix + string(letters[:keyIDLen]) + "_" + string(letters[keyIDLen:]), nil
}

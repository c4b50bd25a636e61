// Package redis keeps events, orgs and API keys in Redis 6.2 or later, single, with Sentinel or as a Cluster, and limits rates
// there: the store of a service that runs on more than one machine. Any number of processes may share it.
//
// An Append is one script call for each org, in one pipeline, and everything of an org is in one hash slot: an event, its place in the
// indices, its idempotency key and the counter of its month are written in one step or not at all. Different orgs spread over a
// cluster. Concurrent Appends share a call (group commit). How safe an answered event is depends on how Redis is set up:
// docs/operations.md says what each setting can lose.
package redis

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
)

var (
	_ humanhours.Store    = (*Store)(nil)
	_ humanhours.Reporter = (*Store)(nil)
	_ humanhours.OrgStore = (*Store)(nil)
	_ humanhours.KeyStore = (*Store)(nil)
)

// DefaultPrefix starts the names of all keys in Redis, unless the configuration says otherwise.
const DefaultPrefix = "hh:"

// Config configures a Store. The zero value is right for production.
type Config struct {
	// Prefix starts the names of all keys in Redis, so that several services can share one. It must not have braces in it, which
	// have a meaning in a cluster. Defaults to DefaultPrefix.
	Prefix string
	// Timeout is how long one call may take, with all its retries, if the context of the caller does not end it earlier. An Append may wait for as
	// long behind others before its own call begins, so twice as long in all. Defaults to 5 seconds.
	Timeout time.Duration
	// MaxBytes is how large one call may be: Redis does nothing else while it runs. A single event may be larger. Defaults to 256 KiB.
	MaxBytes int
	// MaxQueue is how many Appends may wait for a call. Further ones block until there is room or their context ends. Defaults to 1024.
	MaxQueue int
	// Logger hears what Check finds. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 256 << 10
	}
	if c.MaxQueue <= 0 {
		c.MaxQueue = 1024
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	if err := checkPrefix(c.Prefix); err != nil {
		return err
	}
	if c.Timeout < time.Millisecond {
		return errors.New("redis: Config.Timeout must be at least a millisecond")
	}
	return nil
}

func checkPrefix(prefix string) error {
	if strings.ContainsAny(prefix, "{}") {
		return errors.New("redis: the prefix must not contain braces: they decide on which node of a cluster a key is")
	}
	return nil
}

// Store is a humanhours.Store, OrgStore and KeyStore in Redis. Make one with New. It is safe for concurrent use.
type Store struct {
	client  caller
	cfg     Config
	scripts scripts

	mu      sync.RWMutex     // held for reading while an Append is accepted
	closed  bool             // guarded by mu
	lanes   map[string]*lane // by node of a cluster; guarded by mu
	appends sync.WaitGroup   // accepted ones

	shortening atomic.Bool    // one log at a time
	shorter    sync.WaitGroup // what runs of that
}

// New returns a Store on a client, which it never closes. It does not talk to Redis: call Check for that.
func New(client goredis.UniversalClient, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Store{client: caller{client: client, timeout: cfg.Timeout}, cfg: cfg, scripts: newScripts(), lanes: make(map[string]*lane)}
	s.client.cluster, _ = client.(*goredis.ClusterClient)
	return s, nil
}

// Close waits until every Append that was accepted has been answered; later ones are refused with store.ErrClosed. The client stays open.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.appends.Wait()
	for _, l := range s.lanes { // nobody is left who could add one
		l.Close()
	}
	s.shorter.Wait() // and no flush is left that could begin with another
	return nil
}

// base is what the keys of an org have in common: the prefix and, in braces, a name that no other org has. So they share a hash slot.
func (s *Store) base(org string) string { return s.cfg.Prefix + "{" + tag(org) + "}" }

// tag is the org itself if that is harmless, so that a person can find its keys, and an encoding of it otherwise.
func tag(org string) string {
	if org == "" {
		return "~" // for empty braces are none
	}
	for i := range len(org) {
		switch c := org[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '@':
		default:
			return "~" + base64.RawURLEncoding.EncodeToString([]byte(org))
		}
	}
	return org
}

// Names of an org's keys, after its base. ":" and what follows cannot be part of a tag.
const (
	chunkKey   = ":e:" // and a number: records, one after the other
	indexKey   = ":i"  // hash: id -> chunk and offset
	metaKey    = ":m"  // hash: the last chunk, the open ones, the buckets of idempotency keys, the longest spans, the agents, how long amendments are
	usageKey   = ":u"  // hash: month -> events
	orgKey     = ":o"  // hash: version, settings
	historyKey = ":h"  // list of changes
	sumsKey    = ":s"  // hash: week -> how many of its events have sums; "g" and week -> how often its log was written anew
	logKey     = ":s:" // and a week: the log of its sums, as package rollup has it
	amendKey   = ":v:" // and the number of a chunk: amendments of its events, one after the other
	// ":w:" and a mark: of an update or an amendment that may still be asked about
)

// errGone: keys of an org point at each other, and not all of them are there. Rather no answer than a wrong one.
var errGone = errors.New("redis: some of the org's data is gone while the rest is still there; was it evicted or deleted? See maxmemory-policy")

// event decodes a record that a script returned.
func (s *Store) event(org, text string) (humanhours.Event, error) {
	if text == "" {
		return humanhours.Event{}, errGone
	}
	r, rest, err := cutRecord([]byte(text))
	if err != nil || len(rest) > 0 {
		return humanhours.Event{}, errors.Join(errCorrupt, err)
	}
	return r.event(org, false)
}

// Replay implements humanhours.Store.
func (s *Store) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	at := q.At.UnixMilli()
	answer, err := s.find(ctx, q.Org, "key", keyHash(q.Key), at, string(q.Fingerprint[:]))
	if err != nil || len(answer) == 0 {
		return humanhours.Replay{}, err
	}
	if len(answer) != 2 {
		return humanhours.Replay{}, errAnswer
	}
	event, err := s.event(q.Org, answer[1])
	if err != nil {
		return humanhours.Replay{}, err
	}
	return humanhours.Replay{Event: event, Found: true, Mismatch: answer[0] == "m"}, nil
}

// Event implements humanhours.Store.
func (s *Store) Event(ctx context.Context, org, id string) (humanhours.Event, bool, error) {
	event, _, found, err := s.lookUp(ctx, org, id)
	return event, found, err
}

// lookUp returns an event with its amendments, and its record.
func (s *Store) lookUp(ctx context.Context, org, id string) (event humanhours.Event, record string, found bool, err error) {
	answer, err := s.find(ctx, org, "id", idField(id))
	if err != nil || len(answer) == 0 {
		return humanhours.Event{}, "", false, err
	}
	if len(answer) < 2 {
		return humanhours.Event{}, "", false, errAnswer
	}
	if event, err = s.amendedEvent(org, id, answer[1], answer[2:]); err != nil {
		return humanhours.Event{}, "", false, err
	}
	return event, answer[1], true, nil
}

// find calls find.lua.
func (s *Store) find(ctx context.Context, org string, args ...any) ([]string, error) {
	base := s.base(org)
	calls := []call{{script: s.scripts.find, keys: []string{base, base + metaKey}, args: args}}
	s.client.run(ctx, calls)
	if err := calls[0].err; err != nil {
		return nil, fmt.Errorf("redis: read: %w", err)
	}
	return texts(calls[0].answer)
}

// Usage implements humanhours.Store.
func (s *Store) Usage(ctx context.Context, org string, month humanhours.Month) (int64, error) {
	var count string
	err := s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		got, err := c.HGet(ctx, s.base(org)+usageKey, strconv.FormatInt(monthNumber(month), 10)).Result()
		if errors.Is(err, goredis.Nil) {
			got, err = "0", nil
		}
		if err = errors.Join(err, ctx.Err()); err == nil {
			count = got
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("redis: read usage: %w", err)
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("redis: read usage: %w", err)
	}
	return n, nil
}

// Events implements humanhours.Store.
func (s *Store) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) { s.scan(ctx, q, yield) }
}

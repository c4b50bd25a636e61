// Package redis keeps events, orgs and API keys in Redis 6.2 or later, single, with Sentinel or as a Cluster, and limits rates
// there: the store of a service that runs on more than one machine. Any number of processes may share it.
//
// An Append is one script call for each org, and everything of an org is in one hash slot: an event, its place in the
// indices, its idempotency key and the counter of its month are written in one step or not at all. Different orgs spread over a
// cluster. Concurrent Appends share a call (group commit). How safe an answered event is depends on how Redis is set up:
// docs/operations.md says what each setting can lose.
package redis

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store"
)

var (
	_ humanhours.Store    = (*Store)(nil)
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
	// Timeout is how long one call may take, with all its retries, if the context of the caller does not end it earlier. Defaults to
	// 5 seconds.
	Timeout time.Duration
	// Group configures the group commit. Its FlushTimeout is Timeout unless it is set.
	Group store.GroupConfig
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
	if c.Group.FlushTimeout == 0 {
		c.Group.FlushTimeout = c.Timeout
	}
	if c.Group.MaxEntries <= 0 || c.Group.MaxEntries > maxGroup {
		c.Group.MaxEntries = maxGroup
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
	*engine
	group *store.Group
}

// New returns a Store on a client, which it never closes. It does not talk to Redis: call Check for that.
func New(client goredis.UniversalClient, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	e := &engine{client: caller{client: client, timeout: cfg.Timeout}, cfg: cfg, codec: newCodec(), scripts: newScripts()}
	return &Store{engine: e, group: store.NewGroup(e, cfg.Group)}, nil
}

// Append implements humanhours.Store. Appends that come while a call is in flight go out together as the next one.
func (s *Store) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	return s.group.Append(ctx, entries)
}

// Close waits until every Append that was accepted has been answered; later ones are refused with store.ErrClosed. The client stays open.
func (s *Store) Close() error { return s.group.Close() }

// engine is the Store below the group commit.
type engine struct {
	client  caller
	cfg     Config
	codec   *codec
	scripts scripts
}

// base is what the keys of an org have in common: the prefix and, in braces, a name that no other org has. So they share a hash slot.
func (e *engine) base(org string) string { return e.cfg.Prefix + "{" + tag(org) + "}" }

// tag is the org itself if that is harmless, so that a person can find its keys, and an encoding of it otherwise.
func tag(org string) string {
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
	chunkKey    = ":e:" // and a number: records, one after the other
	indexKey    = ":i"  // hash: id -> chunk and offset
	metaKey     = ":m"  // hash: the last chunk, the open ones, the buckets of idempotency keys, the longest spans
	usageKey    = ":u"  // hash: month -> events
	orgKey      = ":o"  // hash: version, settings
	historyKey  = ":h"  // list of changes
	occurredKey = ":o"  // f and t: sorted sets of chunks by their first and last instant of occurrence
	receivedKey = ":r"  // f and t: of receipt
)

// maxGroup is how many entries one script call has at most. A script blocks all of Redis while it runs.
const maxGroup = 256

// keyHash is the field of an idempotency key. 160 bits: not even somebody who tries finds two keys that share one.
func keyHash(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:20]
}

// batch is the entries of one org in an Append.
type batch struct {
	org   string
	index []int // of the entries, in the Append
	args  []any
}

// Append implements humanhours.Store for one group.
func (e *engine) Append(ctx context.Context, entries []humanhours.Entry) []humanhours.Appended {
	results := make([]humanhours.Appended, len(entries))
	batches := e.prepare(entries, results)
	if len(batches) == 0 {
		return results
	}
	calls := make([]call, len(batches))
	for i, b := range batches {
		base := e.base(b.org)
		calls[i] = call{script: e.scripts.append, keys: []string{base, base + metaKey}, args: b.args}
	}
	e.client.run(ctx, calls)
	for i, b := range batches {
		if err := e.take(b, calls[i], entries, results); err != nil {
			for _, at := range b.index {
				results[at] = humanhours.Appended{Err: fmt.Errorf("redis: append: %w", err)}
			}
		}
	}
	return results
}

// prepare encodes what is valid.
func (e *engine) prepare(entries []humanhours.Entry, results []humanhours.Appended) []*batch {
	var batches []*batch
	open := make(map[string]*batch, 1)
	for i := range entries {
		entry := &entries[i]
		if err := entry.Check(); err != nil {
			results[i].Err = err
			continue
		}
		record, err := e.codec.appendRecord(nil, &entry.Event)
		if err != nil {
			results[i].Err = err
			continue
		}
		fixed, err := fixedFields(entry)
		if err != nil {
			results[i].Err = err
			continue
		}
		b := open[entry.Event.Org]
		if b == nil || len(b.index) == maxGroup {
			b = &batch{org: entry.Event.Org, args: make([]any, 1, 1+4*min(len(entries)-i, maxGroup))}
			open[entry.Event.Org] = b
			batches = append(batches, b)
		}
		b.index = append(b.index, i)
		var key []byte
		if entry.Key != "" {
			key = append(keyHash(entry.Key), entry.Fingerprint[:]...)
		}
		b.args = append(b.args, fixed, idField(entry.Event.ID), key, record)
	}
	for _, b := range batches {
		b.args[0] = len(b.index)
	}
	return batches
}

// limb is how append.lua splits numbers that a double cannot hold.
const limb = 1e10

// fixedFields is what append.lua unpacks.
func fixedFields(entry *humanhours.Entry) ([]byte, error) {
	at, expires := entry.At.UnixMilli(), int64(0)
	if entry.Key != "" {
		window := entry.Window.Milliseconds()
		if entry.Window%time.Millisecond != 0 {
			window++
		}
		expires = at + window
	}
	if !inRange(at) || !inRange(expires) {
		return nil, errors.New("redis: the receipt time of the entry is out of range")
	}
	limit := max(0, entry.Cap)
	fields := make([]byte, 0, 57)
	for _, n := range [...]int64{
		at, entry.Event.OccurredAt.UnixMilli(), entry.Event.ReceivedAt.UnixMilli(), expires,
		limit / limb, limit % limb, monthNumber(humanhours.MonthOf(entry.At)),
	} {
		fields = binary.BigEndian.AppendUint64(fields, math.Float64bits(float64(n))) // all of them below 2^53
	}
	if entry.Event.Test {
		return append(fields, 1), nil
	}
	return append(fields, 0), nil
}

// monthNumber is the field of a month's counter.
func monthNumber(m humanhours.Month) int64 { return int64(m.Year)*12 + int64(m.Month) - 1 }

// take reads the answer of append.lua.
func (e *engine) take(b *batch, c call, entries []humanhours.Entry, results []humanhours.Appended) error {
	if c.err != nil {
		return c.err
	}
	answer, ok := c.answer.([]any)
	if !ok || len(answer) == 0 {
		return errAnswer
	}
	letters, ok := answer[0].(string)
	if !ok || len(letters) != len(b.index) {
		return errAnswer
	}
	extras := answer[1:]
	for i, at := range b.index {
		result := &results[at]
		letter := letters[i]
		switch letter {
		case 'c':
			result.Event = stored(&entries[at].Event)
			continue
		case 'q':
			result.QuotaExceeded = true
			continue
		case 'o':
			result.Err = errors.New("redis: the counter of the month is full")
			continue
		}
		if len(extras) == 0 {
			return errAnswer
		}
		extra, ok := extras[0].(string)
		if extras = extras[1:]; !ok {
			return errAnswer
		}
		switch letter {
		case 's', 'r', 'm':
			event, err := e.event(b.org, extra)
			if err != nil {
				*result = humanhours.Appended{Err: err}
				continue
			}
			result.Event = event
		case 'S', 'R', 'M':
			n, err := strconv.Atoi(extra)
			if err != nil || n < 1 || n > i {
				return errAnswer
			}
			result.Event = stored(&entries[b.index[n-1]].Event)
		default:
			return errAnswer
		}
		result.Replayed = letter != 's' && letter != 'S'
		result.Mismatch = letter == 'm' || letter == 'M'
	}
	return nil
}

var errAnswer = errors.New("redis: the script gave an answer that this release does not know")

// stored is the event as it comes back from the store.
func stored(e *humanhours.Event) humanhours.Event {
	out := e.Clone()
	out.OccurredAt, out.ReceivedAt = instant(e.OccurredAt), instant(e.ReceivedAt)
	return out
}

// instant is t as it comes back: whole milliseconds in UTC.
func instant(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// event decodes a record that a script returned.
func (e *engine) event(org, text string) (humanhours.Event, error) {
	if text == "" {
		return humanhours.Event{}, errors.New("redis: an event is gone whose id or key is still there; was it evicted or deleted? See maxmemory-policy")
	}
	r, rest, err := cutRecord([]byte(text))
	if err != nil || len(rest) > 0 {
		return humanhours.Event{}, errors.Join(errCorrupt, err)
	}
	return e.codec.decode(org, r)
}

// Replay implements humanhours.Store.
func (e *engine) Replay(ctx context.Context, q humanhours.ReplayQuery) (humanhours.Replay, error) {
	at := q.At.UnixMilli()
	answer, err := e.find(ctx, q.Org, "key", string(keyHash(q.Key)), at, string(q.Fingerprint[:]))
	if err != nil || len(answer) == 0 {
		return humanhours.Replay{}, err
	}
	if len(answer) != 2 {
		return humanhours.Replay{}, errAnswer
	}
	event, err := e.event(q.Org, answer[1])
	if err != nil {
		return humanhours.Replay{}, err
	}
	return humanhours.Replay{Event: event, Found: true, Mismatch: answer[0] == "m"}, nil
}

// Event implements humanhours.Store.
func (e *engine) Event(ctx context.Context, org, id string) (humanhours.Event, bool, error) {
	answer, err := e.find(ctx, org, "id", idField(id))
	if err != nil || len(answer) == 0 {
		return humanhours.Event{}, false, err
	}
	event, err := e.event(org, answer[len(answer)-1])
	return event, err == nil, err
}

// find calls find.lua.
func (e *engine) find(ctx context.Context, org string, args ...any) ([]string, error) {
	base := e.base(org)
	calls := []call{{script: e.scripts.find, keys: []string{base, base + metaKey}, args: args}}
	e.client.run(ctx, calls)
	if err := calls[0].err; err != nil {
		return nil, fmt.Errorf("redis: read: %w", err)
	}
	list, ok := calls[0].answer.([]any)
	if !ok {
		return nil, errAnswer
	}
	answer := make([]string, len(list))
	for i := range list {
		if answer[i], ok = list[i].(string); !ok {
			return nil, errAnswer
		}
	}
	return answer, nil
}

// Usage implements humanhours.Store.
func (e *engine) Usage(ctx context.Context, org string, month humanhours.Month) (int64, error) {
	var n int64
	err := e.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) (err error) {
		n, err = c.HGet(ctx, e.base(org)+usageKey, strconv.FormatInt(monthNumber(month), 10)).Int64()
		if errors.Is(err, goredis.Nil) {
			n, err = 0, nil
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("redis: read usage: %w", err)
	}
	return n, nil
}

// Events implements humanhours.Store.
func (e *engine) Events(ctx context.Context, q humanhours.EventQuery) iter.Seq2[humanhours.Event, error] {
	return func(yield func(humanhours.Event, error) bool) { e.scan(ctx, q, yield) }
}

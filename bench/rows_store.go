package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store"
	"github.com/humanhours/humanhours-go/store/memory"
	redisstore "github.com/humanhours/humanhours-go/store/redis"
	"github.com/humanhours/humanhours-go/store/sqlite"
)

// Stores are the rows of the durable stores, in a folder and on a Redis.
func Stores(folder, redis string) []Row {
	const log = "an append-only log that is synced, with the same group commit"
	rows := []Row{{
		Name: "SQLite Append, 64 callers, FULL, sums on", Raw: log, Unit: "events", Goal: 0.15,
		Start: func() (Side, Side, func() error, error) { return sqliteAppend(folder, 1) },
	}, {
		Name: "SQLite Append, 64 callers, FULL, sums on, 100 orgs", Raw: log, Unit: "events",
		Start: func() (Side, Side, func() error, error) { return sqliteAppend(folder, orgs) },
	}}
	if redis != "" {
		const set = "plain `SET` of the same bytes, same client"
		rows = append(rows, Row{
			Name: "Redis Append, 64 callers, sums on", Raw: set, Unit: "events", Goal: 0.9,
			Start: func() (Side, Side, func() error, error) { return redisAppend(redis, 64, 1) },
		}, Row{
			Name: "Redis Append, 256 callers, sums on", Raw: set, Unit: "events", Goal: 1.3,
			Start: func() (Side, Side, func() error, error) { return redisAppend(redis, 256, 1) },
		}, Row{
			Name: "Redis Append, 64 callers, sums on, 100 orgs", Raw: set, Unit: "events",
			Start: func() (Side, Side, func() error, error) { return redisAppend(redis, 64, orgs) },
		}, Row{
			Name: "Redis Append, 256 callers, sums on, 100 orgs", Raw: set, Unit: "events",
			Start: func() (Side, Side, func() error, error) { return redisAppend(redis, 256, orgs) },
		}, Row{
			Name: "limiter on Redis, 64 callers, 100 keys", Raw: "go-redis/redis_rate", Unit: "takes", Goal: 1.5,
			Start: func() (Side, Side, func() error, error) { return redisLimiter(redis, 64) },
		})
	}
	for _, row := range rows {
		if row.Goal > 0 {
			rows = append(rows, alone(row))
		}
	}
	return rows
}

// alone is a row without a goal of its own, both sides of which have one processor: a group commit that does not let its callers run finds none waiting.
func alone(row Row) Row {
	row.Name, row.Goal = row.Name+", GOMAXPROCS=1", 0
	return onOne(row)
}

// onOne gives both sides one processor.
func onOne(row Row) Row {
	begin := row.Start
	row.Start = func() (Side, Side, func() error, error) {
		before := runtime.GOMAXPROCS(1)
		ours, raw, stop, err := begin()
		if err != nil {
			runtime.GOMAXPROCS(before)
			return nil, nil, nil, err
		}
		return ours, raw, func() error {
			defer runtime.GOMAXPROCS(before)
			return stop()
		}, nil
	}
	return row
}

// maker makes entries as a Tracker does, one a millisecond, of some orgs.
type maker struct {
	orgs int
	made atomic.Int64
}

func (m *maker) entries(n int) []humanhours.Entry {
	first := int(m.made.Add(int64(n))) - n
	list := make([]humanhours.Entry, n)
	for i := range list {
		list[i] = entry(first+i, m.orgs)
	}
	return list
}

// template is Documented as it is stored.
var template = func() humanhours.Entry {
	t, err := tracker(memory.New())
	if err != nil {
		panic(err) // the books are embedded
	}
	result, err := t.Track(context.Background(), humanhours.Caller{Org: "acme"}, Request())
	if err != nil {
		panic(err)
	}
	return humanhours.Entry{Event: result.Event}
}()

// callers has some goroutines do one thing for each of n.
func callers(count, n int, do func(i int) error) error {
	var all sync.WaitGroup
	errs := make([]error, count)
	for c := range count {
		all.Go(func() {
			for i := c; i < n; i += count {
				if errs[c] = do(i); errs[c] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// appending appends one entry in each call.
func appending(s humanhours.Store, m *maker, count int) Side {
	ctx := context.Background()
	return func(n int) (Spent, error) {
		began := time.Now()
		list := m.entries(n)
		return Spent{Inputs: time.Since(began)}, callers(count, n, func(i int) error {
			got := s.Append(ctx, list[i:i+1])[0]
			if got.Replayed {
				return errors.New("an entry was a replay")
			}
			return got.Err
		})
	}
}

// logFile is what lies under a database: a file that is written and synced.
type logFile struct {
	humanhours.Store // nil
	file             *os.File
	buffer           bytes.Buffer
}

func (l *logFile) Append(_ context.Context, entries []humanhours.Entry) []humanhours.Appended {
	l.buffer.Reset()
	results := make([]humanhours.Appended, len(entries))
	for i := range entries {
		l.buffer.Write(append(entries[i].Event.AppendStored(l.buffer.AvailableBuffer()), '\n'))
		results[i].Event = &entries[i].Event
	}
	_, err := l.file.Write(l.buffer.Bytes())
	if err = errors.Join(err, l.file.Sync()); err != nil {
		for i := range results {
			results[i].Err = err
		}
	}
	return results
}

func sqliteAppend(folder string, orgs int) (Side, Side, func() error, error) {
	dir, err := os.MkdirTemp(folder, "append")
	if err != nil {
		return nil, nil, nil, err
	}
	db, err := sqlite.Open(filepath.Join(dir, "hours.db"), sqlite.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, nil, err
	}
	file, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, nil, nil, err
	}
	ours, raw := store.NewGroup(db, store.GroupConfig{}), store.NewGroup(&logFile{file: file}, store.GroupConfig{})
	stop := func() error {
		return errors.Join(ours.Close(), raw.Close(), db.Close(), file.Close(), os.RemoveAll(dir))
	}
	return appending(ours, &maker{orgs: orgs}, 64), appending(raw, &maker{orgs: orgs}, 64), stop, nil
}

func redisAppend(address string, count, orgs int) (Side, Side, func() error, error) {
	ctx, client := context.Background(), goredis.NewClient(&goredis.Options{Addr: address})
	s, err := redisstore.New(client, redisstore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, nil, err
	}
	m := maker{orgs: orgs}
	raw := func(n int) (Spent, error) {
		began := time.Now()
		list := m.entries(n)
		keys, texts := make([]string, n), make([]string, n)
		for i := range list {
			keys[i], texts[i] = "raw:"+list[i].Event.ID, string(list[i].Event.AppendStored(nil))
		}
		return Spent{Inputs: time.Since(began)}, callers(count, n, func(i int) error { return client.Set(ctx, keys[i], texts[i], 0).Err() })
	}
	return appending(s, &maker{orgs: orgs}, count), raw, func() error { return errors.Join(s.Close(), client.FlushAll(ctx).Err(), client.Close()) }, nil
}

func redisLimiter(address string, count int) (Side, Side, func() error, error) {
	const keys, limit = 100, 1000
	ctx, client := context.Background(), goredis.NewClient(&goredis.Options{Addr: address})
	ours, err := redisstore.NewLimiter(client, redisstore.LimiterConfig{OnFailure: redisstore.FailClosed, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, nil, err
	}
	theirs := redis_rate.NewLimiter(client)
	name := func(i int) string { return fmt.Sprint("key-", i%keys) }
	return func(n int) (Spent, error) {
			return Spent{}, callers(count, n, func(i int) error {
				_, err := ours.Take(ctx, humanhours.TakeQuery{Key: name(i), Limit: limit})
				return err
			})
		}, func(n int) (Spent, error) {
			return Spent{}, callers(count, n, func(i int) error {
				_, err := theirs.Allow(ctx, name(i), redis_rate.PerSecond(limit))
				return err
			})
		}, func() error { return errors.Join(ours.Close(), client.FlushAll(ctx).Err(), client.Close()) }, nil
}

package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"path/filepath"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/humanhours/humanhours-go/store/redis"
	"github.com/humanhours/humanhours-go/store/sqlite"
)

// inMemory is the -db that keeps nothing.
const inMemory = ":memory:"

// where says where the data is, or is to be.
type where struct {
	db     string // file
	redis  string // URL; instead of a file
	prefix string // of the keys in Redis
}

// flags defines the flags of a where. Once they are parsed, the returned function says what is wrong with them.
func (w *where) flags(f *flag.FlagSet, db string) (check func() error) {
	f.StringVar(&w.db, "db", defaultDB, db)
	f.StringVar(&w.redis, "redis", "", redisForms)
	f.StringVar(&w.prefix, "redis-prefix", redis.DefaultPrefix,
		"what the names of all keys in Redis begin with, so that several services can share one")
	return func() error {
		given := make(map[string]bool)
		f.Visit(func(f *flag.Flag) { given[f.Name] = true })
		switch {
		case given["redis"] && given["db"]:
			return errors.New("-redis and -db exclude each other: the data is either in Redis or in a file")
		case given["redis"] && w.redis == "":
			return errors.New("-redis needs a URL, such as redis://127.0.0.1:6379")
		case given["redis-prefix"] && !given["redis"]:
			return errors.New("-redis-prefix needs -redis")
		}
		return nil
	}
}

// backend is where the server keeps its events, orgs and keys.
type backend struct {
	events  humanhours.Store
	orgs    humanhours.OrgStore
	keys    humanhours.KeyStore
	limiter humanhours.Limiter // nil: that of the Tracker, in this process
	create  where              // where another key is to be made: a file from the root of the file system, or Redis
	where   string             // for people
	close   func() error       // to be called when nobody uses it any more

	// hasKeys reports whether there is any API key: without one nobody gets in.
	hasKeys func(context.Context) (bool, error)
}

// openBackend opens what the flags name, and upgrades a file of an older release if it may.
func openBackend(ctx context.Context, w where, upgrade bool, logger *slog.Logger) (*backend, error) {
	db := w.db
	switch {
	case w.redis != "":
		return openRedis(ctx, w, logger)
	case db == inMemory:
		s := memory.New()
		return &backend{
			events: s, orgs: s, keys: s, close: func() error { return nil },
			where:   "in memory: they are gone when the server stops",
			hasKeys: func(context.Context) (bool, error) { return false, nil }, // it is new at every start
		}, nil
	}
	file, err := filepath.Abs(db)
	if err != nil {
		file = db
	}
	s, err := sqlite.Open(db, sqlite.Config{NoUpgrade: !upgrade, Logger: logger})
	if err != nil {
		return nil, err
	}
	// One sync of the file costs the same for one event as for many, so concurrent requests share it.
	group := store.NewGroup(s, store.GroupConfig{})
	return &backend{
		events: group, orgs: s, keys: s, create: where{db: file}, where: "in the file " + file, hasKeys: s.HasKeys,
		close: func() error { return errors.Join(group.Close(), s.Close()) },
	}, nil
}

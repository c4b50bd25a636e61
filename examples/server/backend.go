package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store"
	"github.com/humanhours/humanhours-go/store/memory"
	"github.com/humanhours/humanhours-go/store/sqlite"
)

// inMemory is the -db that keeps nothing.
const inMemory = ":memory:"

// backend is where the server keeps its events, orgs and keys.
type backend struct {
	events humanhours.Store
	orgs   humanhours.OrgStore
	keys   humanhours.KeyStore
	file   string       // the database, from the root of the file system; empty in memory
	where  string       // for people
	close  func() error // to be called when nobody uses it any more

	// hasKeys reports whether there is any API key: without one nobody gets in.
	hasKeys func(context.Context) (bool, error)
}

// openBackend opens the database of -db.
func openBackend(db string, logger *slog.Logger) (*backend, error) {
	if db == inMemory {
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
	s, err := sqlite.Open(db, sqlite.Config{Logger: logger})
	if err != nil {
		return nil, err
	}
	// One sync of the file costs the same for one event as for many, so concurrent requests share it.
	group := store.NewGroup(s, store.GroupConfig{})
	return &backend{
		events: group, orgs: s, keys: s, file: file, where: "in the file " + file, hasKeys: s.HasKeys,
		close: func() error { return errors.Join(group.Close(), s.Close()) },
	}, nil
}

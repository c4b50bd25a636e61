package main

import (
	"errors"
	"log/slog"
	"os"

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
	where  string       // for people
	fresh  bool         // nothing was there before
	close  func() error // to be called when nobody uses it any more
}

// openBackend opens the database of -db.
func openBackend(db string, logger *slog.Logger) (*backend, error) {
	if db == inMemory {
		s := memory.New()
		return &backend{
			events: s, orgs: s, keys: s, fresh: true, close: func() error { return nil },
			where: "in memory: they are gone when the server stops",
		}, nil
	}
	_, err := os.Stat(db)
	fresh := errors.Is(err, os.ErrNotExist)
	s, err := sqlite.Open(db, sqlite.Config{Logger: logger})
	if err != nil {
		return nil, err
	}
	// One sync of the file costs the same for one event as for many, so concurrent requests share it.
	group := store.NewGroup(s, store.GroupConfig{})
	return &backend{
		events: group, orgs: s, keys: s, fresh: fresh, where: "in the file " + db,
		close: func() error { return errors.Join(group.Close(), s.Close()) },
	}, nil
}

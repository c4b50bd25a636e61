package pricebook

import (
	_ "embed"
	"sync"
)

// snapshotJSON is the edition of the day of the release. cmd/snapshot writes it.
//
//go:embed snapshot.json
var snapshotJSON []byte

var snapshot = sync.OnceValue(func() *Static {
	book, err := ParseSnapshot(snapshotJSON)
	if err != nil {
		panic("the embedded snapshot: " + err.Error())
	}
	return book
})

// Snapshot returns the embedded price book: about 600 models, in USD.
func Snapshot() *Static { return snapshot() }

package humanhours

import (
	"encoding/json"
	"io"
	"time"
)

// What the tests of package humanhours_test need from the inside.

// ParseKey is parseKey.
func ParseKey(text string) (id string, test bool, err error) { return parseKey(text) }

// NewULIDs is newULIDs.
func NewULIDs(random io.Reader) func(time.Time) (string, error) { return newULIDs(random) }

// CheckMetadata returns metadata as a request with it would be stored.
func CheckMetadata(raw json.RawMessage) (json.RawMessage, error) {
	r := checked{TrackRequest: &TrackRequest{Metadata: raw}}
	err := r.validateMetadata()
	return r.Metadata, err
}

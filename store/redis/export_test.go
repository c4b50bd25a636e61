package redis

import (
	"context"

	"github.com/humanhours/humanhours-go"
)

// BareAppend prepares the script call of one entry and returns what makes it, with nothing of the store around it.
func (s *Store) BareAppend(entry *humanhours.Entry) (func(context.Context) error, error) {
	items := []*prepared{{}}
	if err := s.prepare(items[0], entry); err != nil {
		return nil, err
	}
	batches := batchesOf(items)
	base, args := s.base(entry.Event.Org), batches[0].arguments(items)
	keys := []string{base, base + metaKey}
	return func(ctx context.Context) error {
		return s.scripts.append.EvalSha(ctx, s.client.client, keys, args...).Err()
	}, nil
}

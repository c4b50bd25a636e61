package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/rollup"
)

// Amendments are appended to a string for each chunk that has amended events, one after the other:
//
//	3 bytes   length of id and amendment together, big-endian
//	2 bytes   length of the id, likewise
//	the rest  the id as the index has it, and the amendment: a JSON array of one
//
// So to amend costs the same however many there are, and whoever reads chunks reads what belongs to them in the same step.
const amendmentHead = 3 + 2

// amendments are those of events, by the field of their id, in their order.
type amendments map[string][]string

// read adds those of a chunk. Without any, the map stays nil.
func (a amendments) read(log string) (amendments, error) {
	for len(log) > 0 {
		if len(log) < amendmentHead {
			return a, errCorrupt
		}
		n, id := int(log[0])<<16|int(log[1])<<8|int(log[2]), int(log[3])<<8|int(log[4])
		if log = log[amendmentHead:]; id > n || n > len(log) {
			return a, errCorrupt
		}
		if a == nil {
			a = make(amendments)
		}
		a[log[:id]] = append(a[log[:id]], log[id:n])
		log = log[n:]
	}
	return a, nil
}

// show gives an event its amendments. What they erase is not shown, also if the record was read before it was erased.
func show(e *humanhours.Event, list []string) error {
	for _, text := range list {
		decoded, err := humanhours.DecodeAmendments(e.Currency, []byte(text))
		if err != nil {
			return err
		}
		e.Amendments = append(e.Amendments, decoded...)
	}
	if e.Redacted() {
		e.Redact()
	}
	return nil
}

// amendedEvent decodes what a script has of an event.
func (s *Store) amendedEvent(org, id, record string, list []string) (humanhours.Event, error) {
	event, err := s.event(org, record)
	if err == nil && event.ID != id {
		err = errGone
	}
	if err == nil {
		err = show(&event, list)
	}
	return event, err
}

// Amend implements humanhours.Store. A redaction reads the record first, and overwrites it only if it is still the same.
func (s *Store) Amend(ctx context.Context, q humanhours.AmendQuery) (humanhours.Amended, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout) // for all of its calls
	defer cancel()
	amendment := humanhours.AppendAmendments(nil, []humanhours.Amendment{q.Amendment})
	q.Change.At = instant(q.Change.At)
	line, err := json.Marshal(q.Change)
	if err != nil {
		return humanhours.Amended{}, fmt.Errorf("redis: encode change: %w", err)
	}
	id, base := idField(q.ID), s.base(q.Org)
	if len(id) > 1<<16-1 || len(id)+len(amendment) > maxRecord {
		return humanhours.Amended{}, errors.New("redis: the amendment is too large to be stored")
	}
	args := []any{id, q.Base, amendment, line, rand.Text(), (s.cfg.Timeout + time.Minute).Milliseconds()}
	for {
		event, record, found, err := s.lookUp(ctx, q.Org, q.ID)
		if err != nil || !found {
			return humanhours.Amended{}, err
		}
		if len(event.Amendments) != q.Base {
			return humanhours.Amended{Event: event, Found: true}, nil
		}
		// What the event adds to the sums stays the same as long as it has as many amendments.
		args := append(args[:len(args):len(args)], weekOf(&event), rollup.Amended(event, q.Amendment))
		if q.Amendment.Kind == humanhours.AmendRedact {
			clean, err := redacted([]byte(record))
			if err != nil {
				return humanhours.Amended{}, err
			}
			args = append(args, record, clean)
		}
		calls := []call{{script: s.scripts.amend, keys: []string{base, base + metaKey}, args: args}}
		s.client.run(ctx, calls)
		if err := calls[0].err; err != nil {
			return humanhours.Amended{}, fmt.Errorf("redis: amend: %w", err)
		}
		answer, err := texts(calls[0].answer)
		switch {
		case err != nil:
			return humanhours.Amended{}, err
		case len(answer) == 0:
			return humanhours.Amended{}, nil
		case answer[0] == string(lost):
			return humanhours.Amended{}, errGone
		case answer[0] == "other":
			continue
		case answer[0] != "ok" && answer[0] != "changed", len(answer) < 2:
			return humanhours.Amended{}, errAnswer
		}
		event, err = s.amendedEvent(q.Org, q.ID, answer[1], answer[2:])
		if err != nil {
			return humanhours.Amended{}, err
		}
		return humanhours.Amended{Event: event, Found: true, Stored: answer[0] == "ok"}, nil
	}
}

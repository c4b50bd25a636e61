package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
)

// How many chunks are read at once. The first reads of a query are small, because most want a page.
const (
	firstChunks = 8
	mostChunks  = 256
)

// position is a place in an ordered stream of events.
type position struct {
	at int64
	id string
}

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.at, o.at), cmp.Compare(p.id, o.id))
}

// candidate is an event of a chunk that was read; it is decoded when it is wanted.
type candidate struct {
	at int64 // of one of its instants, in Unix milliseconds
	record
}

// scan yields the events of a query. Each round asks which chunks come next and reads those, and yields what no later chunk can
// come before. The next round starts behind that, so that nothing is kept between rounds but a position, and memory is bounded.
func (s *Store) scan(ctx context.Context, q humanhours.EventQuery, yield func(humanhours.Event, error) bool) {
	first, last := int64(-timeBias), int64(timeBias-1)
	if !q.From.IsZero() {
		first = max(first, ceil(q.From))
	}
	if !q.To.IsZero() {
		last = min(last, ceil(q.To)-1)
	}
	var after *position
	if !q.After.IsZero() {
		after = &position{q.After.At.UnixMilli(), q.After.ID}
		if q.Descending {
			last = min(last, after.at)
		} else {
			first = max(first, after.at)
		}
	}
	yielded := 0
	for chunks := firstChunks; first <= last; chunks = min(2*chunks, max(mostChunks, chunks)) {
		chunksOf, bound, complete, err := s.chunks(ctx, q, first, last, chunks)
		if err != nil {
			yield(humanhours.Event{}, err)
			return
		}
		from, to := first, last
		switch {
		case complete:
		case q.Descending && bound < last:
			from = bound + 1
		case !q.Descending && bound > first:
			to = bound - 1
		default: // so many chunks hold this one instant that more are needed to get anywhere
			chunks *= 2
			continue
		}
		found, amended, err := s.load(ctx, q, chunksOf, from, to, after)
		if err != nil {
			yield(humanhours.Event{}, err)
			return
		}
		for i := range found {
			if err := ctx.Err(); err != nil {
				yield(humanhours.Event{}, err)
				return
			}
			event, err := found[i].event(q.Org, q.Sparse)
			if err == nil && len(amended) > 0 {
				err = show(&event, amended[string(found[i].id)])
			}
			if err != nil {
				yield(humanhours.Event{}, err)
				return
			}
			if !yield(event, nil) {
				return
			}
			if yielded++; yielded == q.Limit {
				return
			}
		}
		if complete {
			return
		}
		if q.Descending {
			last = from - 1
		} else {
			first = to + 1
		}
	}
}

// ceil is the first whole millisecond that is not before t.
func ceil(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}

// chunk is one that holds events of a query.
type chunk struct {
	number  string
	amended int // bytes of amendments that there are of its events, or more by now
}

// chunks calls chunks.lua.
func (s *Store) chunks(ctx context.Context, q humanhours.EventQuery, first, last int64, most int) (found []chunk, bound int64, complete bool, err error) {
	order, direction, base := "o", "up", s.base(q.Org)
	if q.Order == humanhours.ByReceived {
		order = "r"
	}
	if q.Descending {
		direction = "down"
	}
	calls := []call{{script: s.scripts.chunks, keys: []string{base, base + metaKey}, args: []any{order, direction, first, last, most}}}
	s.client.run(ctx, calls)
	if err := calls[0].err; err != nil {
		return nil, 0, false, fmt.Errorf("redis: read events: %w", err)
	}
	list, err := texts(calls[0].answer)
	if err != nil || len(list) == 0 {
		return nil, 0, false, errors.Join(errAnswer, err)
	}
	if complete = list[0] == ""; !complete {
		if bound, err = strconv.ParseInt(list[0], 10, 64); err != nil {
			return nil, 0, false, errAnswer
		}
	}
	for _, item := range list[1:] {
		number, size, some := strings.Cut(item, " ")
		c := chunk{number: number}
		if some {
			if c.amended, err = strconv.Atoi(size); err != nil {
				return nil, 0, false, errAnswer
			}
		}
		found = append(found, c)
	}
	return found, bound, complete, nil
}

// load reads chunks and returns what they have of a stretch of time, behind a position, in the order of the query, and the amendments that there are.
func (s *Store) load(
	ctx context.Context, q humanhours.EventQuery, chunks []chunk, from, to int64, after *position,
) (found []candidate, amended amendments, err error) {
	if len(chunks) == 0 {
		return nil, nil, nil
	}
	base := s.base(q.Org)
	names, logNames := make([]string, len(chunks)), make([]string, len(chunks))
	for i, c := range chunks {
		names[i], logNames[i] = base+chunkKey+c.number, base+amendKey+c.number
	}
	var texts, logs []string
	missing := ""
	err = s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		pipe := c.Pipeline()
		gets := make([]*goredis.StringCmd, len(names))
		for i, name := range names {
			gets[i] = pipe.Get(ctx, name)
		}
		// After the chunks: amendments are then no older than the records, and what they erase is not shown.
		logsOf := pipe.MGet(ctx, logNames...)
		_, _ = pipe.Exec(ctx) // every command has its own error
		read, gone := make([]string, len(names)), ""
		for i, get := range gets {
			var err error
			if read[i], err = get.Result(); errors.Is(err, goredis.Nil) {
				gone = fmt.Sprintf("events in %q", names[i])
			} else if err != nil {
				return err
			}
		}
		got, err := logsOf.Result()
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if len(got) != len(names) {
			return errAnswer
		}
		readLogs := make([]string, len(names))
		for i := range got {
			readLogs[i], _ = got[i].(string) // nil: there are none
			if len(readLogs[i]) < chunks[i].amended && gone == "" {
				gone = fmt.Sprintf("amendments in %q", logNames[i])
			}
		}
		texts, logs, missing = read, readLogs, gone
		return nil
	})
	if err == nil && missing != "" { // to ask again would not help
		err = fmt.Errorf("the %s are gone; were they evicted or deleted? See maxmemory-policy", missing)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("redis: read events: %w", err)
	}
	for _, log := range logs {
		if amended, err = amended.read(log); err != nil {
			return nil, nil, err
		}
	}
	for _, text := range texts {
		for chunk := []byte(text); len(chunk) > 0; {
			r, rest, err := cutRecord(chunk)
			if err != nil {
				return nil, nil, err
			}
			chunk = rest
			at := r.occurred
			if q.Order == humanhours.ByReceived {
				at = r.received
			}
			if from <= at && at <= to {
				found = append(found, candidate{at, r})
			}
		}
	}
	place := func(c *candidate) position { return position{c.at, idOf(c.id)} }
	direction := 1
	if q.Descending {
		direction = -1
	}
	slices.SortFunc(found, func(a, b candidate) int { return direction * cmp.Compare(a.at, b.at) })
	for i := 0; i < len(found); { // only events of one instant need their ids
		j := i + 1
		for j < len(found) && found[j].at == found[i].at {
			j++
		}
		if j > i+1 {
			slices.SortFunc(found[i:j], func(a, b candidate) int { return direction * place(&a).compare(place(&b)) })
		}
		i = j
	}
	if after != nil {
		found = slices.DeleteFunc(found, func(c candidate) bool {
			return c.at == after.at && direction*place(&c).compare(*after) <= 0
		})
	}
	return found, amended, nil
}

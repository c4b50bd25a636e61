package redis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/rollup"
)

// The sums of a week of occurrence are a log, to which append.lua adds a block for each section and amend.lua one for each amendment. It is written
// anew, shorter, when what was added since has grown. How many events have sums is counted in the same step, so that a log which is gone or damaged is
// noticed, and made anew from the events.

func weekOf(e *humanhours.Event) int64 { return floorDiv(e.OccurredAt.UnixMilli(), weekMS) }

const hoursPerWeek = 7 * 24

// Rollups implements humanhours.Reporter.
func (s *Store) Rollups(ctx context.Context, q humanhours.RollupQuery) iter.Seq2[humanhours.Rollup, error] {
	return rollup.Source{
		Groups: func(ctx context.Context, hours rollup.Span) iter.Seq2[rollup.Group, error] {
			return s.logs(ctx, q.Org, hours)
		},
		Events: s.Events,
	}.Rollups(ctx, q)
}

// logs yields those of a span of hours, week by week.
func (s *Store) logs(ctx context.Context, org string, hours rollup.Span) iter.Seq2[rollup.Group, error] {
	return func(yield func(rollup.Group, error) bool) {
		weeks, err := s.weeks(ctx, org)
		if err != nil {
			yield(rollup.Group{}, err)
			return
		}
		first, last := int64(math.MinInt64), int64(math.MaxInt64)
		if hours.First != math.MinInt64 {
			first = floorDiv(hours.First, hoursPerWeek)
		}
		if hours.Last != math.MaxInt64 {
			last = floorDiv(hours.Last-1, hoursPerWeek)
		}
		for _, week := range weeks {
			if week < first || week > last {
				continue
			}
			group, err := s.group(ctx, org, week)
			if err != nil {
				yield(rollup.Group{}, err)
				return
			}
			group.Again = func(ctx context.Context) (rollup.Group, error) {
				if err := s.sumUp(ctx, org, week); err != nil {
					return rollup.Group{}, err
				}
				return s.group(ctx, org, week)
			}
			if !yield(group, nil) {
				return
			}
		}
	}
}

// group reads the log of a week, and has it shortened if it is long.
func (s *Store) group(ctx context.Context, org string, week int64) (rollup.Group, error) {
	of, err := s.log(ctx, org, week)
	if err == nil && of.long() {
		s.shorten(org, week)
	}
	return rollup.Group{Logs: [][]byte{of.log}, Count: of.events}, err
}

// weeks are those of which there are sums. Where events are without, because an older release has stored them, the sums are made first.
func (s *Store) weeks(ctx context.Context, org string) ([]int64, error) {
	of, err := s.summed(ctx, org)
	if err != nil || of.complete() {
		return of.weeks, err
	}
	if err := s.Rebuild(ctx, org); err != nil {
		return nil, err
	}
	of, err = s.summed(ctx, org)
	if err == nil && !of.complete() {
		err = fmt.Errorf("redis: an older release is storing events, without sums: %w", errors.ErrUnsupported)
	}
	return of.weeks, err
}

// summed is what there are sums of.
type summed struct {
	weeks      []int64
	events     int64 // that have none
	amendments int64 // likewise
}

func (s *summed) complete() bool { return s.events == 0 && s.amendments == 0 }

// amendmentsField of the hash of what has sums counts amendments; againField and a week, how often its log was written anew.
const (
	amendmentsField = "v"
	againField      = "g"
)

// summed calls sums.lua for an org.
func (s *Store) summed(ctx context.Context, org string) (of summed, err error) {
	answer, err := s.sumsCall(ctx, s.scripts.sums, org)
	if err != nil {
		return of, err
	}
	parts, _ := answer.([]any)
	if len(parts) != 3 {
		return of, errAnswer
	}
	var counted bool
	of.events, counted = parts[0].(int64)
	amendments, err := text(parts[1])
	pairs, err2 := texts(parts[2])
	if err = errors.Join(err, err2); err != nil || !counted || len(pairs)%2 != 0 {
		return of, errAnswer
	}
	if of.amendments, err = strconv.ParseInt(amendments, 10, 64); err != nil {
		return of, errCorrupt
	}
	for i := 0; i < len(pairs); i += 2 {
		field := pairs[i]
		if strings.HasPrefix(field, againField) {
			continue
		}
		n, err := strconv.ParseInt(pairs[i+1], 10, 64)
		if err != nil {
			return of, errCorrupt
		}
		if field == amendmentsField {
			of.amendments -= n
			continue
		}
		week, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return of, errCorrupt
		}
		of.weeks = append(of.weeks, week)
		of.events -= n
	}
	slices.Sort(of.weeks)
	return of, nil
}

func (s *Store) sumsCall(ctx context.Context, script *goredis.Script, org string, args ...any) (any, error) {
	base := s.base(org)
	calls := []call{{script: script, keys: []string{base, base + metaKey}, args: args}}
	s.client.run(ctx, calls)
	if err := calls[0].err; err != nil {
		return nil, fmt.Errorf("redis: sums: %w", err)
	}
	return calls[0].answer, nil
}

// sums are those of a week.
type sums struct {
	events int64 // that have sums
	again  string
	log    []byte
}

func (s *Store) log(ctx context.Context, org string, week int64) (of sums, err error) {
	answer, err := s.sumsCall(ctx, s.scripts.sums, org, week)
	if err != nil {
		return of, err
	}
	list, err := texts(answer)
	if err != nil || len(list) != 3 {
		return of, errAnswer
	}
	if of.events, err = strconv.ParseInt(list[0], 10, 64); err != nil {
		return of, errCorrupt
	}
	of.again, of.log = list[1], []byte(list[2])
	return of, nil
}

// long reports whether it is worth it to merge a log: what was added since the last time is much, and the log is not so large that nearly every event has a
// text of its own.
func (s *sums) long() bool {
	first := rollup.Size(s.log)
	return len(s.log)-first >= max(mergeAt, first/2) && len(s.log) <= mostMerged
}

// shorten merges the log of a week, if it is worth it, and beside what asks for it. One log at a time: the next time that it has grown is soon enough
// for another.
func (s *Store) shorten(org string, week int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed || !s.shortening.CompareAndSwap(false, true) {
		return
	}
	s.shorter.Go(func() {
		defer s.shortening.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
		defer cancel()
		if err := s.merge(ctx, org, week); err != nil {
			s.cfg.Logger.WarnContext(ctx, "redis: could not merge a log of sums; reports are slower until the next try", "org", org, "week", week, "error", err)
		}
	})
}

// mergeAt is how long what was added since the last time is at least when a log is merged, and mostMerged how long the log may be: Redis stands still while
// it takes the new one.
const (
	mergeAt    = 64 << 10
	mostMerged = 8 << 20
)

func (s *Store) merge(ctx context.Context, org string, week int64) error {
	of, err := s.log(ctx, org, week)
	if err != nil {
		return err
	}
	if !of.long() {
		return nil
	}
	merged, err := rollup.Merge(of.log)
	if err == nil && len(merged) >= len(of.log) {
		merged, err = rollup.Join(of.log) // one block, which is not looked at again until it has grown by half
	}
	if err != nil {
		return err
	}
	_, err = s.sumsCall(ctx, s.scripts.resum, org, week, of.again, len(of.log), merged, 0)
	return err // or somebody was faster, which is as good
}

// Rebuild implements humanhours.Reporter. Appends go on meanwhile.
func (s *Store) Rebuild(ctx context.Context, org string) error {
	of, err := s.summed(ctx, org)
	if err != nil {
		return err
	}
	found := make(map[int64]bool)
	for _, week := range of.weeks {
		found[week] = true
	}
	err = s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		list, err := c.ZRangeByScoreWithScores(ctx, s.base(org)+":of", &goredis.ZRangeBy{Min: "-inf", Max: "+inf"}).Result()
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		for _, chunk := range list {
			found[floorDiv(int64(chunk.Score), weekMS)] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("redis: rebuild the sums: %w", err)
	}
	for week := range found {
		if err := s.sumUp(ctx, org, week); err != nil {
			return err
		}
	}
	if of.amendments == 0 {
		return nil
	}
	// Those that there were are in the sums now. If this is counted twice, the sums are made anew once more, and it is taken off.
	if err := s.client.client.HIncrBy(ctx, s.base(org)+sumsKey, amendmentsField, of.amendments).Err(); err != nil {
		return fmt.Errorf("redis: rebuild the sums: %w", explain(err))
	}
	return nil
}

// sumUp makes the sums of a week from what there is of its events at one time. What comes meanwhile is added behind.
func (s *Store) sumUp(ctx context.Context, org string, week int64) error {
	for {
		answer, err := s.sumsCall(ctx, s.scripts.cut, org, week*weekMS, (week+1)*weekMS, week)
		if err != nil {
			return err
		}
		list, err := texts(answer)
		if err != nil || len(list) < 3 || len(list)%3 != 0 {
			return errAnswer
		}
		counted, err := strconv.ParseInt(list[0], 10, 64)
		if err != nil {
			return errCorrupt
		}
		var log []byte
		events := int64(0)
		for part := range slices.Chunk(list[3:], 3*mostChunks) {
			var block rollup.Builder
			n, err := s.addChunks(ctx, org, part, &block)
			if err != nil {
				return err
			}
			events += n
			if log, err = rollup.Compact(log, block.Append(nil)); err != nil {
				return err
			}
		}
		answer, err = s.sumsCall(ctx, s.scripts.resum, org, week, list[1], list[2], log, events-counted)
		if err != nil && (strings.Contains(err.Error(), "maximum allowed size") || strings.Contains(err.Error(), "invalid bulk length")) { // proto-max-bulk-len
			return fmt.Errorf("redis: the sums of a week are too large to be kept: %w: %w", errors.ErrUnsupported, err)
		}
		if err != nil {
			return err
		}
		if answer == "ok" {
			return nil
		}
		if !sleep(ctx, firstPause) {
			return ctx.Err()
		}
	}
}

// addChunks adds the events of some chunks, given as number, length and length of the amendments, and says how many they are.
func (s *Store) addChunks(ctx context.Context, org string, parts []string, block *rollup.Builder) (events int64, err error) {
	base := s.base(org)
	var chunks, logs []string
	err = s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		pipe := c.Pipeline()
		var gets []*goredis.StringCmd
		for part := range slices.Chunk(parts, 3) {
			for i, key := range []string{chunkKey, amendKey} {
				length, err := strconv.ParseInt(part[i+1], 10, 64)
				if err != nil {
					return errCorrupt
				}
				// An empty range cannot be asked for; what is more is cut off.
				gets = append(gets, pipe.GetRange(ctx, base+key+part[0], 0, max(0, length-1)))
			}
		}
		_, _ = pipe.Exec(ctx) // every command has its own error
		chunks, logs = nil, nil
		for i, get := range gets {
			text, err := get.Result()
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			length, _ := strconv.Atoi(parts[i/2*3+1+i%2])
			if len(text) < length {
				return errGone
			}
			if text = text[:length]; i%2 == 0 {
				chunks = append(chunks, text)
			} else {
				logs = append(logs, text)
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("redis: read events: %w", err)
	}
	for i, text := range chunks {
		var amended amendments
		if amended, err = amended.read(logs[i]); err != nil {
			return 0, err
		}
		for chunk := []byte(text); len(chunk) > 0; {
			r, rest, err := cutRecord(chunk)
			if err != nil {
				return 0, err
			}
			chunk = rest
			event, err := r.event(org, true)
			if err == nil && len(amended) > 0 {
				err = show(&event, amended[string(r.id)])
			}
			if err != nil {
				return 0, err
			}
			adds := event.Rollup()
			block.Add(&adds)
			events++
		}
	}
	return events, nil
}

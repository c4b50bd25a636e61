package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/humanhours/humanhours-go"
)

// What is kept of an agent is the first and the last instant of occurrence of its events, in twice six bytes. It is in the hash that every append
// reads and writes anyway: so it costs no command, and cannot be gone while the rest of the org goes on.
const (
	liveAgent   = "a" // and the id: the field of an agent that live events name
	testAgent   = "A" // likewise of test events
	instantSize = 6
	spanSize    = 2 * instantSize
)

func agentField(id string, test bool) string {
	if test {
		return testAgent + id
	}
	return liveAgent + id
}

// span is the first and the last of some instants.
type span struct{ first, last int64 }

func (s span) with(at int64) span { return span{min(s.first, at), max(s.last, at)} }

func (s span) append(dst []byte) []byte { return appendInstant(appendInstant(dst, s.first), s.last) }

// agentsOf are the agents of a section, each once, in the order in which they come.
type agentsOf struct {
	ids   []string
	all   []span
	whose []byte         // which of them each entry is of
	index map[string]int // of the ids; nil: there is one at most
}

func (a *agentsOf) add(id string, at int64) {
	i, ok := 0, len(a.ids) == 1 && a.ids[0] == id
	if a.index != nil {
		i, ok = a.index[id]
	}
	if !ok {
		i = len(a.ids)
		a.ids, a.all = append(a.ids, id), append(a.all, span{at, at})
		if i == 1 {
			a.index = map[string]int{a.ids[0]: 0}
		}
		if i > 0 {
			a.index[id] = i
		}
	}
	a.all[i] = a.all[i].with(at)
	a.whose = append(a.whose, byte(i))
}

func (a *agentsOf) spans() []byte {
	dst := make([]byte, 0, spanSize*len(a.all))
	for _, s := range a.all {
		dst = s.append(dst)
	}
	return dst
}

// Agents implements humanhours.Store. Where a release that recorded no agents has stored events, it reads all of the org's, once.
func (s *Store) Agents(ctx context.Context, org string, test bool) ([]humanhours.AgentSeen, error) {
	found, err := s.recorded(ctx, org)
	if err == nil && found.without > 0 {
		// Those that such a release stores meanwhile are found by the next call.
		if err = s.record(ctx, org, found); err == nil {
			found, err = s.recorded(ctx, org)
		}
	}
	if err != nil {
		return nil, err
	}
	var list []humanhours.AgentSeen
	kind := agentField("", test)
	for field, text := range found.hash {
		if field[:min(1, len(field))] != kind {
			continue
		}
		if len(text) != spanSize {
			return nil, errCorrupt
		}
		first, last := instantAt([]byte(text[:instantSize])), instantAt([]byte(text[instantSize:]))
		list = append(list, humanhours.AgentSeen{ID: field[1:], First: time.UnixMilli(first).UTC(), Last: time.UnixMilli(last).UTC()})
	}
	slices.SortFunc(list, func(a, b humanhours.AgentSeen) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// recorded is what Redis has about agents of an org.
type recorded struct {
	hash    map[string]string // their fields, among others
	without int64             // events that are stored and not recorded
}

// agentsCall calls agents.lua.
func (s *Store) agentsCall(ctx context.Context, org string, args ...any) (any, error) {
	base := s.base(org)
	calls := []call{{script: s.scripts.agents, keys: []string{base, base + metaKey}, args: args}}
	s.client.run(ctx, calls)
	if err := calls[0].err; err != nil {
		return nil, fmt.Errorf("redis: read agents: %w", err)
	}
	if calls[0].answer == string(lost) {
		return nil, errGone
	}
	return calls[0].answer, nil
}

func (s *Store) recorded(ctx context.Context, org string) (found recorded, err error) {
	answer, err := s.agentsCall(ctx, org)
	if err != nil {
		return found, err
	}
	parts, _ := answer.([]any)
	if len(parts) != 2 {
		return found, errAnswer
	}
	events, counted := parts[0].(int64)
	pairs, listed := parts[1].([]any)
	if !counted || !listed || len(pairs)%2 != 0 {
		return found, errAnswer
	}
	found.hash = make(map[string]string, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		field, err := text(pairs[i])
		if err != nil {
			return found, err
		}
		if found.hash[field], err = text(pairs[i+1]); err != nil {
			return found, err
		}
	}
	n, err := strconv.ParseInt(cmp.Or(found.hash["r"], "0"), 10, 64)
	if err != nil {
		return found, errCorrupt
	}
	found.without = events - n
	return found, nil
}

// record records the agents of all events that there are, some with each call, and then that it has been done.
func (s *Store) record(ctx context.Context, org string, found recorded) error {
	spans := make(map[string]span)
	for event, err := range s.Events(ctx, humanhours.EventQuery{Org: org}) {
		if err != nil {
			return err
		}
		field, at := agentField(event.AgentID, event.Test), event.OccurredAt.UnixMilli()
		there, ok := spans[field]
		if !ok {
			there = span{at, at}
		}
		spans[field] = there.with(at)
	}
	args := []any{0, ""}
	for field, of := range spans {
		if args = append(args, field, of.append(nil)); len(args) < 2*maxGroup {
			continue
		}
		if _, err := s.agentsCall(ctx, org, args...); err != nil {
			return err
		}
		args = args[:2:2]
	}
	args[0], args[1] = found.without, cmp.Or(found.hash["f"], "0")
	_, err := s.agentsCall(ctx, org, args...)
	return err
}

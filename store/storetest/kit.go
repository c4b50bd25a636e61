package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/shopspring/decimal"
)

// kit is what a case works with: its test, samples with ids of their own, and checks that end the case when they fail.
// Only the goroutine of the case may use it.
type kit struct {
	testing.TB
	patience time.Duration // how long a call may take before it counts as hung
	made     int           // samples made so far
}

// entry makes the next sample entry.
func (k *kit) entry(org string, options ...option) humanhours.Entry {
	k.made++
	e := Entry(org, k.made)
	for _, change := range options {
		change(&e)
	}
	return e
}

// again returns an entry like e for a new event: what a client sends that tries again.
func (k *kit) again(e humanhours.Entry, options ...option) humanhours.Entry {
	k.made++
	e.Event.ID = eventID(k.made)
	for _, change := range options {
		change(&e)
	}
	return e
}

// within runs f, which must not use k, and fails if it hangs.
func (k *kit) within(what string, f func()) {
	k.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(k.patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		k.Fatalf("%s: still waiting after %v", what, k.patience)
	}
}

// race runs f, which must not use k, in n goroutines that start together, and waits for all of them.
func (k *kit) race(n int, f func(i int)) {
	k.Helper()
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			f(i)
		})
	}
	k.within(fmt.Sprintf("%d concurrent callers", n), func() {
		close(start)
		all.Wait()
	})
}

// sign is a way to see that a step has been taken.
type sign struct {
	name string
	seen func(step int) (bool, error)
}

// inStep checks that each step is one: that whoever sees one sign of it sees all of them. write takes the steps, one after the
// other; for each sign there is a reader who waits for it while the step is taken, and then looks for the others.
func (k *kit) inStep(steps int, write func(step int) error, signs []sign) {
	k.Helper()
	stop := make(chan struct{})
	var once sync.Once
	var complaint string
	complain := func(format string, args ...any) {
		once.Do(func() {
			complaint = fmt.Sprintf(format, args...)
			close(stop)
		})
	}
	ready := make(chan struct{}) // a reader waits for the next step
	writer := func() {
		for step := range steps {
			for range signs {
				select {
				case <-ready:
				case <-stop:
					return
				}
			}
			if err := write(step); err != nil {
				complain("%v", err)
			}
		}
	}
	see := func(s sign, step int) bool {
		ok, err := s.seen(step)
		if err != nil {
			complain("looking for %s: %v", s.name, err)
		}
		return ok
	}
	reader := func(mine sign) {
		for step := range steps {
			select {
			case ready <- struct{}{}:
			case <-stop:
				return
			}
			for !see(mine, step) {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
			for _, other := range signs {
				if !see(other, step) {
					complain("%s can be seen, but not %s", mine.name, other.name)
				}
			}
		}
	}
	k.race(1+len(signs), func(i int) {
		if i == 0 {
			writer()
		} else {
			reader(signs[i-1])
		}
	})
	if complaint != "" {
		k.Fatal(complaint)
	}
}

// The outcomes of an entry. An entry whose id was stored already has the outcome created, with the stored event.
const (
	created    = "created"
	replayed   = "replayed"
	mismatched = "replayed with a mismatch"
	refused    = "refused"
	failed     = "failed"
)

// outcome says what a claims to be.
func outcome(a humanhours.Appended) string {
	type flags struct{ replayed, mismatch, refused, failed bool }
	switch (flags{a.Replayed, a.Mismatch, a.QuotaExceeded, a.Err != nil}) {
	case flags{}:
		return created
	case flags{replayed: true}:
		return replayed
	case flags{replayed: true, mismatch: true}:
		return mismatched
	case flags{refused: true}:
		return refused
	case flags{failed: true}:
		return failed
	}
	return fmt.Sprintf("contradictory (Replayed %t, Mismatch %t, QuotaExceeded %t, Err %v)", a.Replayed, a.Mismatch, a.QuotaExceeded, a.Err)
}

// is checks one answer: its outcome, and its event, which is none when the entry was refused or failed.
func (k *kit) is(what string, got humanhours.Appended, want string, event humanhours.Event) {
	k.Helper()
	if outcome(got) != want {
		k.Fatalf("%s was %s, want it %s (error %v)", what, outcome(got), want, got.Err)
	}
	if none := want == refused || want == failed; none != (got.Event == nil) {
		k.Fatalf("%s was %s with an event: %t", what, want, got.Event != nil)
	} else if !none {
		k.same(what+": the answer", *got.Event, event)
	}
}

// append appends entries as one batch and checks that there are as many answers, and that the entries were left alone.
func (k *kit) append(s humanhours.Store, entries ...humanhours.Entry) []humanhours.Appended {
	k.Helper()
	before := make([]humanhours.Entry, len(entries))
	for i, e := range entries {
		before[i] = e
		before[i].Event = e.Event.Clone()
	}
	results := s.Append(k.Context(), entries)
	if len(results) != len(entries) {
		k.Fatalf("Append of %d entries gave %d results", len(entries), len(results))
	}
	if !reflect.DeepEqual(before, entries) {
		k.Fatal("Append wrote to the entries of its caller")
	}
	return results
}

// create appends one entry that must create its event.
func (k *kit) create(s humanhours.Store, e humanhours.Entry) humanhours.Event {
	k.Helper()
	k.is("a new entry", k.append(s, e)[0], created, e.Event)
	return e.Event
}

// replay appends one entry that must be answered with an earlier event.
func (k *kit) replay(s humanhours.Store, e humanhours.Entry, want humanhours.Event) {
	k.Helper()
	k.is("an entry whose key is in use", k.append(s, e)[0], replayed, want)
}

// refuse appends one entry that must be refused.
func (k *kit) refuse(s humanhours.Store, e humanhours.Entry) {
	k.Helper()
	k.is("an entry over the cap", k.append(s, e)[0], refused, humanhours.Event{})
}

// holds checks that the key of e names want at an instant.
func (k *kit) holds(s humanhours.Store, e humanhours.Entry, at time.Time, want humanhours.Event) {
	k.Helper()
	found, err := s.Replay(k.Context(), humanhours.ReplayQuery{Org: e.Event.Org, Key: e.Key, Fingerprint: e.Fingerprint, At: at})
	if err != nil {
		k.Fatalf("Replay: %v", err)
	}
	if !found.Found || found.Mismatch {
		k.Fatalf("Replay of a key in use: Found %t, Mismatch %t, want it found without a mismatch", found.Found, found.Mismatch)
	}
	k.same("Replay", found.Event, want)
}

// free checks that the key of e names nothing at an instant.
func (k *kit) free(s humanhours.Store, e humanhours.Entry, at time.Time) {
	k.Helper()
	found, err := s.Replay(k.Context(), humanhours.ReplayQuery{Org: e.Event.Org, Key: e.Key, Fingerprint: e.Fingerprint, At: at})
	if err != nil {
		k.Fatalf("Replay: %v", err)
	}
	if found.Found || found.Mismatch {
		k.Fatalf("Replay of a free key: Found %t (event %q), Mismatch %t", found.Found, found.Event.ID, found.Mismatch)
	}
	k.same("Replay of a free key", found.Event, humanhours.Event{})
}

// event reads one event; false if there is none.
func (k *kit) event(s humanhours.Store, org, id string) (humanhours.Event, bool) {
	k.Helper()
	e, ok, err := s.Event(k.Context(), org, id)
	if err != nil {
		k.Fatalf("Event: %v", err)
	}
	if !ok {
		k.same("Event of an unknown id", e, humanhours.Event{})
	}
	return e, ok
}

// stored checks that events are stored as they are.
func (k *kit) stored(s humanhours.Store, want ...humanhours.Event) {
	k.Helper()
	for _, w := range want {
		got, ok := k.event(s, w.Org, w.ID)
		if !ok {
			k.Fatalf("event %s of org %q is not stored", w.ID, w.Org)
		}
		k.same("Event", got, w)
	}
}

// absent checks that nothing of an entry is there: no event, by its id or in a list, and no key.
func (k *kit) absent(s humanhours.Store, e humanhours.Entry) {
	k.Helper()
	if _, ok := k.event(s, e.Event.Org, e.Event.ID); ok {
		k.Fatalf("event %q of org %q is stored, want nothing stored", e.Event.ID, e.Event.Org)
	}
	for _, order := range []humanhours.EventOrder{humanhours.ByOccurred, humanhours.ByReceived} {
		for _, got := range k.list(s, humanhours.EventQuery{Org: e.Event.Org, Order: order}) {
			if got.ID == e.Event.ID {
				k.Fatalf("event %q of org %q is listed, want nothing stored", e.Event.ID, e.Event.Org)
			}
		}
	}
	if e.Key != "" {
		k.free(s, e, e.At)
	}
}

// used checks the count of a month.
func (k *kit) used(s humanhours.Store, org string, at time.Time, want int64) {
	k.Helper()
	month := humanhours.MonthOf(at)
	got, err := s.Usage(k.Context(), org, month)
	if err != nil {
		k.Fatalf("Usage: %v", err)
	}
	if got != want {
		k.Fatalf("Usage of %q in %v is %d, want %d", org, month, got, want)
	}
}

// endless is where a list counts as one that never ends.
const endless = 100_000

// list reads all events of a query.
func (k *kit) list(s humanhours.Store, q humanhours.EventQuery) []humanhours.Event {
	k.Helper()
	var list []humanhours.Event
	for e, err := range s.Events(k.Context(), q) {
		if err != nil {
			k.Fatalf("Events: %v", err)
		}
		if list = append(list, e); len(list) == endless {
			k.Fatal("Events does not end")
		}
	}
	return list
}

// lists checks what a query yields, and in which order. Of the content it takes samples.
func (k *kit) lists(s humanhours.Store, q humanhours.EventQuery, want []humanhours.Event) {
	k.Helper()
	got := k.list(s, q)
	for i := range min(len(got), len(want)) {
		if got[i].ID != want[i].ID {
			k.Fatalf("Events %s: number %d is %s, want %s", describe(q), i, got[i].ID, want[i].ID)
		}
		if i == 0 || i == len(want)-1 {
			k.same("Events", got[i], want[i])
		}
	}
	if len(got) != len(want) {
		k.Fatalf("Events %s: %d events, want %d", describe(q), len(got), len(want))
	}
}

// describe prints a query without what is zero.
func describe(q humanhours.EventQuery) string {
	const layout = "2006-01-02T15:04:05.999999999Z07:00"
	parts := []string{fmt.Sprintf("of %q by occurred_at", q.Org)}
	if q.Order == humanhours.ByReceived {
		parts[0] = fmt.Sprintf("of %q by received_at", q.Org)
	}
	if q.Descending {
		parts = append(parts, "descending")
	}
	if !q.From.IsZero() {
		parts = append(parts, "from "+q.From.Format(layout))
	}
	if !q.To.IsZero() {
		parts = append(parts, "to "+q.To.Format(layout))
	}
	if !q.After.IsZero() {
		parts = append(parts, fmt.Sprintf("after (%s, %q)", q.After.At.Format(layout), q.After.ID))
	}
	if q.Limit != 0 {
		parts = append(parts, fmt.Sprintf("limit %d", q.Limit))
	}
	return strings.Join(parts, ", ")
}

// same checks that an event came back as it was given, field by field and byte by byte.
func (k *kit) same(what string, got, want humanhours.Event) {
	k.Helper()
	if d := diff("", reflect.ValueOf(got), reflect.ValueOf(want)); d != "" {
		k.Fatalf("%s is not the event that was stored: %s", what, d)
	}
	if !got.Equal(&want) && string(want.Metadata) == string(got.Metadata) { // metadata may be written another way
		k.Fatalf("%s is not byte for byte the event that was stored:\n got %s\nwant %s", what, got.AppendStored(nil), want.AppendStored(nil))
	}
}

// diff returns what differs, or "". Unlike reflect.DeepEqual it compares decimals by value, JSON as JSON and instants to
// the millisecond, and got must have them in UTC. Unlike Event.Equal it sees fields that the encoding forgets.
func diff(path string, got, want reflect.Value) string {
	differs := func() string { return fmt.Sprintf("%s is %v, want %v", path, got, want) }
	switch w := want.Interface().(type) {
	case decimal.Decimal:
		if g := got.Interface().(decimal.Decimal); !g.Equal(w) {
			return differs()
		}
		return ""
	case decimal.NullDecimal:
		if g := got.Interface().(decimal.NullDecimal); g.Valid != w.Valid || g.Valid && !g.Decimal.Equal(w.Decimal) {
			return differs()
		}
		return ""
	case humanhours.NullInt64:
		if g := got.Interface().(humanhours.NullInt64); g.Valid != w.Valid || g.Valid && g != w {
			return differs()
		}
		return ""
	case time.Time:
		g := got.Interface().(time.Time)
		if w = w.UTC().Truncate(time.Millisecond); !g.Equal(w) || g.Location().String() != "UTC" {
			return fmt.Sprintf("%s is %s, want %s", path, g.Format(time.RFC3339Nano), w.Format(time.RFC3339Nano))
		}
		return ""
	case json.RawMessage:
		if g := got.Interface().(json.RawMessage); !sameJSON(g, w) {
			return fmt.Sprintf("%s is %s, want %s", path, g, w)
		}
		return ""
	}
	switch want.Kind() {
	case reflect.Struct:
		for i := range want.NumField() {
			field := path + "." + want.Type().Field(i).Name
			if d := diff(strings.TrimPrefix(field, "."), got.Field(i), want.Field(i)); d != "" {
				return d
			}
		}
		return ""
	case reflect.Map:
		for _, name := range want.MapKeys() {
			field := fmt.Sprintf("%s[%q]", path, name)
			if !got.MapIndex(name).IsValid() {
				return field + " is missing"
			}
			if d := diff(field, got.MapIndex(name), want.MapIndex(name)); d != "" {
				return d
			}
		}
		if got.Len() != want.Len() {
			return differs()
		}
		return ""
	case reflect.Slice:
		if got.Len() != want.Len() {
			return differs()
		}
		for i := range want.Len() {
			if d := diff(fmt.Sprintf("%s[%d]", path, i), got.Index(i), want.Index(i)); d != "" {
				return d
			}
		}
		return ""
	}
	if !got.Equal(want) {
		return fmt.Sprintf("%s is %#v, want %#v", path, got, want)
	}
	return ""
}

// sameJSON reports whether a and b are the same JSON value: numbers by value, however large, objects in any order.
func sameJSON(a, b json.RawMessage) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	parse := func(raw json.RawMessage) (v any, ok bool) {
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		return v, d.Decode(&v) == nil
	}
	x, xOK := parse(a)
	y, yOK := parse(b)
	return xOK && yOK && sameValue(x, y)
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, xErr := decimal.NewFromString(a.String())
		y, yErr := decimal.NewFromString(b.String())
		return xErr == nil && yErr == nil && x.Equal(y)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name := range a {
			if other, ok := b[name]; !ok || !sameValue(a[name], other) {
				return false
			}
		}
		return true
	}
	return a == b
}

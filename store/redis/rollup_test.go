package redis_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/storetest"
)

// week is the name of the log that an event is in.
func week(e *humanhours.Event) string {
	return fmt.Sprint(e.OccurredAt.UnixMilli() / (7 * 24 * time.Hour).Milliseconds())
}

// Sums that are lost, damaged or older than the events are made anew: a report is never about less than there is.
func TestSumsThatAreWrongAreMadeAnew(t *testing.T) {
	ctx := t.Context()
	c := redistest.Start(t).Client(t)
	for name, harm := range map[string]func(t *testing.T, base, log string){
		"the log is gone": func(t *testing.T, _, log string) { require.NoError(t, c.Del(ctx, log).Err()) },
		"the log was cut": func(t *testing.T, _, log string) {
			require.NoError(t, c.Set(ctx, log, c.GetRange(ctx, log, 0, 100).Val(), 0).Err())
		},
		"the log is something": func(t *testing.T, _, log string) { require.NoError(t, c.Set(ctx, log, "something else", 0).Err()) },
		"the log is a part": func(t *testing.T, _, log string) {
			size := 4 + int64(c.GetRange(ctx, log, 3, 3).Val()[0]) + 256*int64(c.GetRange(ctx, log, 2, 2).Val()[0])
			require.NoError(t, c.Set(ctx, log, c.GetRange(ctx, log, size, -1).Val(), 0).Err())
		},
		"the counts are gone": func(t *testing.T, base, _ string) { require.NoError(t, c.Del(ctx, base+":s").Err()) },
		"both are gone":       func(t *testing.T, base, log string) { require.NoError(t, c.Del(ctx, base+":s", log).Err()) },
		"an older release has stored an event": func(t *testing.T, base, log string) {
			require.NoError(t, c.HIncrBy(ctx, base+":s", log[strings.LastIndex(log, ":")+1:], -1).Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := fresh()
			s := open(t, c, prefix)
			var events []humanhours.Event
			for i := range 60 {
				e := storetest.Entry("acme", i)
				e.Event.OccurredAt = e.Event.OccurredAt.Add(time.Duration(i) * 9 * time.Hour)
				got := s.Append(ctx, []humanhours.Entry{e})[0]
				require.NoError(t, got.Err)
				events = append(events, *got.Event)
			}
			requireSums(t, s, "acme", events)
			base := prefix + "{acme}"
			harm(t, base, base+":s:"+week(&events[0]))
			requireSums(t, s, "acme", events)
			requireSums(t, s, "acme", events)
		})
	}
}

// A release before sums voids events without a word to them.
func TestAmendmentsOfAnOlderReleaseCount(t *testing.T) {
	ctx := t.Context()
	c, prefix := redistest.Start(t).Client(t), fresh()
	s := open(t, c, prefix)
	got := s.Append(ctx, []humanhours.Entry{storetest.Entry("acme", 1)})[0]
	require.NoError(t, got.Err)
	log, base := week(got.Event), prefix+"{acme}"
	before := c.Get(ctx, base+":s:"+log).Val()
	at := got.Event.ReceivedAt
	amended, err := s.Amend(ctx, humanhours.AmendQuery{
		Org: "acme", ID: got.Event.ID, Amendment: humanhours.Amendment{Kind: humanhours.AmendVoid, At: at}, Change: humanhours.Change{At: at},
	})
	require.NoError(t, err)
	require.True(t, amended.Stored)
	// As if this had not been done:
	require.NoError(t, c.Set(ctx, base+":s:"+log, before, 0).Err())
	require.NoError(t, c.HDel(ctx, base+":s", "v").Err())
	for range 2 {
		var sum humanhours.Rollup
		for r, err := range s.Rollups(ctx, humanhours.RollupQuery{Org: "acme", By: humanhours.ByAgent}) {
			require.NoError(t, err)
			sum.Events, sum.Voided = sum.Events+r.Events, sum.Voided+r.Voided
		}
		require.EqualValues(t, 0, sum.Events)
		require.EqualValues(t, 1, sum.Voided)
		require.Equal(t, "1", c.HGet(ctx, base+":s", "v").Val())
	}
}

// A log is written anew, shorter, while events come; nothing of it is lost.
func TestLogsOfSumsAreMerged(t *testing.T) {
	ctx := context.Background()
	c, prefix := redistest.Start(t).Client(t), fresh()
	s := open(t, c, prefix)
	var events []humanhours.Event
	const batches, each = 60, 200
	for i := range batches {
		for _, got := range s.Append(ctx, entries(i*each, each)) {
			require.NoError(t, got.Err)
			events = append(events, *got.Event)
		}
	}
	requireSums(t, s, "acme", events)
	log := prefix + "{acme}:s:" + week(&events[0])
	redistest.Eventually(t, func() error { // beside the appends
		size := c.StrLen(ctx, log).Val()
		if size > 3*64<<10 {
			return fmt.Errorf("%d bytes of sums for %d events of a few hours", size, len(events))
		}
		return nil
	})
	require.NoError(t, s.Close())
	require.NotEqual(t, "", c.HGet(ctx, prefix+"{acme}:s", "g"+week(&events[0])).Val(), "the log was never merged")
}

// A log is merged also where every call has something to say besides, and where nothing but amendments comes.
func TestLogsOfReplaysAndAmendmentsAreMerged(t *testing.T) {
	ctx := t.Context()
	c, prefix := redistest.Start(t).Client(t), fresh()
	s := open(t, c, prefix)
	const batches, each = 400, 32
	for i := range batches {
		batch := entries(i*each, each)
		batch[0].Key = "the same"
		batch[0].At = batch[0].Event.ReceivedAt
		for _, got := range s.Append(ctx, batch) {
			require.NoError(t, got.Err)
		}
	}
	e := entries(1, 1)[0].Event
	log := prefix + "{acme}:s:" + week(&e)
	short := func() {
		t.Helper()
		redistest.Eventually(t, func() error {
			if size := c.StrLen(ctx, log).Val(); size > 2*64<<10 {
				return fmt.Errorf("%d bytes of sums", size)
			}
			return nil
		})
	}
	short()
	var events []humanhours.Event
	for e, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
		require.NoError(t, err)
		events = append(events, e)
	}
	requireSums(t, s, "acme", events)
}

// Sums keep no event out: where a log can become no longer, reports read events.
func TestLogsThatAreFullKeepNothingOut(t *testing.T) {
	ctx := t.Context()
	server := redistest.Start(t)
	c, prefix := server.Client(t), fresh()
	s := open(t, c, prefix)
	server.Must(t, "CONFIG", "SET", "proto-max-bulk-len", 1<<20)
	const batches, each = 150, 64
	for i := range batches {
		batch := entries(i*each, each)
		for j := range batch {
			batch[j].Event.Model = fmt.Sprintf("%0190d", i*each+j)
			batch[j].Event.AgentID = fmt.Sprintf("%0190d", i*each+j)
		}
		for _, got := range s.Append(ctx, batch) {
			require.NoError(t, got.Err)
		}
	}
	used, err := s.Usage(ctx, "acme", humanhours.MonthOf(entries(0, 1)[0].At))
	require.NoError(t, err)
	require.EqualValues(t, batches*each, used)
	require.LessOrEqual(t, c.StrLen(ctx, prefix+"{acme}:s:"+week(&entries(0, 1)[0].Event)).Val(), int64(1<<20))
	tracker, err := humanhours.New(s, humanhours.Config{})
	require.NoError(t, err)
	report, err := tracker.Report(ctx, humanhours.Caller{Org: "acme"}, humanhours.ReportQuery{GroupBy: []humanhours.Dimension{humanhours.ByOutcome}})
	require.NoError(t, err)
	require.EqualValues(t, batches*each, report.Totals[0].Events)
}

// A report beside Close leaves nothing behind that goes on.
func TestReportsBesideClose(t *testing.T) {
	ctx := t.Context()
	c := redistest.Start(t).Client(t)
	for range 10 {
		s := open(t, c, fresh())
		for i := range 40 {
			for _, got := range s.Append(ctx, entries(i*64, 64)) {
				require.NoError(t, got.Err)
			}
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 5 {
					for _, err := range s.Rollups(ctx, humanhours.RollupQuery{Org: "acme", By: humanhours.ByAgent}) {
						if err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		require.NoError(t, s.Close())
		all.Wait()
	}
}

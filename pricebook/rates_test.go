package pricebook

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// ecb writes a file as the European Central Bank does, of days such as "2026-11-24 USD=1.08 JPY=160".
func ecb(days ...string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
	<gesmes:subject>Reference rates</gesmes:subject><gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
	<Cube>`)
	for _, day := range days {
		fields := strings.Fields(day)
		fmt.Fprintf(&b, "\n\t\t<Cube time='%s'>", fields[0])
		for _, rate := range fields[1:] {
			code, value, _ := strings.Cut(rate, "=")
			fmt.Fprintf(&b, "\n\t\t\t<Cube currency='%s' rate='%s'/>", code, value)
		}
		b.WriteString("\n\t\t</Cube>")
	}
	return b.String() + "\n\t</Cube>\n</gesmes:Envelope>"
}

const tuesday = "2026-11-24 USD=1.0823 JPY=163.5 GBP=0.8321 CHF=0.93 SEK=11.4 KRW=1470.123"

func newRates(t testing.TB, c RatesConfig) (*RateBook, *journal) {
	t.Helper()
	j := &journal{}
	if c.Clock == nil {
		c.Clock = func() time.Time { return today }
	}
	c.Logger, c.OnRefresh = j.logger(), j.report
	b, err := NewRates(c)
	require.NoError(t, err)
	return b, j
}

// rate returns a rate and its day; "" if there is none.
func rate(t testing.TB, b humanhours.Rates, from, to string, at time.Time) string {
	t.Helper()
	r, ok, err := b.Rate(t.Context(), from, to, at)
	require.NoError(t, err)
	if !ok {
		require.Zero(t, r)
		return ""
	}
	require.Equal(t, []string{from, to}, []string{r.From, r.To})
	require.NotEmpty(t, r.Source)
	return r.Rate.String() + " of " + r.Date.Format(time.DateOnly)
}

func date(s string) time.Time {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return d
}

func TestSnapshotRates(t *testing.T) {
	table := SnapshotRates()
	book, _ := newRates(t, RatesConfig{}) // a book without a refresh answers with it too
	require.Equal(t, table.Date(), book.Info().Date)
	require.Equal(t, table.Date(), book.Info().Fetched)
	for _, b := range []humanhours.Rates{table, book} {
		for _, tc := range []struct{ from, to, want string }{
			{"USD", "EUR", "0.88022588"}, {"USD", "JPY", "157.47729333"}, {"EUR", "USD", "1.136072027330076"}, {"EUR", "GBP", "0.858175790059706"},
		} {
			for _, at := range []time.Time{{}, today} {
				require.Equal(t, tc.want+" of 2026-09-29", rate(t, b, tc.from, tc.to, at), "%s to %s", tc.from, tc.to)
			}
		}
		for _, pair := range [][2]string{{"USD", "XXX"}, {"XXX", "EUR"}, {"usd", "EUR"}} {
			require.Empty(t, rate(t, b, pair[0], pair[1], today))
		}
	}
}

// TestRatesOfTheDay: Friday and Monday are known, and the embedded table of September.
func TestRatesOfTheDay(t *testing.T) {
	s := newSite(t)
	s.say(ecb("2026-11-23 USD=1.20 JPY=150", "2026-11-20 USD=1.0823 JPY=163.5 ISK=140"))
	b, _ := newRates(t, RatesConfig{URL: s.URL})
	r := refresh(t, b)
	require.Equal(t, 2, r.New)
	require.Equal(t, Info{Source: "ecb", Version: r.Info.Version, Date: date("2026-11-23"), Fetched: today, Models: 3}, b.Info())
	require.Zero(t, b.Age())
	for _, tc := range []struct {
		name, from, to, at, want string
	}{
		{"from EUR exactly as published", "EUR", "USD", "2026-11-20T10:00:00Z", "1.0823 of 2026-11-20"},
		{"to EUR", "USD", "EUR", "2026-11-20T10:00:00Z", "0.923958237087684 of 2026-11-20"},
		{"a cross rate", "USD", "JPY", "2026-11-23T10:00:00Z", "125 of 2026-11-23"},
		{"Saturday is Friday", "EUR", "USD", "2026-11-21T00:00:00Z", "1.0823 of 2026-11-20"},
		{"Sunday is Friday", "EUR", "USD", "2026-11-22T23:59:59.999Z", "1.0823 of 2026-11-20"},
		{"Monday from its first instant", "EUR", "USD", "2026-11-23T00:00:00Z", "1.2 of 2026-11-23"},
		{"the day is of UTC", "EUR", "USD", "2026-11-23T01:00:00+02:00", "1.0823 of 2026-11-20"},
		{"today is the last day", "EUR", "USD", "2026-11-25T10:00:00Z", "1.2 of 2026-11-23"},
		{"before them the embedded table", "USD", "EUR", "2026-11-19T23:59:59Z", "0.88022588 of 2026-09-29"},
		{"before all the oldest", "USD", "EUR", "2020-01-01T00:00:00Z", "0.88022588 of 2026-09-29"},
		{"a currency that the day lacks", "EUR", "ISK", "2026-11-24T00:00:00Z", "140 of 2026-11-20"},
		{"a currency of later days only", "EUR", "ISK", "2026-10-01T00:00:00Z", "140 of 2026-11-20"},
		{"a currency of the embedded table only", "EUR", "GBP", "2026-11-24T00:00:00Z", "0.858175790059706 of 2026-09-29"},
		{"an unknown one", "EUR", "XXX", "2026-11-24T00:00:00Z", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, tc.at)
			require.NoError(t, err)
			require.Equal(t, tc.want, rate(t, b, tc.from, tc.to, at))
		})
	}
}

func TestBadRatesKeepTheLastGoodOnes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"500", bodyOf(500, ""), "status 500"},
		{"HTML", bodyOf(200, "<!DOCTYPE html><html><body><p>Wait</p></body></html>"), `starts with "<!DOCTYPE html>`},
		{"JSON", bodyOf(200, `{"rates":{"USD":1}}`), `start with "{\"rates\"`},
		{"empty", bodyOf(200, ""), "cut off or not XML"},
		{"cut off", bodyOf(200, ecb(tuesday)[:400]), "cut off or not XML"},
		{"no days", bodyOf(200, ecb()), "no rates"},
		{"no rates", bodyOf(200, ecb("2026-11-25")), "no rates"},
		{"no numbers", bodyOf(200, ecb("2026-11-25 USD=n/a JPY=-1 GBP=0 CHF=1e999999999 SEK=")), "no rates"},
		{"no day", bodyOf(200, ecb(strings.Replace(tuesday, "2026-11-24", "tomorrow", 1))), "no day"},
		{"too far ahead", bodyOf(200, ecb(strings.Replace(tuesday, "2026-11-24", "2026-11-28", 1))), "in the future"},
		{"a day twice", bodyOf(200, ecb(tuesday, tuesday)), "twice"},
		{"shrunk by more than a third", bodyOf(200, ecb("2026-11-25 USD=1.0823 JPY=163.5 GBP=0.8321")), "shrank to 4 currencies from 7"},
		{"another currency", bodyOf(200, ecb("2026-11-25 USD=0.0066 JPY=1.5 GBP=0.0051 CHF=0.0057 SEK=0.07 KRW=9")), "jumped"},
		{"too large", bodyOf(200, ecb(tuesday)+strings.Repeat(" ", 5000)), "larger than 5000 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			s.say(ecb(tuesday))
			now := today
			b, j := newRates(t, RatesConfig{URL: s.URL, MaxBytes: 5000, Clock: func() time.Time { return now }})
			refresh(t, b)
			before := b.Info()
			s.set(tc.answer)
			now = now.Add(time.Hour)
			r, err := b.Refresh(t.Context())
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, before, b.Info())
			require.Equal(t, before, r.Info)
			require.Equal(t, time.Hour, b.Age())
			require.Equal(t, "1.0823 of 2026-11-24", rate(t, b, "EUR", "USD", now))
			require.Equal(t, r, j.last(t))
			require.Contains(t, j.logged(), "level=ERROR")
		})
	}
}

// TestSingleRatesAreHeldBack: the rest of the day is taken, and the currency keeps its last good rate.
func TestSingleRatesAreHeldBack(t *testing.T) {
	for _, tc := range []struct{ name, krw, held, want string }{
		{"up by 100x", "KRW=147012.3", "", "147012.3 of 2026-11-25"},
		{"up by more", "KRW=147012.4", "jumped from 1470.123 to 147012.4", "1470.123 of 2026-11-24"},
		{"down by more", "KRW=14.7", "jumped", "1470.123 of 2026-11-24"},
		{"zero", "KRW=0", "no clear rate", "1470.123 of 2026-11-24"},
		{"negative", "KRW=-1470", "no clear rate", "1470.123 of 2026-11-24"},
		{"text", "KRW=N/A", "no clear rate", "1470.123 of 2026-11-24"},
		{"twice, differing", "KRW=1470 KRW=1471", "no clear rate", "1470.123 of 2026-11-24"},
		{"twice, alike", "KRW=1470 KRW=1470.0", "", "1470 of 2026-11-25"},
		{"no currency", "won=1470", "no currency", "1470.123 of 2026-11-24"},
		{"gone", "", "", "1470.123 of 2026-11-24"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			s.say(ecb(tuesday))
			b, j := newRates(t, RatesConfig{URL: s.URL})
			refresh(t, b)
			s.say(ecb("2026-11-25 USD=1.09 JPY=163.5 GBP=0.8321 CHF=0.93 SEK=11.4 " + tc.krw))
			r := refresh(t, b)
			require.True(t, r.Changed)
			require.Equal(t, 1, r.New)
			require.Equal(t, "1.09 of 2026-11-25", rate(t, b, "EUR", "USD", today))
			require.Equal(t, tc.want, rate(t, b, "EUR", "KRW", today))
			if tc.held == "" {
				require.Empty(t, r.Held)
				return
			}
			require.Len(t, r.Held, 1)
			require.Contains(t, r.Held[0].Reason, tc.held)
			require.Contains(t, j.logged(), "held back")
		})
	}
	// Two days ahead is not the future.
	ahead := newSite(t)
	ahead.say(ecb(strings.Replace(tuesday, "2026-11-24", "2026-11-27", 1)))
	early, _ := newRates(t, RatesConfig{URL: ahead.URL})
	require.Equal(t, 1, refresh(t, early).New)
	// The embedded table is what a first refresh is held against.
	s := newSite(t)
	s.say(ecb("2026-11-25 USD=1.09 JPY=163.5 GBP=0.8321 CHF=93000"))
	b, _ := newRates(t, RatesConfig{URL: s.URL})
	require.Len(t, refresh(t, b).Held, 1)
	require.Equal(t, "2026-09-29", strings.Fields(rate(t, b, "EUR", "CHF", today))[2])
}

// TestRatesAreMergedAndKept: every day that was ever seen answers, also after a restart; 400 of them.
func TestRatesAreMergedAndKept(t *testing.T) {
	s := newSite(t)
	file := filepath.Join(t.TempDir(), "rates.json")
	now := today
	c := RatesConfig{URL: s.URL, File: file, Clock: func() time.Time { return now }}
	b, _ := newRates(t, c)
	s.say(ecb(tuesday))
	refresh(t, b)
	s.say(ecb(strings.NewReplacer("2026-11-24", "2026-11-20", "1.0823", "1.07").Replace(tuesday))) // an older day comes later
	r := refresh(t, b)
	require.Equal(t, 1, r.New)
	require.Empty(t, r.Held)
	require.Equal(t, date("2026-11-24"), r.Info.Date)
	s.say(ecb(strings.Replace(tuesday, "1.0823", "1.0824", 1))) // a correction
	r = refresh(t, b)
	require.Equal(t, Report{At: today, Changed: true, Info: b.Info(), Repriced: 1}, r)
	require.Equal(t, Report{At: today, Info: b.Info()}, refresh(t, b))

	again, _ := newRates(t, c)
	require.Equal(t, b.Info(), again.Info())
	for _, b := range []*RateBook{b, again} {
		require.Equal(t, "1.0824 of 2026-11-24", rate(t, b, "EUR", "USD", today))
		require.Equal(t, "1.07 of 2026-11-20", rate(t, b, "EUR", "USD", date("2026-11-23")))
	}
	// A base of a later release does not cost the days.
	later := SnapshotRates()
	later.date = date("2027-01-01")
	again, _ = newRates(t, RatesConfig{URL: s.URL, File: file, Base: later})
	require.Equal(t, "1.0824 of 2026-11-24", rate(t, again, "EUR", "USD", today))
	require.Equal(t, "2027-01-01", strings.Fields(rate(t, again, "EUR", "USD", date("2027-01-02")))[2])

	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	for name, broken := range map[string]string{
		"cut": string(kept[:len(kept)/2]), "empty": "", "negative": strings.Replace(string(kept), "1.07", "-1", 1), "no day": strings.Replace(string(kept), `"2026-11-20":`, `"soon":`, 1),
		"of another currency": strings.Replace(string(kept), `"base":"EUR"`, `"base":"USD"`, 1),
	} {
		require.NoError(t, os.WriteFile(file, []byte(broken), 0o600))
		b, j := newRates(t, c)
		require.Equal(t, SnapshotRates().Date(), b.Info().Date, name)
		require.Contains(t, j.logged(), "level=WARN", name)
	}

	var days []string
	for i := range 450 {
		days = append(days, strings.Replace(tuesday, "2026-11-24", today.AddDate(0, 0, -i).Format(time.DateOnly), 1))
	}
	s.say(ecb(days...))
	r = refresh(t, b)
	require.Len(t, b.feed.edition().days, 400)
	require.Equal(t, today.AddDate(0, 0, -399).Format(time.DateOnly), b.feed.edition().days[0].date.Format(time.DateOnly))
	require.Equal(t, date("2026-11-25"), r.Info.Date)
	kept, err = os.ReadFile(file)
	require.NoError(t, err)
	again, _ = newRates(t, c)
	require.Equal(t, string(kept), string(again.feed.edition().encode()))
	require.Equal(t, b.Info(), again.Info())
}

// TestManyDaysOfRates: a whole history, or what pretends to be one, is read in its time, and the latest days are kept.
func TestManyDaysOfRates(t *testing.T) {
	s := newSite(t)
	days := make([]string, 20_000)
	for i := range days {
		days[i] = today.AddDate(0, 0, -i).Format(time.DateOnly) + " USD=1.08 JPY=163 GBP=0.83"
	}
	s.say(ecb(days...))
	b, _ := newRates(t, RatesConfig{URL: s.URL})
	r, err := b.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, maxDays, r.New, "and not all of them were merged first")
	require.Equal(t, "0.925925925925926 of "+today.AddDate(0, 0, -1).Format(time.DateOnly), rate(t, b, "USD", "EUR", today.AddDate(0, 0, -1)))
}

// TestRatesOfAFeedThatStandsStill are refused, however well they read.
func TestRatesOfAFeedThatStandsStill(t *testing.T) {
	s := newSite(t)
	b, _ := newRates(t, RatesConfig{URL: s.URL})
	for age, ok := range map[int]bool{30: true, 32: false, 9000: false} {
		s.say(ecb(today.AddDate(0, 0, -age).Format(time.DateOnly) + strings.TrimPrefix(tuesday, "2026-11-24")))
		_, err := b.Refresh(t.Context())
		require.Equal(t, ok, err == nil, "%d days: %v", age, err)
	}
}

// TestAFileOfRatesThatWasChanged is not believed, and one of before the embedded table was renewed is.
func TestAFileOfRatesThatWasChanged(t *testing.T) {
	s := newSite(t)
	s.say(ecb(tuesday))
	file := filepath.Join(t.TempDir(), "rates.json")
	b, _ := newRates(t, RatesConfig{URL: s.URL, File: file})
	_, err := b.Refresh(t.Context())
	require.NoError(t, err)
	newer := *SnapshotRates()
	newer.date = newer.date.AddDate(0, 0, 20)
	again, j := newRates(t, RatesConfig{URL: s.URL, File: file, Base: &newer})
	require.Equal(t, "1.0823 of 2026-11-24", rate(t, again, "EUR", "USD", today), j.logged())

	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(data), "1.0823", "10823", 1)), 0o600))
	changed, j := newRates(t, RatesConfig{URL: s.URL, File: file})
	require.Equal(t, SnapshotRates().Date(), changed.Info().Date)
	require.Contains(t, j.logged(), "but the days are those of")
}

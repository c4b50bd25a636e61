package pricebook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// bodyOf answers with a status and a body.
func bodyOf(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// TestBadFeedsKeepTheLastGoodBook: each leaves the edition, its age and its file as they were, and says what is wrong.
func TestBadFeedsKeepTheLastGoodBook(t *testing.T) {
	base := list(append(nine("0.000001"), model("m", `"prompt":"0.000002","completion":"0.00001"`))...)
	every := func(pricing string) string {
		var rows []string
		for i := range 10 {
			rows = append(rows, model(fmt.Sprint("filler/", i), pricing))
		}
		return list(rows...)
	}
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // part of the error
	}{
		{"500", bodyOf(500, base), "status 500"},
		{"404", bodyOf(404, base), "status 404"},
		{"204", bodyOf(204, ""), "status 204"},
		{"206", bodyOf(206, base), "status 206"},
		{"304 that nobody asked for", bodyOf(304, ""), "status 304"},
		{"redirects without end", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "stopped after 10 redirects"},
		{"HTML", bodyOf(200, "<!DOCTYPE html><html><body>Just a moment</body></html>"), `not a JSON object: it starts with "<!DOCTYPE html>`},
		{"empty", bodyOf(200, ""), "empty"},
		{"spaces", bodyOf(200, " \n"), "empty"},
		{"cut off", bodyOf(200, base[:len(base)/2]), "cut off after"},
		{"cut off, and the header knows", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(base)))
			_, _ = io.WriteString(w, base[:len(base)/2])
		}, "broke off after"},
		{"dropped", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		{"a list", bodyOf(200, "[]"), "not a JSON object"},
		{"null", bodyOf(200, "null"), "no models"},
		{"data after it", bodyOf(200, base+"{}"), "not JSON"},
		{"nothing in it", bodyOf(200, `{}`), "no models"},
		{"an error", bodyOf(200, `{"error":{"code":429}}`), "no models"},
		{"no models", bodyOf(200, `{"data":[]}`), "no models"},
		{"no list", bodyOf(200, `{"data":{"id":"m"}}`), "no listing"},
		{"no ids", bodyOf(200, list(strings.Repeat(`{"pricing":{}},`, 9)+`1`)), "no models"},
		{"shrunk by more than a third", bodyOf(200, list(nine("0.000001")[:6]...)), "shrank to 6 models from 10"},
		{"incomplete", bodyOf(200, strings.Replace(base, `]}`, `],"total_count":11}`, 1)), "incomplete: it has 10 of the 11"},
		{"pricing absent everywhere", bodyOf(200, strings.ReplaceAll(every(""), `,"pricing":{}`, "")), "cannot be believed"},
		{"pricing null everywhere", bodyOf(200, strings.ReplaceAll(every(""), "{}", "null")), "cannot be believed"},
		{"negative everywhere", bodyOf(200, every(`"prompt":"-2","completion":"1"`)), "cannot be believed"},
		{"another unit", bodyOf(200, every(`"prompt":"1","completion":"10"`)), "cannot be believed, such as that of \"filler/8\", which jumped from 0.000001 to 1 per unit of prompt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			s.set(tc.answer)
			file := filepath.Join(t.TempDir(), "prices.json")
			now := today.Add(time.Hour)
			b, j := newBook(t, Config{URL: s.URL, Base: good(t, base), File: file, Clock: func() time.Time { return now }})
			before := b.Info()
			r, err := b.Refresh(t.Context())
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, err, r.Err)
			require.Equal(t, before, b.Info())
			require.Equal(t, before, r.Info)
			require.False(t, r.Changed)
			require.Equal(t, now.Sub(before.Fetched), b.Age(), "what was refused renews nothing")
			require.Equal(t, "0.000002", input(t, b, "m"))
			require.Equal(t, r, j.last(t))
			require.Contains(t, j.logged(), "level=ERROR")
			require.NoFileExists(t, file)

			// A feed that is well again is taken.
			s.say(strings.Replace(base, "0.000002", "0.000003", 1))
			require.True(t, refresh(t, b).Changed)
			require.Equal(t, "0.000003", input(t, b, "m"))
		})
	}
}

func TestUnreachableAtBoot(t *testing.T) {
	s := newSite(t)
	s.Close()
	b, j := newBook(t, Config{URL: s.URL})
	_, err := b.Refresh(t.Context())
	require.Error(t, err)
	require.Equal(t, "0.000003", input(t, b, "anthropic/claude-sonnet-4.5"))
	require.Equal(t, Snapshot().Info(), b.Info())
	require.Error(t, j.last(t).Err)
}

// zeros is a body of a gigabyte that nobody has in memory.
type zeros struct{ read, closed atomic.Int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.read.Load() >= 1<<30 {
		return 0, io.EOF
	}
	clear(p)
	z.read.Add(int64(len(p)))
	return len(p), nil
}

func (z *zeros) Close() error { z.closed.Add(1); return nil }

func TestABodyOfAGigabyte(t *testing.T) {
	for _, tc := range []struct {
		name          string
		length, limit int64
		most          int64
	}{
		{"of unknown length", -1, 0, defaultMaxBytes + 4096},
		{"of unknown length, another cap", -1, 1 << 20, 1<<20 + 4096},
		{"that says so", 1 << 30, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := &zeros{}
			client := &http.Client{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, ContentLength: tc.length, Body: body}, nil
			})}
			b, _ := newBook(t, Config{Client: client, MaxBytes: tc.limit})
			_, err := b.Refresh(t.Context())
			require.ErrorContains(t, err, "larger than")
			require.LessOrEqual(t, body.read.Load(), tc.most)
			require.EqualValues(t, 1, body.closed.Load())
			require.Equal(t, Snapshot().Info(), b.Info())
		})
	}
}

// TestTheCapIsExact: a body as large as the cap is read.
func TestTheCapIsExact(t *testing.T) {
	s := newSite(t)
	body := list(nine("0.000001")...)
	s.say(body)
	for limit, ok := range map[int]bool{len(body): true, len(body) - 1: false} {
		b, _ := newBook(t, Config{URL: s.URL, Base: &Static{}, MaxBytes: int64(limit)})
		_, err := b.Refresh(t.Context())
		require.Equal(t, ok, err == nil, err)
	}
}

// TestSingleRowsAreHeldBack: the rest of the feed is taken.
func TestSingleRowsAreHeldBack(t *testing.T) {
	base := good(t, list(append(nine("0.000001"),
		model("m", `"prompt":"0.000002","completion":"0.00001","image":"0.1","overrides":[{"min_prompt_tokens":5,"prompt":"0.000004"}]`),
		model("free", `"prompt":"0","completion":"0"`), model("auto", `"prompt":"-1","completion":"-1"`))...))
	for _, tc := range []struct {
		name, row, model string
		held             string // part of the reason; "" if the row is taken
		want             string // the price of input then
	}{
		{"up by 100x", model("m", `"prompt":"0.0002","completion":"0.00001"`), "m", "", "0.0002"},
		{"up by more than 100x", model("m", `"prompt":"0.00020001","completion":"0.00001"`), "m", "jumped from 0.000002 to 0.00020001 per unit of prompt", "0.000002"},
		{"down by 100x", model("m", `"prompt":"0.00000002","completion":"0.00001"`), "m", "", "0.00000002"},
		{"down by more than 100x", model("m", `"prompt":"0.000000019999","completion":"0.00001"`), "m", "jumped", "0.000002"},
		{"output", model("m", `"prompt":"0.000003","completion":"1"`), "m", "per unit of completion", "0.000002"},
		{"another bucket", model("m", `"prompt":"0.000003","completion":"0.00001","image":"11"`), "m", "per unit of image", "0.000002"},
		{"a bucket goes", model("m", `"prompt":"0.000003","completion":"0.00001"`), "m", "", "0.000003"},
		{"a bucket comes", model("m", `"prompt":"0.000003","completion":"0.00001","audio":"0.00001","input_cache_read":"0"`), "m", "", "0.000003"},
		{"a bucket comes, dearer than input by far", model("m", `"prompt":"0.000003","completion":"0.00001","audio":"5"`), "m", "per unit of audio", "0.000002"},
		{"a price of reasoning comes", model("m", `"prompt":"0.000003","completion":"0.00001","internal_reasoning":"0.00002"`), "m", "", "0.000003"},
		{"reasoning was as dear as output", model("m", `"prompt":"0.000003","completion":"0.00001","internal_reasoning":"5"`), "m", "per unit of internal_reasoning", "0.000002"},
		{"a request was free", model("m", `"prompt":"0.000003","completion":"0.00001","request":"500"`), "m", "jumped from 0 to 500 per unit of request", "0.000002"},
		{"by a discount", model("m", `"prompt":"0.000002","completion":"0.00001","discount":"0.999"`), "m", "jumped", "0.000002"},
		{"in a tier", model("m", `"prompt":"0.000003","completion":"0.00001","overrides":[{"min_prompt_tokens":5,"prompt":"0.004"}]`), "m",
			`per unit of prompt {"min_prompt_tokens":5}`, "0.000002"},
		{"in a tier that is new", model("m", `"prompt":"0.000003","completion":"0.00001","overrides":[{"min_prompt_tokens":6,"prompt":"0.00004"}]`), "m", "", "0.000003"},
		{"in a tier that is new, by far", model("m", `"prompt":"0.000003","completion":"0.00001","overrides":[{"min_prompt_tokens":6,"prompt":"0.004"}]`), "m",
			`per unit of prompt {"min_prompt_tokens":6}`, "0.000002"},
		{"in an override that always holds", model("m", `"prompt":"0.000003","completion":"0.00001","overrides":[{"prompt":"0.9"}]`), "m", "jumped from 0.000002 to 0.9", "0.000002"},
		{"too many overrides", model("m", `"prompt":"0.000003","completion":"0.00001","overrides":[{}`+strings.Repeat(",{}", 100)+`]`), "m", "has 101 overrides", "0.000002"},
		{"an alias of something else", `{"id":"m","alias_target":{"slug":"dear"},"pricing":{"prompt":"0.000003","completion":"0.00001"}},` +
			model("dear", `"prompt":"0.9","completion":"0.9"`), "m", "jumped from 0.000002 to 0.9", "0.000002"},
		{"to zero", model("m", `"prompt":"0","completion":"0"`), "m", "jumped from 0.000002 to 0", "0.000002"},
		{"from zero", model("free", `"prompt":"0.0000001","completion":"0"`), "free", "jumped from 0 to", "0"},
		{"to dynamic", model("m", `"prompt":"-1","completion":"-1"`), "m", "", ""},
		{"from dynamic", model("auto", `"prompt":"5","completion":"5"`), "auto", "", "5"},
		{"pricing absent", `{"id":"m"}`, "m", "has no pricing", "0.000002"},
		{"pricing null", `{"id":"m","pricing":null}`, "m", "has no pricing", "0.000002"},
		{"pricing a list", `{"id":"m","pricing":[1]}`, "m", "has no pricing", "0.000002"},
		{"negative", model("m", `"prompt":"-0.1","completion":"1"`), "m", "prompt is negative", "0.000002"},
		{"no number", model("m", `"prompt":"n/a","completion":"1"`), "m", `prompt is "n/a", which is no price`, "0.000002"},
		{"faulty and dynamic before", model("auto", `"prompt":"","completion":"1"`), "auto", "has no price for prompt", ""},
		{"twice, differing", model("m", `"prompt":"0.000002","completion":"0.00001"`) + "," + model("m", `"prompt":"0.000003","completion":"0.00001"`), "m", "more than once", "0.000002"},
		{"twice, alike", model("m", `"prompt":"0.000003","completion":"0.00001"`) + "," + model("m", `"completion":1e-5,"prompt":"0.0000030"`), "m", "", "0.000003"},
		{"new and faulty", model("new", `"prompt":"n/a","completion":"1"`), "new", "no price", ""},
		{"new", model("new", `"prompt":"3","completion":"1"`), "new", "", "3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			rows := append(nine("0.0000011"), tc.row)
			for _, other := range []string{"m", "free", "auto"} {
				if other != tc.model {
					rows = append(rows, `{"id":"`+other+`","pricing":`+base.rows[other].text+`}`)
				}
			}
			s.say(list(rows...))
			file := filepath.Join(t.TempDir(), "prices.json")
			now := today.AddDate(0, 0, 1)
			b, j := newBook(t, Config{URL: s.URL, Base: base, File: file, Clock: func() time.Time { return now }})
			r := refresh(t, b)
			require.True(t, r.Changed)
			require.Equal(t, "0.0000011", input(t, b, "filler/3"), "the rest is taken")
			reopened, _ := newBook(t, Config{URL: s.URL, Base: base, File: file})
			for _, b := range []*Book{b, reopened} {
				q := quote(t, b, humanhours.PriceQuery{Model: tc.model, At: today})
				require.Equal(t, tc.want, text(q.Price.Input))
				if tc.held != "" && q.Unpriced == "" {
					require.Equal(t, base.Info().Version, q.Price.Version, "a row that was held back says which edition it is from")
					require.True(t, base.Info().Date.Equal(q.Price.Date))
				} else if q.Unpriced == "" {
					require.Equal(t, b.Info().Version, q.Price.Version)
				}
			}
			if tc.held == "" {
				require.Empty(t, r.Held)
				return
			}
			require.Len(t, r.Held, 1)
			require.Equal(t, tc.model, r.Held[0].Model)
			require.Contains(t, r.Held[0].Reason, tc.held)
			require.Contains(t, j.logged(), "held back")
		})
	}
}

// TestAPriceDoesNotJumpByADetour: away for a refresh, or for many, and back at another price.
func TestAPriceDoesNotJumpByADetour(t *testing.T) {
	for name, detour := range map[string]string{"gone": "", "dynamic": model("m", `"prompt":"-1","completion":"-1"`), "faulty": model("m", `"prompt":"x","completion":"1"`)} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b, _ := newBook(t, Config{URL: s.URL, Base: good(t, list(append(nine("0.000001"), model("m", `"prompt":"0.000002","completion":"0.00001"`))...))})
			for _, row := range []string{detour, detour} {
				rows := nine("0.000001")
				if row != "" {
					rows = append(rows, row)
				}
				s.say(list(rows...))
				_, err := b.Refresh(t.Context())
				require.NoError(t, err)
			}
			s.say(list(append(nine("0.000001"), model("m", `"prompt":"2","completion":"0.00001"`))...))
			r, err := b.Refresh(t.Context())
			require.NoError(t, err)
			require.Len(t, r.Held, 1)
			require.Contains(t, r.Held[0].Reason, "jumped from 0.000002 to 2")
			require.NotEqual(t, "2", text(quote(t, b, humanhours.PriceQuery{Model: "m", At: today}).Price.Input))
			s.say(list(append(nine("0.000001"), model("m", `"prompt":"0.000003","completion":"0.00001"`))...))
			require.Empty(t, refresh(t, b).Held)
			require.Equal(t, "0.000003", input(t, b, "m"))
		})
	}
}

// TestFixedPricesDoNotAllVanish: one model may become dynamic, but not the list.
func TestFixedPricesDoNotAllVanish(t *testing.T) {
	s := newSite(t)
	b, _ := newBook(t, Config{URL: s.URL, Base: good(t, list(nine("0.000001")...))})
	for n, ok := range map[int]bool{3: true, 4: false, 9: false} {
		rows := nine("0.000001")
		for i := range n {
			rows[i] = model(fmt.Sprint("filler/", i), `"prompt":"-1","completion":"-1"`)
		}
		s.say(list(rows...))
		fresh, _ := newBook(t, Config{URL: s.URL, Base: b.Edition()})
		_, err := fresh.Refresh(t.Context())
		require.Equal(t, ok, err == nil, "%d: %v", n, err)
		if !ok {
			require.ErrorContains(t, err, "have no fixed price any more")
			require.Equal(t, "0.000001", input(t, fresh, "filler/0"))
		}
	}
}

// TestMillionsOfRows are refused when there are too many, and not decoded first.
func TestMillionsOfRows(t *testing.T) {
	s := newSite(t)
	b, _ := newBook(t, Config{URL: s.URL, Base: good(t, list(nine("0.000001")...))})
	for _, row := range []string{"1", "{}", `"],["`} {
		s.say(`{"data":[` + row + strings.Repeat(","+row, 1_000_000) + `]}`)
		_, err := b.Refresh(t.Context())
		require.ErrorContains(t, err, "the listing has more than 100000 rows")
	}
	s.say(`{"data":[` + strings.Join(nine("0.0000012"), " ,\n ") + ` ] }`)
	refresh(t, b)
	require.Equal(t, "0.0000012", input(t, b, "filler/8"))
}

// TestRowsWithoutAnID are left out, and count as faulty.
func TestRowsWithoutAnID(t *testing.T) {
	s := newSite(t)
	long := strings.Repeat("ä", 200)
	rows := append(nine("0.000001"), `{"id":"","pricing":{}}`, `{"id":7,"pricing":{}}`, `{"pricing":{}}`, `"text"`)
	s.say(list(append(rows, model(long, `"prompt":"1","completion":"1"`))...))
	b, _ := newBook(t, Config{URL: s.URL, Base: good(t, list(nine("0.000001")...))})
	r := refresh(t, b)
	require.Equal(t, []Held{{Reason: "4 rows have no usable id"}}, r.Held)
	require.Equal(t, 10, b.Info().Models)
	require.Equal(t, "1", input(t, b, long))
	s.say(list(append(rows, model(long+"x", `"prompt":"1","completion":"1"`))...))
	r, err := b.Refresh(t.Context())
	require.ErrorContains(t, err, "5 of 14 rows cannot be believed")
	require.Equal(t, "1", input(t, b, long), r)
}

func TestAcceptJump(t *testing.T) {
	s := newSite(t)
	base := good(t, list(append(nine("0.000001"), model("m", `"prompt":"0.000002","completion":"0.00001"`))...))
	s.say(list(append(nine("0.000001"), model("m", `"prompt":"2","completion":"0.00001"`))...))
	var asked []string
	answer := func() bool { return false }
	b, j := newBook(t, Config{URL: s.URL, Base: base, AcceptJump: func(model string, old, new humanhours.Price) bool {
		asked = append(asked, fmt.Sprint(model, " ", text(old.Input), " ", text(new.Input), " ", new.Model, " ", new.Currency))
		return answer()
	}})
	require.Len(t, refresh(t, b).Held, 1)
	require.Equal(t, []string{"m 0.000002 2 m USD"}, asked)
	require.Equal(t, "0.000002", input(t, b, "m"))
	answer = func() bool { panic("a bug of the operator's") }
	require.Len(t, refresh(t, b).Held, 1)
	require.Contains(t, j.logged(), "a bug of the operator's")
	answer = func() bool { return true }
	require.Empty(t, refresh(t, b).Held)
	require.Equal(t, "2", input(t, b, "m"))
}

// TestReport: what a refresh says of itself, and that equal content is the same edition.
func TestReport(t *testing.T) {
	s := newSite(t)
	now := today
	b, j := newBook(t, Config{URL: s.URL, Base: good(t, list(nine("0.000001")...)), Clock: func() time.Time { return now }})
	first := b.Info()
	now = now.Add(30 * time.Hour)
	s.say(list(nine("0.000001")...))
	r := refresh(t, b)
	require.Equal(t, Report{At: now, Info: b.Info()}, r)
	require.Equal(t, first.Version, r.Info.Version)
	require.Equal(t, first.Date, r.Info.Date, "the same edition, of the day when it came out")
	require.Equal(t, now, r.Info.Fetched)
	require.Zero(t, b.Age())

	rows := nine("0.000001")
	rows[0], rows[1] = model("new/1", `"prompt":"1","completion":"1"`), model("filler/1", `"prompt":"0.000003","completion":"0.00001"`)
	s.say(list(append(rows, model("new/2", `"prompt":"1","completion":"1"`))...))
	now = now.Add(time.Hour)
	r = refresh(t, b)
	require.Equal(t, Report{At: now, Info: b.Info(), Changed: true, New: 2, Gone: 1, Repriced: 1}, r)
	require.Equal(t, "2026-11-26", r.Info.Date.Format(time.DateOnly))
	require.Equal(t, "", input(t, b, "filler/0"))
	require.Equal(t, r, j.last(t))
	now = now.Add(90 * time.Minute)
	require.Equal(t, 90*time.Minute, b.Age())
}

func TestETag(t *testing.T) {
	s := newSite(t)
	body, tag := list(nine("0.000001")...), `"one"`
	s.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, body)
	})
	now := today
	b, _ := newBook(t, Config{URL: s.URL, Base: &Static{}, Clock: func() time.Time { return now }})
	asked := func() string {
		now = now.Add(time.Hour)
		_, _ = b.Refresh(t.Context())
		seen := s.seen()
		require.Contains(t, seen[len(seen)-1].UserAgent(), "humanhours")
		return seen[len(seen)-1].Header.Get("If-None-Match")
	}
	require.Empty(t, asked())
	require.Equal(t, `"one"`, asked())
	require.Equal(t, now, b.Info().Fetched, "304 is a refresh that succeeded")
	require.Equal(t, 9, b.Info().Models)
	// What was refused is not what the book has.
	body, tag = "<html>", `"two"`
	require.Equal(t, `"one"`, asked())
	require.Equal(t, `"one"`, asked())
	// Where a row was held back, the next refresh looks again.
	body, tag = list(append(nine("0.000001")[:8], model("filler/8", `"prompt":"1","completion":"0.00001"`))...), `"three"`
	require.Equal(t, `"one"`, asked())
	require.Empty(t, asked())
}

func TestPages(t *testing.T) {
	s := newSite(t)
	rows := nine("0.000001")
	pageOf := func(next string, rows ...string) string {
		return strings.TrimSuffix(list(rows...), "}") + `,"total_count":9,"links":{"next":` + next + `}}`
	}
	pages := map[string]string{
		"/":        pageOf(`"/more?page=2"`, rows[:3]...),
		"/more":    pageOf(`"`+s.URL+`/last"`, rows[3:6]...),
		"/last":    pageOf(`null`, rows[6:]...),
		"/short":   pageOf(`""`, rows[:8]...),
		"/forever": pageOf(`"/forever"`, rows[0]),
		"/away":    pageOf(`"http://example.com/last"`, rows[:3]...),
		"/scheme":  pageOf(`"ftp:/last"`, rows[:3]...),
		"/broken":  pageOf(`"/500"`, rows[:3]...),
		"/garbled": pageOf(`":::"`, rows[:3]...),
	}
	s.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		bodyOf(map[bool]int{true: 200, false: 500}[pages[r.URL.Path] != ""], pages[r.URL.Path])(w, r)
	})
	b, _ := newBook(t, Config{URL: s.URL + "/", Base: &Static{}})
	require.Equal(t, 9, refresh(t, b).Info.Models)
	require.Len(t, s.seen(), 3)
	refresh(t, b)
	require.Empty(t, s.seen()[3].Header.Get("If-None-Match"), "a first page alone does not say that nothing changed")
	for path, want := range map[string]string{
		"/short": "incomplete: it has 8 of the 9", "/forever": "more than 100 pages", "/away": "another host", "/scheme": "another host", "/broken": "status 500",
		"/garbled": "no usable address",
	} {
		b, _ := newBook(t, Config{URL: s.URL + path, Base: &Static{}})
		_, err := b.Refresh(t.Context())
		require.ErrorContains(t, err, want, path)
		require.Zero(t, b.Info().Models)
	}
	b, _ = newBook(t, Config{URL: s.URL + "/", Base: &Static{}, MaxBytes: int64(len(pages["/"]) + len(pages["/more"]) + len(pages["/last"]) - 1)})
	_, err := b.Refresh(t.Context())
	require.ErrorContains(t, err, "larger than", "the cap is on all pages together")
}

func TestFile(t *testing.T) {
	s := newSite(t)
	s.say(list(append(nine("0.000001"), model("m", `"prompt":"5","completion":"5"`))...))
	dir := t.TempDir()
	file := filepath.Join(dir, "prices.json")
	open := func(base *Static) (*Book, *journal) { return newBook(t, Config{URL: s.URL, File: file, Base: base}) }
	older, newer := good(t, list(nine("0.000001")...)), good(t, list(nine("0.000001")...)).renewed(today.AddDate(0, 0, 1))

	b, j := open(older)
	require.Empty(t, j.logged(), "no file is normal at a first start")
	refresh(t, b)
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(b.Edition().encode()), string(want))

	again, j := open(older)
	require.Equal(t, b.Info(), again.Info())
	require.Equal(t, "5", input(t, again, "m"))
	require.Empty(t, j.logged())
	again, _ = open(newer)
	require.Equal(t, newer.Info(), again.Info(), "a base that was fetched later wins")

	for name, broken := range map[string]string{"cut": string(want[:len(want)/2]), "empty": "", "changed": strings.Replace(string(want), `"5"`, `"6"`, 1)} {
		require.NoError(t, os.WriteFile(file, []byte(broken), 0o600))
		b, j := open(older)
		require.Equal(t, older.Info(), b.Info(), name)
		require.Contains(t, j.logged(), "level=WARN", name)
		kept, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, broken, string(kept), "it is there for whoever looks into it")
	}
	b, _ = open(older)
	refresh(t, b)
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(kept))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary files stay")

	// A folder in the way: the file can neither be read nor written, and the prices are new all the same.
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.MkdirAll(filepath.Join(file, "x"), 0o700))
	b, j = open(older)
	require.Contains(t, j.logged(), "level=WARN")
	r, err := b.Refresh(t.Context())
	require.ErrorContains(t, err, "not kept")
	require.Contains(t, j.logged(), "refreshed, but not kept for the next start")
	require.NotContains(t, j.logged(), "the refresh failed")
	require.Equal(t, err, r.Err)
	require.True(t, r.Changed)
	require.Equal(t, today, r.Info.Fetched)
	require.Equal(t, "5", input(t, b, "m"))
	entries, err = os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestConfigIsChecked(t *testing.T) {
	for field, c := range map[string]Config{
		"URL": {URL: "openrouter.ai/models"}, "Interval": {Interval: -1}, "MaxBytes": {MaxBytes: -1},
	} {
		_, err := New(c)
		require.ErrorContains(t, err, "Config."+field)
	}
	_, err := NewRates(RatesConfig{URL: "ftp://example.com/"})
	require.ErrorContains(t, err, "Config.URL")
	b, err := New(Config{})
	require.NoError(t, err, "the zero value is right")
	require.Equal(t, Snapshot().Info(), b.Info())
}

// TestAHookMayPanicAndRefresh: neither ends the process nor locks the book.
func TestAHookMayPanicAndRefresh(t *testing.T) {
	s := newSite(t)
	s.say(list(nine("0.000001")...))
	j := &journal{}
	var b *Book
	var calls atomic.Int64
	b, err := New(Config{URL: s.URL, Base: &Static{}, Logger: j.logger(), OnRefresh: func(Report) {
		if calls.Add(1) == 1 {
			_, _ = b.Refresh(context.Background())
		}
		panic("a bug of the operator's")
	}})
	require.NoError(t, err)
	require.True(t, refresh(t, b).Changed)
	require.EqualValues(t, 2, calls.Load())
	require.Contains(t, j.logged(), "a bug of the operator's")
}

// TestRefreshesWaitForEachOther, and a caller that gives up does not.
func TestRefreshesWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most, all atomic.Int64
		release := make(chan struct{})
		b, j := newBook(t, Config{Base: &Static{}, Client: &http.Client{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
			all.Add(1)
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
			return &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(strings.NewReader(list(nine("0.000001")...)))}, nil
		})}})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = b.Refresh(context.Background()) })
		}
		synctest.Wait() // one is at the feed, three are waiting
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Refresh(ctx)
		require.ErrorIs(t, err, context.Canceled)
		close(release)
		wg.Wait()
		require.EqualValues(t, 1, most.Load())
		require.EqualValues(t, 4, all.Load())
		require.Len(t, j.reports, 4, "nobody is told of what was given up")
	})
}

// TestALaterReleaseSettlesWhatWasHeldBack: its prices were looked at by somebody.
func TestALaterReleaseSettlesWhatWasHeldBack(t *testing.T) {
	s := newSite(t)
	s.say(list(append(nine("0.000001"), model("m", `"prompt":"3","completion":"3"`))...))
	before := good(t, list(append(nine("0.000001"), model("m", `"prompt":"0","completion":"0"`))...))
	now := today.AddDate(0, 0, 7)
	c := Config{URL: s.URL, Base: before, File: filepath.Join(t.TempDir(), "prices.json"), Clock: func() time.Time { return now }}
	b, _ := newBook(t, c)
	refresh(t, b)
	require.Equal(t, "0", input(t, b, "m"))
	earlier, _, err := ParseListing([]byte(list(append(nine("0.000001"), model("m", `"prompt":"7","completion":"7"`))...)), today.AddDate(0, 0, -30))
	require.NoError(t, err)
	c.Base = earlier
	b, _ = newBook(t, c)
	require.Equal(t, "0", input(t, b, "m"), "an earlier release settles nothing")
	release, _, err := ParseListing([]byte(list(append(nine("0.000002"), model("m", `"prompt":"2","completion":"2"`))...)), today.AddDate(0, 0, 3))
	require.NoError(t, err)
	c.Base = release
	b, _ = newBook(t, c)
	require.Equal(t, now, b.Info().Fetched, "the file is newer")
	require.Equal(t, "0.000001", input(t, b, "filler/1"))
	require.Equal(t, "2", input(t, b, "m"))
	require.Equal(t, release.Info().Version, quote(t, b, humanhours.PriceQuery{Model: "m", At: today}).Price.Version)
	require.Empty(t, refresh(t, b).Held)
	require.Equal(t, "3", input(t, b, "m"))
}

// TestQuotesDuringRefreshes: readers see one edition or the other, whole, while the book is replaced under them.
func TestQuotesDuringRefreshes(t *testing.T) {
	var version atomic.Int64
	client := &http.Client{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
		v := version.Add(1)
		price := fmt.Sprintf(`"prompt":"0.00%d","completion":"0.00%d"`, 100+v, 100+v)
		body := list(append(nine("0.000001"), model("m", price))...)
		return &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(strings.NewReader(body))}, nil
	})}
	b, _ := newBook(t, Config{Client: client, Base: &Static{}})
	refresh(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	failed := make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				q, err := b.Quote(ctx, humanhours.PriceQuery{Model: "m", At: today})
				if err != nil || q.Unpriced != "" || !q.Price.Input.Decimal.Equal(q.Price.Output.Decimal) || b.Info().Models != 10 {
					failed <- errors.New("a reader saw half an edition: " + prices(q))
					return
				}
			}
		})
	}
	for range 50 {
		refresh(t, b)
	}
	cancel()
	wg.Wait()
	select {
	case err := <-failed:
		require.NoError(t, err)
	default:
	}
}

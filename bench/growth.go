package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/store/memory"
	redisstore "github.com/humanhours/humanhours-go/store/redis"
	"github.com/humanhours/humanhours-go/store/sqlite"
)

// Growing is what one more event, and a report of 30 days by agent, cost in a store that has so many events.
type Growing struct {
	Events int
	Append time.Duration // of an event in a group of 64
	Report time.Duration
}

// Growth fills each store up to some events and looks at every power of ten.
func Growth(most int, folder, redis string) (map[string][]Growing, error) {
	all := make(map[string][]Growing)
	list, err := grow(memory.New(), most)
	if err != nil {
		return nil, err
	}
	all[Memory] = list
	dir, err := os.MkdirTemp(folder, "growth")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(filepath.Join(dir, "hours.db"), sqlite.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if all[SQLite], err = grow(db, most); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := db.Close(); err != nil || redis == "" {
		return all, err
	}
	client := goredis.NewClient(&goredis.Options{Addr: redis})
	defer client.Close()
	r, err := redisstore.New(client, redisstore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	all[Redis], err = grow(r, most)
	return all, errors.Join(err, r.Close(), client.FlushAll(context.Background()).Err())
}

func grow(s humanhours.Store, most int) ([]Growing, error) {
	const group, sample, repeats = 64, 50, 5
	ctx := context.Background()
	t, err := humanhours.New(s, humanhours.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	made := 0
	add := func() (time.Duration, error) {
		entries := make([]humanhours.Entry, group)
		for i := range entries {
			entries[i] = entry(made+i, 1)
			// Over 30 days, whatever there will be.
			at := start.Add(time.Duration(made+i) * (30 * 24 * time.Hour / time.Duration(most))).Truncate(time.Millisecond)
			entries[i].At, entries[i].Event.ReceivedAt, entries[i].Event.OccurredAt = at, at, at
		}
		made += group
		before := time.Now()
		for _, got := range s.Append(ctx, entries) {
			if got.Err != nil || got.Replayed {
				return 0, fmt.Errorf("replayed %t: %w", got.Replayed, got.Err)
			}
		}
		return time.Since(before), nil
	}
	var list []Growing
	for size := 1000; size <= most; size *= 10 {
		for made < size {
			if _, err := add(); err != nil {
				return nil, err
			}
		}
		g := Growing{Events: size, Report: math.MaxInt64}
		var took time.Duration
		for range sample {
			one, err := add()
			if err != nil {
				return nil, err
			}
			took += one
		}
		g.Append = took / (sample * group)
		for range repeats {
			before := time.Now()
			_, err := t.Report(ctx, humanhours.Caller{Org: orgNames[0]}, humanhours.ReportQuery{
				GroupBy: []humanhours.Dimension{humanhours.ByAgent}, From: start.Add(time.Minute), To: start.Add(30*24*time.Hour + time.Minute),
			})
			if err != nil {
				return nil, err
			}
			g.Report = min(g.Report, time.Since(before))
		}
		list = append(list, g)
	}
	return list, nil
}

// chart draws what an event and a report cost over how many events there are, both on scales of powers of ten.
func chart(all map[string][]Growing) string {
	const width, height, margin = 720, 300, 60
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, 2*height)
	panel := func(top int, title string, value func(Growing) time.Duration) {
		least, most, events := math.MaxFloat64, 0.0, 1000
		for _, list := range all {
			for _, g := range list {
				least, most, events = min(least, float64(value(g))), max(most, float64(value(g))), max(events, g.Events)
			}
		}
		low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
		x := func(n int) float64 {
			return margin + (math.Log10(float64(n))-3)/max(1, math.Log10(float64(events))-3)*(width-2*margin-80)
		}
		y := func(v float64) float64 {
			return float64(top+height-40) - (math.Log10(v)-low)/max(1, high-low)*(height-90)
		}
		fmt.Fprintf(&svg, `<text x="%d" y="%d" font-size="14">%s</text>`+"\n", margin, top+25, title)
		for p := low; p <= high; p++ {
			at := y(math.Pow(10, p))
			fmt.Fprintf(&svg, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%v</text>`+"\n",
				margin, at, width-margin-80, at, margin-6, at+4, time.Duration(math.Pow(10, p)))
		}
		for n := 1000; n <= events; n *= 10 {
			fmt.Fprintf(&svg, `<text x="%.1f" y="%d" text-anchor="middle">10^%.0f</text>`+"\n", x(n), top+height-20, math.Log10(float64(n)))
		}
		for i, kind := range []string{Memory, SQLite, Redis} {
			list, colour := all[kind], []string{"#1b7", "#36c", "#c33"}[i]
			if len(list) == 0 {
				continue
			}
			var points []string
			for _, g := range list {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(g.Events), y(float64(value(g)))))
			}
			last := list[len(list)-1]
			fmt.Fprintf(&svg, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/><text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n",
				strings.Join(points, " "), colour, x(last.Events)+8, y(float64(value(last)))+4, colour, kind)
		}
	}
	panel(0, "one more event, in a group of 64", func(g Growing) time.Duration { return g.Append })
	panel(height, "a report of 30 days by agent", func(g Growing) time.Duration { return g.Report })
	svg.WriteString("</svg>\n")
	return svg.String()
}

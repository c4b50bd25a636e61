package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
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
	Each   float64 // bytes for an event, where its store keeps it
	Lacks  string  // what there is not enough of to fill a store so far; all but Events is zero then

	Heap, Resident int64 // bytes that this process has: of Go, and in all, which is 0 if the system does not say
}

// growth is a kind of store that can be filled.
type growth struct {
	kind, where string                                                                                 // where is what it keeps events in, as Lacks says it
	open        func() (s humanhours.Store, size func() (int64, error), close func() error, err error) // an empty one; size is of all that it keeps
	room        func() int64
}

// Growth fills each store with every power of ten of events up to some, and looks at it.
func Growth(most int, folder, redis string) (map[string][]Growing, error) {
	all := make(map[string][]Growing)
	for _, g := range growths(folder, redis) {
		each := 1000.0 // until it is known
		for size := 1000; size <= most; size *= 10 {
			one := Growing{Events: size, Lacks: g.where}
			if g.room() > int64(1.5*each*float64(size)) { // garbage, logs and tables that are made anew
				var err error
				if one, err = g.fill(size); err != nil {
					return nil, fmt.Errorf("%s, %d events: %w", g.kind, size, err)
				}
				each = one.Each
			}
			all[g.kind] = append(all[g.kind], one)
		}
	}
	return all, nil
}

func growths(folder, redis string) []growth {
	quiet := slog.New(slog.DiscardHandler)
	list := []growth{{
		kind: Memory, where: "memory", room: freeMemory,
		open: func() (humanhours.Store, func() (int64, error), func() error, error) {
			// Near the limit, garbage is collected earlier.
			limit := debug.SetMemoryLimit(max(1<<30, freeMemory()*9/10))
			size := func() (int64, error) { return liveHeap(), nil }
			return memory.New(), size, func() error { debug.SetMemoryLimit(limit); return nil }, nil
		},
	}, {
		kind: SQLite, where: "disk", room: func() int64 { return freeDisk(folder) },
		open: func() (humanhours.Store, func() (int64, error), func() error, error) {
			dir, err := os.MkdirTemp(folder, "growth")
			if err != nil {
				return nil, nil, nil, err
			}
			path := filepath.Join(dir, "hours.db")
			db, err := sqlite.Open(path, sqlite.Config{Logger: quiet})
			if err != nil {
				return nil, nil, nil, errors.Join(err, os.RemoveAll(dir))
			}
			size := func() (int64, error) {
				if err := checkpoint(path); err != nil {
					return 0, err
				}
				info, err := os.Stat(path)
				if err != nil {
					return 0, err
				}
				return info.Size(), nil
			}
			return db, size, func() error { return errors.Join(db.Close(), os.RemoveAll(dir)) }, nil
		},
	}}
	if redis == "" {
		return list
	}
	return append(list, growth{
		kind: Redis, where: "memory", room: freeMemory,
		open: func() (humanhours.Store, func() (int64, error), func() error, error) {
			client := goredis.NewClient(&goredis.Options{Addr: redis, ReadTimeout: time.Minute})
			s, err := redisstore.New(client, redisstore.Config{Timeout: time.Minute, Logger: quiet})
			if err != nil {
				return nil, nil, nil, err
			}
			size := func() (int64, error) { return redisInfo(client, "memory", "used_memory") }
			return s, size, func() error {
				return errors.Join(s.Close(), client.FlushAll(context.Background()).Err(), client.Close())
			}, nil
		},
	})
}

// fill fills a new store with events of 30 days, in their order, as they come in practice.
func (g *growth) fill(events int) (one Growing, err error) {
	const fill, group, sample, repeats = 512, 64, 16, 5
	const days = 30 * 24 * time.Hour
	ctx := context.Background()
	s, size, stop, err := g.open()
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	before, err := size()
	if err != nil {
		return one, err
	}
	every, made := days/time.Duration(events+sample*group), 0
	add := func(n int) (time.Duration, error) {
		entries := make([]humanhours.Entry, n)
		for i := range entries {
			entries[i] = lean(made+i, 1)
			at := start.Add(time.Duration(made+i) * every).Truncate(time.Millisecond)
			entries[i].At, entries[i].Event.ReceivedAt, entries[i].Event.OccurredAt = at, at, at
		}
		made += n
		before := time.Now()
		for _, got := range s.Append(ctx, entries) {
			if got.Err != nil || got.Replayed {
				return 0, fmt.Errorf("replayed %t: %w", got.Replayed, got.Err)
			}
		}
		return time.Since(before), nil
	}
	for made < events {
		if _, err := add(min(fill, events-made)); err != nil {
			return one, err
		}
	}
	t, err := humanhours.New(s, humanhours.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return one, err
	}
	one = Growing{Events: events, Report: math.MaxInt64}
	for range repeats {
		before := time.Now()
		_, err := t.Report(ctx, humanhours.Caller{Org: orgNames[0]}, humanhours.ReportQuery{
			GroupBy: []humanhours.Dimension{humanhours.ByAgent}, From: start, To: start.Add(days),
		})
		if err != nil {
			return one, err
		}
		one.Report = min(one.Report, time.Since(before))
	}
	for range sample {
		took, err := add(group)
		if err != nil {
			return one, err
		}
		one.Append += took
	}
	one.Append /= sample * group
	debug.FreeOSMemory()
	one.Heap, one.Resident = liveHeap(), resident()
	after, err := size()
	runtime.KeepAlive(s)
	one.Each = float64(after-before) / float64(made)
	return one, err
}

// checkpoint moves what the log beside a file of SQLite has into it, or the file of a few events would be empty.
func checkpoint(path string) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	_, err = db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	return errors.Join(err, db.Close())
}

// resident is how much memory this process has.
func resident() int64 {
	text, _ := os.ReadFile("/proc/self/statm")
	var all, pages int64
	_, _ = fmt.Sscan(string(text), &all, &pages)
	return pages * int64(os.Getpagesize())
}

// freeMemory is how many bytes there are, as far as the system says.
func freeMemory() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10
		}
	}
	return math.MaxInt64
}

// freeDisk is how many bytes a folder has room for, likewise; empty: that for temporary files.
func freeDisk(folder string) int64 {
	if folder == "" {
		folder = os.TempDir()
	}
	text, _ := exec.Command("df", "-Pk", folder).Output()
	if lines := strings.Split(string(text), "\n"); len(lines) > 1 {
		if fields := strings.Fields(lines[1]); len(fields) > 3 {
			if kib, err := strconv.ParseInt(fields[3], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return math.MaxInt64
}

// redisInfo is a number that a Redis says of itself.
func redisInfo(client *goredis.Client, section, name string) (int64, error) {
	info, err := client.Info(context.Background(), section).Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("redis says no %s", name)
}

// chart draws what an event and a report cost over how many events there are, both on scales of powers of ten.
func chart(all map[string][]Growing) string {
	const width, height, margin = 720, 300, 60
	drawn := make(map[string][]Growing)
	for kind, list := range all {
		drawn[kind] = slices.DeleteFunc(slices.Clone(list), func(g Growing) bool { return g.Lacks != "" })
	}
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, 2*height)
	panel := func(top int, title string, value func(Growing) time.Duration) {
		least, most, events := math.MaxFloat64, 0.0, 1000
		for _, list := range drawn {
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
			list, colour := drawn[kind], []string{"#1b7", "#36c", "#c33"}[i]
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

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
)

// Report measures all rows.
type Report struct {
	Folder string // where files are written; empty: the system's for temporary ones
	Redis  string // address of a Redis that may be emptied; empty: one is started
	Rounds int
	Each   time.Duration
	Only   string        // measures only paths whose name contains it
	Peers  bool          // lets other limiters admit what they do
	Kills  int           // how often a process that does requests once is killed; 0: idempotency is not looked at
	Guard  bool          // fails where a ratio of a path in process is far from what it was
	Growth int           // up to how many events stores are filled; 0: they are not
	Soak   time.Duration // how long servers have a steady load; 0: they have none
}

// Write measures and writes a file; empty: the standard output. What is measured is said on the standard error, row by row.
func (r *Report) Write(path string) error {
	stop := nothing
	if r.Redis == "" {
		var err error
		if r.Redis, stop, err = startRedis(); err != nil {
			fmt.Fprintln(os.Stderr, "without Redis:", err)
			stop = nothing
		}
	}
	var text strings.Builder
	r.head(&text)
	var failed []error
	for _, row := range slices.Concat(InProcess(), HTTP(r.Folder, r.Redis), Stores(r.Folder, r.Redis)) {
		if !r.wants(row.Name) {
			continue
		}
		result := row.Measure(r.Rounds, r.Each)
		if result.Err != nil {
			failed = append(failed, result.Err)
			fmt.Fprintln(os.Stderr, result.Err)
			continue
		}
		say(&text, "%s", result.line())
		if r.Guard && !result.Guarded() {
			failed = append(failed, fmt.Errorf("%s: %.2f is far from what it was; the guard is at %g", row.Name, result.Median(), row.Guard))
		}
	}
	failed = append(failed, r.allocations(&text), r.heap(&text), r.latency(&text))
	var drawing string
	if r.Peers && r.wants("peers") {
		failed = append(failed, r.peers(&text))
	}
	if r.Kills > 0 && r.Redis != "" && r.wants("idempotency") {
		failed = append(failed, r.idempotency(&text))
	}
	if r.Growth > 0 && r.wants("growth") {
		var err error
		drawing, err = r.growth(&text)
		failed = append(failed, err)
	}
	if r.Soak > 0 && r.wants("soak") {
		failed = append(failed, r.soak(&text))
	}
	if err := errors.Join(append(failed, stop())...); err != nil {
		return err
	}
	if path == "" {
		_, err := fmt.Print(text.String())
		return err
	}
	if drawing != "" {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), chartFile), []byte(drawing), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(path, []byte(text.String()), 0o644)
}

func (r *Report) wants(name string) bool { return strings.Contains(name, r.Only) }

// say writes a line, and lets whoever waits for the report see it.
func say(text *strings.Builder, format string, values ...any) {
	line := fmt.Sprintf(format, values...)
	fmt.Fprint(os.Stderr, line)
	text.WriteString(line)
}

// allocations writes how many an event makes.
func (r *Report) allocations(text *strings.Builder) error {
	const path = "allocations"
	if !r.wants(path) {
		return nil
	}
	a, err := Allocations()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprint(text, `
## Allocations

Of one event with an idempotency key and a price, on the memory store.

| path | goal | allocations | |
|---|---|---|---|
`)
	say(text, "| `Track` | at most %d | **%.0f** | %s |\n| `TrackBatch` of 1000, each | none | **%.0f** | |\n", allocsGoal, a.Track, verdict(a.Track <= allocsGoal), a.Batch)
	return nil
}

// heap writes how much memory an event takes in the memory store.
func (r *Report) heap(text *strings.Builder) error {
	const events, path = 200_000, "memory of an event in the memory store"
	if !r.wants(path) {
		return nil
	}
	one := lean(events, 1).Event
	fmt.Fprintf(text, `
## Memory

What each of %s events takes of the heap in the memory store. One is %d bytes of JSON as it is answered, %d as it is stored, and has an idempotency key, a UUID. The last column is what each of
as many takes that come a day later, when the keys of the first name nothing any more.

| path | goal | bytes | | a day later |
|---|---|---|---|---|
`, thousands(events), len(one.AppendJSON(nil)), len(one.AppendStored(nil)))
	for _, n := range []int{1, orgs} {
		first, later, err := HeapPerEvent(events, n)
		if err != nil {
			return err
		}
		say(text, "| %s, orgs: %d | at most %d | **%.0f** | %s | %.0f |\n", path, n, heapGoal, first, verdict(first <= heapGoal), later)
	}
	return nil
}

// latency writes how much longer than most the slowest requests take.
func (r *Report) latency(text *strings.Builder) error {
	const path = "latency of POST /v1/track, memory store"
	if !r.wants(path) {
		return nil
	}
	fmt.Fprint(text, `
## Latency

Requests at half of the rate at which 64 connections saturate the server, in the fastest of as many rounds. They are due at fixed instants and do not wait for the answers to others, over up to 256
connections, and the clock of each starts when it is due, so that whatever holds up the server holds up all that are due meanwhile. The ratio is that of a round, as above. How late requests were sent
says how slow the load was, or for how long all connections waited for answers. The bare handler shows what net/http, the garbage collector and the machine have in it.

| path | goal | p99 / p50: min, **median**, max | | p50 | p99 | requests | sent late, p99 |
|---|---|---|---|---|---|---|---|
`)
	for _, row := range []struct{ kind, path, goal string }{
		{Memory, path, fmt.Sprint("at most ", latencyGoal)}, {Bare, "the bare handler, likewise", "none"},
	} {
		l, err := Latencies(row.kind, r.Rounds, r.Each)
		if err != nil {
			return fmt.Errorf("%s: %w", row.path, err)
		}
		middle := median(l.Ratios)
		say(text, "| %s | %s | %.2f, **%.2f**, %.2f | %s | %.0f µs | %.0f µs | %s/s | %.0f µs |\n", row.path, row.goal, l.Ratios[0], middle, l.Ratios[len(l.Ratios)-1],
			verdict(row.kind == Bare || middle <= latencyGoal), micros(l.P50), micros(l.P99), thousands(l.Rate), micros(l.Late))
	}
	return nil
}

func micros(d time.Duration) float64 { return d.Seconds() * 1e6 }

const chartFile = "growth.svg"

// peers writes how exact limiters are.
func (r *Report) peers(text *strings.Builder) error {
	const limit, phases = 60, 8
	list, err := Exactness(limit, phases, r.Redis, r.Rounds, r.Each/4)
	if err != nil {
		return err
	}
	fmt.Fprintf(text, `
## How exact limiters are

A caller that rests and then calls without a pause, with a limit of %d in a second: how many calls of its worst second were admitted. The rest ends at %d parts of a second, because some limiters
have windows that begin with it. The last column is how many calls one caller got decided in a second, for 1,000 keys in turn, which soon are over their limit: the median of %d rounds.

| limiter | how | admitted in the worst second | calls of one caller |
|---|---|---|---|
`, limit, phases, r.Rounds)
	for _, a := range list {
		say(text, "| %s | %s | %d | %s/s |\n", a.Name, a.How, a.Most, thousands(a.Rate))
	}
	return nil
}

// idempotency writes what becomes of requests that are to be done once.
func (r *Report) idempotency(text *strings.Builder) error {
	result := onceRow(r.Redis).Measure(r.Rounds, r.Each)
	if result.Err != nil {
		return result.Err
	}
	fmt.Fprintf(text, `
## Idempotency

Retries with an idempotency key on Redis, from 64 callers. The usual pattern takes three steps: `+"`SET NX`"+` of a lock under the key, the work, which is here `+"`RPUSH`"+` of the event, and
`+"`SET`"+` of the result under the key for %.0f hours. A request that finds a lock and no result is refused, as another one seems to be at work. Ours is one step, `+"`Append`"+`, which also keeps
indices, counts and sums.

The process that does the requests is killed %d times at random and started again, and callers send what was not answered once more, until they are answered or have been refused for %v. A lock of
a minute outlives such callers. One of 100 ms is taken over and the work done again, as is any other if callers wait for longer than it lasts. Doubled are keys of more than one event; lost are those
without one, whether the request was answered or given up; refused are those that were given up. Locks of any length have one throughput: it was measured with that of a minute.

| pattern | throughput | requests | cut off by a kill | doubled | lost | refused |
|---|---|---|---|---|---|---|
`, humanhours.IdempotencyWindow.Hours(), r.Kills, patience)
	for _, kind := range []string{oneStep, longLock, shortLock} {
		o, err := Kills(kind, r.Redis, r.Kills)
		if err != nil {
			return fmt.Errorf("idempotency, %s: %w", kind, err)
		}
		rate := result.Ref
		if kind == oneStep {
			rate = result.Ours
		}
		say(text, "| %s | %s/s | %s | %s | %s | %s | %s |\n", kind, thousands(rate), thousands(float64(o.Requests)), thousands(float64(o.Cut)),
			thousands(float64(o.Doubled)), thousands(float64(o.Lost)), thousands(float64(o.Refused)))
	}
	fmt.Fprintf(text, "\nThe throughput of one step is %.2f, **%.2f**, %.2f times that of three: min, **median**, max of the rounds.\n", result.Min(), result.Median(), result.Max())
	return nil
}

// growth writes what events and reports cost in stores that grow, and returns the chart of it.
func (r *Report) growth(text *strings.Builder) (string, error) {
	all, err := Growth(r.Growth, r.Folder, r.Redis)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(text, `
## Growth

What one more event costs, in a group of 64 and with the file of SQLite synced, and what a report of 30 days by agent costs, over how many events an org has. They are those of the section on memory,
spread over the 30 days in their order, and agents, task types and models meet as if by chance, so that nearly every one has a sum of its own for a long time: sums are by the hour. Each number of
events has a new store.

What an event takes is the heap of the memory store, the file of SQLite, and the memory that Redis says it has, which has all idempotency keys still: it forgets them by its own clock. The last
columns are of the process that asks: its Go heap, and all that is resident, after garbage is collected; the heap grows with the memory store and should not with the others.

![growth](%s)

| store | events | one more event | report | bytes for an event | Go heap | resident |
|---|---|---|---|---|---|---|
`, chartFile)
	mb := func(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
	for _, kind := range []string{Memory, SQLite, Redis} {
		for _, g := range all[kind] {
			events := thousands(float64(g.Events))
			if g.Lacks != "" {
				say(text, "| %s | %s | not enough %s | | | | |\n", kind, events, g.Lacks)
				continue
			}
			say(text, "| %s | %s | %.1f µs | %.1f ms | %s | %s | %s |\n", kind, events, micros(g.Append), g.Report.Seconds()*1e3, thousands(g.Each), mb(g.Heap), mb(g.Resident))
		}
	}
	return chart(all), nil
}

// soak writes what servers hold under a steady load. They have it at the same time.
func (r *Report) soak(text *strings.Builder) error {
	defer aside()()
	kinds := []string{SQLite}
	if r.Redis != "" {
		kinds = append(kinds, Redis)
	}
	lists, errs := make([][]Held, len(kinds)), make([]error, len(kinds))
	var all sync.WaitGroup
	for i, kind := range kinds {
		all.Go(func() { lists[i], errs[i] = Soak(kind, r.Folder, r.Redis, r.Soak) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Fprintf(text, `
## Soak

What servers hold that take %d events in a second for %v and answer %d lists and reports in a second meanwhile, both at the same time. The load pauses every few seconds, and they are asked for their
heap after garbage is collected, their goroutines and their open files, with connections. Steady is a heap that is at the end within 10 %% or 2 MB of what it was at the start, after a warm-up, and as
many goroutines and files. The heap of a server on the memory store grows with its events, as it must.

| server | | heap | goroutines | open files | |
|---|---|---|---|---|---|
`, soakRate, r.Soak, soakReads)
	for i, kind := range kinds {
		list := lists[i]
		last := list[len(list)-1]
		for _, at := range []struct {
			when    string
			held    Held
			verdict string
		}{{"start", list[0], ""}, {"middle", list[len(list)/2], ""}, {"end", last, steadiness(list[0], last)}} {
			say(text, "| %s | %s | %.2f MB | %d | %d | %s |\n", kind, at.when, float64(at.held.Heap)/1e6, at.held.Goroutines, at.held.Files, at.verdict)
		}
	}
	return nil
}

func steadiness(first, last Held) string {
	if steady(first, last) {
		return "steady"
	}
	return "not steady"
}

func (r *Report) head(text *strings.Builder) {
	fmt.Fprintf(text, `# Benchmarks

Each path beside the raw limit of what lies under it: the same work at the layer below, in the same run. `+"`go run ./bench/cmd/report`"+` measures it again and writes this file.

Both sides of a row take turns, %d rounds of about %v each; the ratio is that of a round, and its median counts. Servers are processes of their own on one processor, and the load comes from
another, where the system has `+"`taskset`"+`. The load of POST /v1/track against the bare handler never sleeps, because a
server would pay for waking it; that of the other rows does, and leaves its processor to what SQLite and Redis have done beside, so that the memory store has another rate there. Both sides of
`+"`Track` and `TrackBatch`"+` have one processor, so that the time of each has what it takes to collect its garbage; one row has another processor for that. At GOMAXPROCS=1 both sides have one
processor too, and Redis is a process beside. A row without a goal is there to be compared with the others, and is never marked.

Events of the rows of stores are those of a population of %d orgs with %d agents, %d task types and %d models each, which meet as if by chance, the same in every run. A row has one of the orgs,
or all of them where its name says so: a store on Redis makes one call of a script for each org of a group, because of clusters.

A number beside a ratio is of this machine on this day and says nothing about another.

- %s, %d processors, %s
- %s, %s
%s
| path | raw side | goal | ratio: min, **median**, max | | ours | raw | CPU each, ours and raw |
|---|---|---|---|---|---|---|---|
`, r.Rounds, r.Each, orgs, agents, taskTypes, models, cpuName(), runtime.NumCPU(), runtime.GOOS+"/"+runtime.GOARCH, runtime.Version(), strings.Join(versions(), ", "), r.redisVersion())
}

// line is the row of the table.
func (r *Result) line() string {
	var goal, cpu string
	switch {
	case r.Goal == 0 && r.Time:
		goal = "none, of the time"
	case r.Goal == 0:
		goal = "none"
	case r.Time:
		goal = fmt.Sprintf("at most %g of the time", r.Goal)
	default:
		goal = fmt.Sprintf("at least %g", r.Goal)
	}
	if r.CPU > 0 {
		cpu = fmt.Sprintf("%.1f µs, %.1f µs", r.CPU, r.Base)
	}
	return fmt.Sprintf("| %s | %s | %s | %.2f, **%.2f**, %.2f | %s | %s %s/s | %s/s | %s |\n",
		r.Name, r.Raw, goal, r.Min(), r.Median(), r.Max(), verdict(r.Reached()), thousands(r.Ours), r.Unit, thousands(r.Ref), cpu)
}

func verdict(reached bool) string {
	if reached {
		return ""
	}
	return "misses"
}

func thousands(f float64) string {
	text := fmt.Sprintf("%.0f", f)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func cpuName() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// versions are those of what is measured beside ours, or below it; of none in the binary of a test, which does not know them.
func versions() (list []string) {
	measured := []string{
		"modernc.org/sqlite", "github.com/redis/go-redis/v9", "github.com/go-redis/redis_rate/v10", "golang.org/x/time", "github.com/throttled/throttled/v2",
		"github.com/sethvargo/go-limiter", "github.com/go-chi/httprate",
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, module := range info.Deps {
		if slices.Contains(measured, module.Path) {
			list = append(list, module.Path+" "+module.Version)
		}
	}
	return list
}

func (r *Report) redisVersion() string {
	if r.Redis == "" {
		return "- no Redis: its rows are missing\n"
	}
	client := goredis.NewClient(&goredis.Options{Addr: r.Redis})
	defer client.Close()
	info, _ := client.Info(context.Background(), "server").Result()
	for line := range strings.Lines(info) {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return "- Redis " + strings.TrimSpace(version) + " on the loopback interface, without persistence\n"
		}
	}
	return ""
}

// startRedis starts one on a free port, without persistence.
func startRedis() (address string, stop func() error, err error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = free.Addr().String()
	_ = free.Close()
	_, port, _ := net.SplitHostPort(address)
	command := exec.Command(program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	if err := command.Start(); err != nil {
		return "", nil, err
	}
	client := goredis.NewClient(&goredis.Options{Addr: address})
	defer client.Close()
	for range 100 {
		if err = client.Ping(context.Background()).Err(); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop = func() error {
		_ = command.Process.Kill()
		_ = command.Wait() // killed
		return nil
	}
	if err != nil {
		return "", nil, errors.Join(err, stop())
	}
	return address, stop, nil
}

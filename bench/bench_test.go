package bench

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/memory"
)

var (
	serve  = flag.String("serve", "", "be a server of this kind, for a test")
	work   = flag.String("work", "", "be a process that does requests by this pattern, likewise")
	folder = flag.String("folder", "", "of that server")
	redis  = flag.String("redis", "", "of both")
)

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	switch {
	case *serve != "":
		err = Serve(*serve, *folder, *redis)
	case *work != "":
		err = Work(*work, *redis)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		log.Fatal(err)
	}
}

// BenchmarkRows runs both sides of the rows that do not go over HTTP: go test -bench Rows, and benchstat for what comes out.
func BenchmarkRows(b *testing.B) {
	at := ""
	if _, err := exec.LookPath("redis-server"); err == nil {
		at = redistest.Start(b).Addr()
	}
	for _, row := range append(InProcess(), Stores(b.TempDir(), at)...) {
		b.Run(strings.NewReplacer("`", "", "/", " per ").Replace(row.Name), func(b *testing.B) {
			ours, raw, stop, err := row.Start()
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := stop(); err != nil {
					b.Error(err)
				}
			}()
			for i, name := range []string{"ours", "raw"} {
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					if _, err := [...]Side{ours, raw}[i](b.N); err != nil {
						b.Fatal(err)
					}
				})
			}
		})
	}
}

func TestMeasureLetsSidesTakeTurns(t *testing.T) {
	var turns strings.Builder
	side := func(name string) Side {
		return func(n int) (Spent, error) {
			if n%10 != 0 {
				t.Errorf("%d operations, of which a call has 10", n)
			}
			turns.WriteString(name)
			return Spent{Remote: time.Duration(n) * time.Microsecond}, nil
		}
	}
	stopped := 0
	row := Row{Name: "a path", Multiple: 10, Start: func() (Side, Side, func() error, error) {
		return side("o"), side("r"), func() error { stopped++; return nil }, nil
	}}
	result := row.Measure(5, time.Microsecond)
	if result.Err != nil || len(result.Ratios) != 5 || stopped != 1 {
		t.Fatalf("%+v, stopped %d times", result, stopped)
	}
	if !strings.HasSuffix(turns.String(), "orroorroor") {
		t.Errorf("the turns were %s", turns.String())
	}
	if result.Min() > result.Median() || result.Median() > result.Max() || result.CPU != 1 || result.Base != 1 {
		t.Errorf("%+v", result)
	}
}

func TestInputsDoNotCount(t *testing.T) {
	long := func(n int) (Spent, error) { return Spent{Inputs: -time.Hour}, nil } // as if it had taken an hour more
	one, err := turn(long, 7200)
	if err != nil || one.rate < 1.9 || one.rate > 2 {
		t.Errorf("%+v, error %v", one, err)
	}
}

func TestMeasureFails(t *testing.T) {
	broken := errors.New("broken")
	for name, row := range map[string]Row{
		"at the start": {Start: func() (Side, Side, func() error, error) { return nil, nil, nil, broken }},
		"on the way": {Start: func() (Side, Side, func() error, error) {
			side := func(int) (Spent, error) { return Spent{}, broken }
			return side, side, nothing, nil
		}},
		"at the end": {Start: func() (Side, Side, func() error, error) {
			side := func(int) (Spent, error) { return Spent{}, nil }
			return side, side, func() error { return broken }, nil
		}},
	} {
		if result := row.Measure(1, time.Microsecond); !errors.Is(result.Err, broken) {
			t.Errorf("%s: error %v", name, result.Err)
		}
	}
}

func TestGoals(t *testing.T) {
	for _, test := range []struct {
		goal, ratio   float64
		time, reached bool
	}{
		{1, 1.1, false, true}, {1, 1, false, true}, {1, 0.9, false, false}, {1, 0.9, true, true}, {1, 1.1, true, false},
		{0, 0.1, false, true}, {0, 9, true, true}, // there is none
	} {
		r := Result{Row: Row{Goal: test.goal, Guard: test.goal, Time: test.time}, Ratios: []float64{test.ratio}}
		if r.Reached() != test.reached || r.Guarded() != test.reached || strings.Contains(r.line(), "misses") == test.reached {
			t.Errorf("%+v: %s", test, r.line())
		}
	}
}

func TestAlone(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	broken := errors.New("broken")
	for _, fails := range []error{nil, broken} {
		side := func(int) (Spent, error) {
			if n := runtime.GOMAXPROCS(0); n != 1 {
				t.Errorf("a side has %d processors", n)
			}
			return Spent{}, nil
		}
		row := alone(Row{Name: "a path", Goal: 1, Start: func() (Side, Side, func() error, error) { return side, side, nothing, fails }})
		if result := row.Measure(1, time.Microsecond); !errors.Is(result.Err, fails) || row.Goal != 0 || row.Name != "a path, GOMAXPROCS=1" {
			t.Errorf("%+v", result)
		}
		if n := runtime.GOMAXPROCS(0); n != 3 {
			t.Errorf("%d processors are left", n)
		}
	}
}

// TestSides: both sides of each row that needs no server do their work.
func TestSides(t *testing.T) {
	for _, row := range append(InProcess(), Stores(t.TempDir(), "")...) {
		if strings.Contains(row.Name, "1,000,000") {
			continue // keys to be made
		}
		ours, raw, stop, err := row.Start()
		if err != nil {
			t.Fatal(row.Name, err)
		}
		for _, side := range []Side{ours, raw} {
			if _, err := side(1000); err != nil {
				t.Errorf("%s: %v", row.Name, err)
			}
		}
		if err := stop(); err != nil {
			t.Errorf("%s: %v", row.Name, err)
		}
	}
}

// TestPopulation: everything of it comes up, and the same each time.
func TestPopulation(t *testing.T) {
	combinations, ids := make(map[[3]string]bool), make(map[string]bool)
	perOrg := make(map[string]int)
	const n = 100_000
	for i := range n {
		e := entry(i, orgs).Event
		combinations[[3]string{e.AgentID, e.TaskType, e.Model}] = true
		ids[e.ID] = true
		perOrg[e.Org]++
		if e.Org != entry(i, orgs).Event.Org || entry(i, 1).Event.Org != orgNames[0] {
			t.Fatal(i, e.Org)
		}
	}
	if len(combinations) != agents*taskTypes*models || len(ids) != n || len(perOrg) != orgs {
		t.Errorf("%d combinations, %d ids, %d orgs", len(combinations), len(ids), len(perOrg))
	}
	for org, events := range perOrg {
		if events < n/orgs*8/10 || events > n/orgs*12/10 {
			t.Errorf("%s has %d events", org, events)
		}
	}
}

func TestHeapPerEvent(t *testing.T) {
	one := lean(12345, 1)
	if n := len(one.Event.AppendJSON(nil)); n < 440 || n > 460 || len(one.Key) != 36 {
		t.Errorf("an event of %d bytes of JSON, its key is %q", n, one.Key)
	}
	stored := float64(len(one.Event.AppendStored(nil)))
	for _, n := range []int{1, orgs} {
		first, later, err := HeapPerEvent(10_000, n)
		if err != nil || first < stored/4 || first > 4*stored || later < stored/4 || later > 4*stored {
			t.Errorf("%v bytes, and %v a day later, of %v that are stored; error %v", first, later, stored, err)
		}
	}
}

func TestLatencies(t *testing.T) {
	l, err := Latencies(Memory, 3, 50*time.Millisecond)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || len(l.Ratios) != 3 || l.Ratios[0] < 1 || l.P50 <= 0 || l.P99 < l.P50 || l.Late < 0 || l.Rate <= 0 {
		t.Errorf("%+v, error %v", l, err)
	}
}

// A server that stands still for a while holds up all requests that are due meanwhile, not only those that it has.
func TestLatencyCountsFromWhenRequestsAreDue(t *testing.T) {
	const rate, n, pause = 1000, 400, 100 * time.Millisecond
	var still sync.RWMutex
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == n/4 {
			still.Lock()
			time.AfterFunc(pause, still.Unlock)
		}
		still.RLock()
		defer still.RUnlock()
		bare().ServeHTTP(w, r)
	}))
	defer server.Close()
	c := &client{}
	defer c.close()
	took, late, err := c.sendAt(server.Listener.Addr().String(), requestBytes("/v1/track", "none", Documented, true), rate, n, 256)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || len(late) != n {
		t.Fatal(len(late), err)
	}
	slow := 0
	for _, d := range took {
		if d > pause/4 {
			slow++
		}
	}
	if least := int(pause.Seconds() * rate / 2); slow < least {
		t.Errorf("%d requests took long, of more than %d that were due", slow, least)
	}
}

// Servers close a connection that never has a request, and one that rests for long. All are used before one is used again.
func TestAllConnectionsAreUsed(t *testing.T) {
	const connections = 16
	var mu sync.Mutex
	seen := make(map[string]bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.RemoteAddr] = true
		mu.Unlock()
		bare().ServeHTTP(w, r)
	}))
	defer server.Close()
	c := &client{}
	defer c.close()
	_, _, err := c.sendAt(server.Listener.Addr().String(), requestBytes("/v1/track", "none", Documented, true), 1000, connections, connections)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if err != nil || len(seen) != connections {
		t.Errorf("%d connections were used of %d, error %v", len(seen), connections, err)
	}
}

// TestKills: a process that is killed shows what each pattern does of what is said of it.
func TestKills(t *testing.T) {
	at := redistest.Start(t).Addr()
	for _, kind := range []string{oneStep, longLock, shortLock} {
		o, err := Kills(kind, at, 3)
		t.Logf("%s: %+v", kind, o)
		if err != nil || o.Requests < 1500 || o.Cut < 10 {
			t.Fatalf("%s: %+v, error %v", kind, o, err)
		}
		ours := kind == oneStep
		if ours != (o.Doubled+o.Lost+o.Refused == 0) || (kind == longLock) != (o.Refused > 0) || (kind == shortLock) != (o.Doubled > 0) {
			t.Errorf("%s: %+v", kind, o)
		}
	}
	if result := onceRow(at).Measure(2, 10*time.Millisecond); result.Err != nil || len(result.Ratios) != 2 {
		t.Errorf("%+v", result)
	}
}

func TestGrowth(t *testing.T) {
	all, err := Growth(1000, t.TempDir(), "")
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	for kind, list := range all {
		g := list[0]
		if len(list) != 1 || g.Events != 1000 || g.Append <= 0 || g.Report <= 0 || g.Each < 100 || g.Each > 10_000 || g.Heap == 0 {
			t.Errorf("%s: %+v", kind, list)
		}
	}
	if freeMemory() <= 0 || freeDisk(t.TempDir()) <= 0 {
		t.Errorf("%d bytes of memory and %d of disk are free", freeMemory(), freeDisk(t.TempDir()))
	}
	all[Redis] = []Growing{{Events: 1000, Append: time.Millisecond, Report: time.Second}, {Events: 1_000_000, Lacks: "memory"}}
	drawing := chart(all)
	texts := 0
	for decoder := xml.NewDecoder(strings.NewReader(drawing)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, drawing)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "text" {
			texts++
		}
	}
	if texts < 10 || strings.Count(drawing, "<polyline") != 6 || strings.Contains(drawing, "NaN") || strings.Contains(drawing, "10^6") {
		t.Error(drawing)
	}
}

func TestSoak(t *testing.T) {
	list, err := Soak(SQLite, t.TempDir(), "", 400*time.Millisecond)
	if err != nil || len(list) < 3 {
		t.Fatal(list, err)
	}
	for _, held := range list {
		if held.Heap < 100_000 || held.Goroutines < 16 || held.Files != 0 && held.Files < 16 {
			t.Errorf("%+v", held)
		}
	}
	first := Held{Heap: 10_000_000, Goroutines: 30, Files: 40}
	for _, test := range []struct {
		last   Held
		steady bool
	}{
		{first, true}, {Held{12_000_000, 30, 40}, true}, {Held{12_000_001, 30, 40}, false}, {Held{5_000_000, 30, 40}, true},
		{Held{10_000_000, 31, 40}, false}, {Held{10_000_000, 30, 41}, false},
	} {
		if steady(first, test.last) != test.steady {
			t.Errorf("%+v", test)
		}
	}
}

// The raw sides have as much to read and to write as ours.
func TestRawSidesAreFair(t *testing.T) {
	one, err := tracker(memory.New())
	if err != nil {
		t.Fatal(err)
	}
	for name, input := range map[string]struct {
		body    string
		request humanhours.TrackRequest
	}{"documented": {Documented, Request()}, "small": {Small, smallRequest()}, "full": {Full, fullRequest()}} {
		decoder := json.NewDecoder(strings.NewReader(keyed(input.body)))
		decoder.DisallowUnknownFields()
		var request requestJSON
		if err := decoder.Decode(&request); err != nil || request.Key == "" {
			t.Fatalf("%s: the key is %q, error %v", name, request.Key, err)
		}
		theirs, err := json.Marshal(request.answer())
		if err != nil {
			t.Fatal(err)
		}
		result, err := one.Track(context.Background(), humanhours.Caller{}, input.request)
		if err != nil || result.Event.AgentCost.Valid != (name != "small") {
			t.Fatal(name, result.Event.Cost, err)
		}
		ours := result.Event.AppendJSON(nil)
		if most := len(ours) / 10; len(theirs) < len(ours)-most || len(theirs) > len(ours)+most {
			t.Errorf("%s: the bare handler answers %d bytes and ours %d:\n%s\n%s", name, len(theirs), len(ours), theirs, ours)
		}
		response := httptest.NewRecorder()
		served, key, _, err := handler(Memory, "", "")
		if err != nil {
			t.Fatal(err)
		}
		post := httptest.NewRequest(http.MethodPost, "/v1/track", strings.NewReader(input.body))
		post.Header.Set("Authorization", "Bearer "+key)
		post.Header.Set("Content-Type", "application/json")
		served.ServeHTTP(response, post)
		_, posted, _ := strings.Cut(strings.TrimSpace(response.Body.String()), `"agent_id"`)
		_, tracked, _ := strings.Cut(string(ours), `"agent_id"`)
		if name == "small" { // has no time of its own
			posted, _, _ = strings.Cut(posted, `"occurred_at"`)
			tracked, _, _ = strings.Cut(tracked, `"occurred_at"`)
		}
		if posted != tracked {
			t.Errorf("%s: the body and the request in Go are two events:\n%s\n%s", name, posted, tracked)
		}
	}
	if !json.Valid([]byte(batch(2))) {
		t.Error("the body of a batch is not JSON")
	}
}

// TestAllocations is what guards the speed of Track where it can be counted.
func TestAllocations(t *testing.T) {
	a, err := Allocations()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("allocations: %+v", a)
	for name, at := range map[string][2]float64{"Track": {a.Track, allocsGoal}, "TrackBatch": {a.Batch, 20}, "DecodeStored": {a.Decode, 45}} {
		if at[0] > at[1] || at[0] < 1 {
			t.Errorf("%s: %v allocations, at most %v", name, at[0], at[1])
		}
	}
}

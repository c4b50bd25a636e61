package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sort"
	"sync"
	"time"

	"github.com/go-chi/httprate"
	"github.com/go-redis/redis_rate/v10"
	goredis "github.com/redis/go-redis/v9"
	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	"golang.org/x/time/rate"

	"github.com/humanhours/humanhours-go"
	redisstore "github.com/humanhours/humanhours-go/store/redis"
)

// Admitted is how many calls a limiter of a limit admits in its worst second, and how many of one caller it decides in a second.
type Admitted struct {
	Name string
	How  string
	Most int
	Rate float64
}

// Exactness has callers of several limiters, each with a limit of so many a second, call without a pause for a while after a rest, which begins at another
// part of a second each time; phases is how often. Then one caller of each takes for many keys in turn, for so long, in as many rounds.
func Exactness(limit, phases int, redis string, rounds int, each time.Duration) ([]Admitted, error) {
	ctx := context.Background()
	type peer struct {
		name, how string
		take      func(key string) (bool, error)
	}
	own := humanhours.NewLimiter(nil)
	peers := []peer{{"humanhours, in process", "the instants that were allowed", func(key string) (bool, error) {
		d, err := own.Take(ctx, humanhours.TakeQuery{Key: key, Limit: limit})
		return d.Allowed, err
	}}}
	var mu sync.Mutex // as a program would have it
	buckets := make(map[string]*rate.Limiter)
	peers = append(peers, peer{"golang.org/x/time/rate", "token bucket", func(key string) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		if buckets[key] == nil {
			buckets[key] = rate.NewLimiter(rate.Limit(limit), limit)
		}
		return buckets[key].Allow(), nil
	}})
	memory, err := memstore.NewCtx(1 << 10)
	if err != nil {
		return nil, err
	}
	gcra, err := throttled.NewGCRARateLimiterCtx(memory, throttled.RateQuota{MaxRate: throttled.PerSec(limit), MaxBurst: limit - 1})
	if err != nil {
		return nil, err
	}
	peers = append(peers, peer{"throttled/throttled, in process", "GCRA", func(key string) (bool, error) {
		limited, _, err := gcra.RateLimitCtx(ctx, key, 1)
		return !limited, err
	}})
	tokens, err := memorystore.New(&memorystore.Config{Tokens: uint64(limit), Interval: time.Second})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tokens.Close(ctx) }()
	peers = append(peers, peer{"sethvargo/go-limiter, in process", "fixed windows from the first call on", func(key string) (bool, error) {
		_, _, _, ok, err := tokens.Take(ctx, key)
		return ok, err
	}})
	windows := httprate.NewRateLimiter(limit, time.Second)
	request, answer := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	peers = append(peers, peer{"go-chi/httprate, in process", "two fixed windows, weighted", func(key string) (bool, error) {
		return !windows.OnLimit(answer, request, key), nil
	}})
	if redis != "" {
		client := goredis.NewClient(&goredis.Options{Addr: redis})
		defer client.Close()
		ours, err := redisstore.NewLimiter(client, redisstore.LimiterConfig{OnFailure: redisstore.FailClosed, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		defer func() { _ = ours.Close() }()
		theirs := redis_rate.NewLimiter(client)
		peers = append(peers, peer{"humanhours, Redis", "the instants that were allowed", func(key string) (bool, error) {
			d, err := ours.Take(ctx, humanhours.TakeQuery{Key: key, Limit: limit})
			return d.Allowed, err
		}}, peer{"go-redis/redis_rate", "GCRA", func(key string) (bool, error) {
			result, err := theirs.Allow(ctx, key, redis_rate.PerSecond(limit))
			if err != nil {
				return false, err
			}
			return result.Allowed > 0, nil
		}})
	}
	var all []Admitted
	for _, p := range peers {
		a := Admitted{Name: p.name, How: p.how}
		for phase := range phases {
			most, err := worst(func() (bool, error) { return p.take(fmt.Sprint("phase ", phase)) }, time.Duration(phase)*time.Second/time.Duration(phases))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			a.Most = max(a.Most, most)
		}
		all = append(all, a)
	}
	rates := make([][]float64, len(peers))
	for range rounds {
		for i, p := range peers {
			rate, err := takes(p.take, each)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	for i := range all {
		sort.Float64s(rates[i])
		all[i].Rate = median(rates[i])
	}
	return all, nil
}

// takes is how many calls in a second a limiter decides, for keys that are below and above their limit.
func takes(take func(key string) (bool, error), each time.Duration) (float64, error) {
	const keys, step = 1000, 100
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprint("key ", i)
	}
	n, start := 0, time.Now()
	for ; time.Since(start) < each; n += step {
		for i := range step {
			if _, err := take(names[(n+i)%keys]); err != nil {
				return 0, err
			}
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// worst calls as often as it can, and returns how many calls of one second were admitted at most.
func worst(take func() (bool, error), phase time.Duration) (int, error) {
	if _, err := take(); err != nil { // where windows begin with a call, they do
		return 0, err
	}
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(time.Second + phase).Sub(now)) // it is time that is measured
	var admitted []time.Time
	for start := time.Now(); time.Since(start) < 1300*time.Millisecond; time.Sleep(500 * time.Microsecond) {
		before := time.Now()
		ok, err := take()
		if err != nil {
			return 0, err
		}
		if ok {
			admitted = append(admitted, before)
		}
	}
	most := 0
	for i, from := range admitted {
		end := sort.Search(len(admitted), func(j int) bool { return admitted[j].Sub(from) >= 990*time.Millisecond }) // a call takes a while
		most = max(most, end-i)
	}
	return most, nil
}

package redis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

var (
	//go:embed common.lua
	commonLua string
	//go:embed amend.lua
	amendLua string
	//go:embed append.lua
	appendLua string
	//go:embed agents.lua
	agentsLua string
	//go:embed find.lua
	findLua string
	//go:embed chunks.lua
	chunksLua string
	//go:embed org.lua
	orgLua string
	//go:embed key.lua
	keyLua string
	//go:embed sums.lua
	sumsLua string
	//go:embed resum.lua
	resumLua string
	//go:embed cut.lua
	cutLua string
	//go:embed limiter.lua
	limiterLua string
)

// scripts are the Lua programs of the store, each with its hash.
type scripts struct {
	amend, append, agents, find, chunks, org, key, sums, resum, cut *goredis.Script
}

func newScripts() scripts {
	of := func(text string) *goredis.Script { return goredis.NewScript(commonLua + text) }
	return scripts{
		amend: of(amendLua), append: of(appendLua), agents: of(agentsLua), find: of(findLua), chunks: of(chunksLua), org: of(orgLua), key: of(keyLua),
		sums: of(sumsLua), resum: of(resumLua), cut: of(cutLua),
	}
}

// call is one call of a script, and what came of it.
type call struct {
	script *goredis.Script
	keys   []string
	args   []any

	answer any
	err    error
}

// caller calls Redis again as long as that can help, and never for longer than it may.
type caller struct {
	client  goredis.UniversalClient
	cluster *goredis.ClusterClient // the client, if it is one of a cluster and calls go to its nodes apart
	timeout time.Duration
}

// nodeOf is the address of the node of a cluster that has a key, as far as the client knows; any other string if it does not. It never
// waits for longer than ctx: the first time the client has to ask.
func (c caller) nodeOf(ctx context.Context, key string) string {
	found := make(chan string, 1)
	go func() {
		node, err := c.cluster.MasterForKey(ctx, key)
		if err != nil {
			found <- ""
			return
		}
		found <- node.Options().Addr
	}()
	select {
	case address := <-found:
		return address
	case <-ctx.Done():
		return ""
	}
}

// tries remembers why the last of several tries failed, for a caller who leaves during the next one.
type tries struct {
	mu   sync.Mutex
	last error
}

func (t *tries) failed(err error) {
	t.mu.Lock()
	t.last = err
	t.mu.Unlock()
}

func (t *tries) lastError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// within runs f under the timeout. It returns when ctx ends, also if f does not: go-redis reads from its sockets until its own timeouts unless
// it is told otherwise. f must leave nothing behind in its caller's variables when its context has ended.
func (c caller) within(ctx context.Context, f func(context.Context, *tries) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return err
	}
	t, done := &tries{}, make(chan error, 1)
	go func() { done <- f(ctx, t) }()
	select {
	case err := <-done:
		if err != nil && ctx.Err() != nil {
			if errors.Is(err, ctx.Err()) {
				err = t.lastError()
			}
			return errors.Join(ctx.Err(), err)
		}
		return err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), t.lastError())
	}
}

// run makes calls, all at once, and fills in their answers.
func (c caller) run(ctx context.Context, calls []call) {
	type outcome struct {
		answer any
		err    error
	}
	var outcomes []outcome
	err := c.within(ctx, func(ctx context.Context, t *tries) error {
		mine := make([]call, len(calls))
		for i := range calls {
			mine[i] = call{script: calls[i].script, keys: calls[i].keys, args: calls[i].args}
		}
		c.persistNoting(ctx, mine, t)
		if ctx.Err() == nil {
			outcomes = make([]outcome, len(mine))
			for i := range mine {
				outcomes[i] = outcome{mine[i].answer, mine[i].err}
			}
			return nil
		}
		// Whoever called may have left already.
		return ctx.Err()
	})
	for i := range calls {
		if err != nil {
			calls[i].err = explain(err)
			continue
		}
		calls[i].answer, calls[i].err = outcomes[i].answer, explain(outcomes[i].err)
	}
}

// persist makes calls until none of them has an error that may pass.
func (c caller) persist(ctx context.Context, calls []call) { c.persistNoting(ctx, calls, &tries{}) }

func (c caller) persistNoting(ctx context.Context, calls []call, t *tries) {
	pending := make([]*call, len(calls))
	for i := range calls {
		pending[i] = &calls[i]
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		c.send(ctx, pending)
		var again []*call
		for _, p := range pending {
			if passing(p.err) {
				again = append(again, p)
				t.failed(p.err)
			}
		}
		if pending = again; len(pending) == 0 || !sleep(ctx, pause) {
			return
		}
	}
}

// Pauses between two tries. A slot of a cluster moves in milliseconds, a failover takes seconds.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause/2 + rand.N(pause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// send makes each call once, and a second time with the text of its script if Redis does not have it: after a restart, a failover, or
// on a node that is new.
func (c caller) send(ctx context.Context, calls []*call) {
	if len(calls) == 1 {
		p := calls[0]
		p.answer, p.err = p.script.EvalSha(ctx, c.client, p.keys, p.args...).Result()
		if goredis.HasErrorPrefix(p.err, "NOSCRIPT") {
			p.answer, p.err = p.script.Eval(ctx, c.client, p.keys, p.args...).Result()
		}
		return
	}
	var unknown []*call
	c.pipeline(ctx, calls, func(pipe goredis.Pipeliner, p *call) *goredis.Cmd {
		return p.script.EvalSha(ctx, pipe, p.keys, p.args...)
	})
	for _, p := range calls {
		if goredis.HasErrorPrefix(p.err, "NOSCRIPT") {
			unknown = append(unknown, p)
		}
	}
	if len(unknown) > 0 {
		c.pipeline(ctx, unknown, func(pipe goredis.Pipeliner, p *call) *goredis.Cmd { return p.script.Eval(ctx, pipe, p.keys, p.args...) })
	}
}

func (c caller) pipeline(ctx context.Context, calls []*call, queue func(goredis.Pipeliner, *call) *goredis.Cmd) {
	pipe := c.client.Pipeline()
	commands := make([]*goredis.Cmd, len(calls))
	for i, p := range calls {
		commands[i] = queue(pipe, p)
	}
	_, _ = pipe.Exec(ctx) // every command has its own error
	for i, p := range calls {
		p.answer, p.err = commands[i].Result()
	}
}

// do runs plain commands until they have no error that may pass. f must not write: it may run twice.
func (c caller) do(ctx context.Context, f func(context.Context, goredis.UniversalClient) error) error {
	return explain(c.within(ctx, func(ctx context.Context, t *tries) error {
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			err := f(ctx, c.client)
			if !passing(err) {
				return err
			}
			t.failed(err)
			if !sleep(ctx, pause) {
				return err
			}
		}
	}))
}

// passing reports an error that a later try may not meet. To try again is safe: an event keeps its id, other writes carry a mark.
func passing(err error) bool {
	switch {
	case err == nil, errors.Is(err, goredis.Nil), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, goredis.ErrClosed):
		return false
	}
	var answered goredis.Error
	if !errors.As(err, &answered) {
		return true // of the connection
	}
	for _, code := range [...]string{
		"TRYAGAIN", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "MOVED", "ASK", "BUSY", "NOREPLICAS", "ERR max number of clients",
	} {
		if says(answered, code) {
			return true
		}
	}
	return false
}

// says reports an answer of Redis with a code. Before Redis 7 that of a command in a script is in the middle of the text.
func says(err error, code string) bool {
	return strings.HasPrefix(err.Error(), code+" ") || strings.Contains(err.Error(), ": -"+code+" ")
}

// explain adds to an answer of Redis what somebody can do about it.
func explain(err error) error {
	var answered goredis.Error
	if err == nil || !errors.As(err, &answered) {
		return err
	}
	const password, may = "Redis asks for a password: set it in the options of the client",
		"the user of the client may not do this: it needs +@read +@write +@scripting +@connection on all keys of the prefix"
	for _, known := range [...]struct{ code, advice string }{
		{"OOM", "the memory of Redis is full: raise maxmemory, or move to a larger server"},
		{"READONLY", "this Redis is a replica: point the client at the master, or let Sentinel or a cluster tell it which one that is"},
		{"NOREPLICAS", "Redis has fewer replicas than min-replicas-to-write asks for"},
		{"MISCONF", "Redis cannot save to its disk and takes no writes until it can: see its log"},
		{"NOAUTH", password},
		{"ERR Protocol error: unauthenticated", password}, // of a request that is large

		{"WRONGPASS", "Redis refuses the user name or the password of the client"},
		{"NOPERM", may},
		{"ERR The user executing the script can't", may},
	} {
		if says(answered, known.code) {
			return fmt.Errorf("%s: %w", known.advice, err)
		}
	}
	return err
}

// text reads an answer that is a string.
func text(answer any) (string, error) {
	s, ok := answer.(string)
	if !ok {
		return "", fmt.Errorf("%w: %T", errAnswer, answer)
	}
	return s, nil
}

// texts reads an answer that is a list of strings.
func texts(answer any) ([]string, error) {
	list, ok := answer.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: %T", errAnswer, answer)
	}
	all := make([]string, len(list))
	for i, item := range list {
		var err error
		if all[i], err = text(item); err != nil {
			return nil, err
		}
	}
	return all, nil
}

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
	redisstore "github.com/humanhours/humanhours-go/store/redis"
)

// Patterns of doing the work of a request once.
const (
	oneStep   = "one step"       // store/redis
	longLock  = "lock of 1 min"  // SET NX, the work, SET of the result
	shortLock = "lock of 100 ms" // likewise
)

var locks = map[string]time.Duration{longLock: time.Minute, shortLock: 100 * time.Millisecond}

// patience is how long a caller whose request was refused, or not answered, sends it again.
const patience = 300 * time.Millisecond

// pattern is one of them at work: do reports false for a request that is refused because another one with its key seems to be at work.
type pattern struct {
	do     func(ctx context.Context, e *humanhours.Entry) (bool, error)
	events func(ctx context.Context) ([]string, error) // the ids of all that were written
	close  func() error
}

// newPattern returns one on a Redis.
func newPattern(kind, address string) (pattern, error) {
	client := goredis.NewClient(&goredis.Options{Addr: address})
	if lock, ok := locks[kind]; ok {
		l := locking{client: client, lock: lock}
		return pattern{do: l.do, events: l.events, close: client.Close}, nil
	}
	s, err := redisstore.New(client, redisstore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return pattern{}, err
	}
	return pattern{
		do: func(ctx context.Context, e *humanhours.Entry) (bool, error) {
			return true, s.Append(ctx, []humanhours.Entry{*e})[0].Err
		},
		events: func(ctx context.Context) (ids []string, err error) {
			for event, err := range s.Events(ctx, humanhours.EventQuery{Org: orgNames[0]}) {
				if err != nil {
					return nil, err
				}
				ids = append(ids, event.ID)
			}
			return ids, nil
		},
		close: func() error { return errors.Join(s.Close(), client.Close()) },
	}, nil
}

// locking is what middleware for idempotency keys does: a lock under the key, the work, the result under the key.
type locking struct {
	client *goredis.Client
	lock   time.Duration
}

const (
	locked   = "locked"
	workList = "work"
)

func (l *locking) do(ctx context.Context, e *humanhours.Entry) (bool, error) {
	mine, err := l.client.SetNX(ctx, "once:"+e.Key, locked, l.lock).Result()
	if err != nil {
		return false, err
	}
	if !mine {
		result, err := l.client.Get(ctx, "once:"+e.Key).Result()
		if errors.Is(err, goredis.Nil) { // it has just expired
			return false, nil
		}
		return result != locked, err
	}
	body := e.Event.AppendStored(nil)
	if err := l.client.RPush(ctx, workList, body).Err(); err != nil {
		return false, err
	}
	return true, l.client.Set(ctx, "once:"+e.Key, body, humanhours.IdempotencyWindow).Err()
}

func (l *locking) events(ctx context.Context) (ids []string, err error) {
	list, err := l.client.LRange(ctx, workList, 0, -1).Result()
	for _, text := range list {
		event, err := humanhours.DecodeStored(orgNames[0], []byte(text))
		if err != nil {
			return nil, err
		}
		ids = append(ids, event.ID)
	}
	return ids, err
}

// onceRow is our way beside the other one.
func onceRow(address string) Row {
	return Row{Name: "idempotency on Redis", Unit: "requests", Start: func() (Side, Side, func() error, error) {
		var sides [2]Side
		var stops [2]func() error
		for i, kind := range []string{oneStep, longLock} {
			p, err := newPattern(kind, address)
			if err != nil {
				return nil, nil, nil, err
			}
			m := &maker{orgs: 1}
			stops[i] = p.close
			sides[i] = func(n int) (Spent, error) {
				began := time.Now()
				list := m.entries(n)
				return Spent{Inputs: time.Since(began)}, callers(64, n, func(i int) error {
					ok, err := p.do(context.Background(), &list[i])
					if !ok {
						err = errors.Join(err, errors.New("a new request was refused"))
					}
					return err
				})
			}
		}
		return sides[0], sides[1], func() error { return errors.Join(stops[0](), stops[1](), empty(address)) }, nil
	}}
}

func empty(address string) error {
	client := goredis.NewClient(&goredis.Options{Addr: address})
	return errors.Join(client.FlushAll(context.Background()).Err(), client.Close())
}

// Work does requests by a pattern until its standard input ends: each line of it is the number of one, and each of the output a number and an answer.
func Work(kind, address string) error {
	p, err := newPattern(kind, address)
	if err != nil {
		return err
	}
	var mu sync.Mutex // of the output
	var all sync.WaitGroup
	attempts := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); attempts++ {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		e := entry(n, 1)
		e.Event.ID = fmt.Sprintf("evt-%d-%d-%d", n, os.Getpid(), attempts) // a request has its key, and each attempt an id
		all.Go(func() {
			answer := "done"
			if ok, err := p.do(context.Background(), &e); err != nil {
				answer = "failed"
				fmt.Fprintln(os.Stderr, err)
			} else if !ok {
				answer = "refused"
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Println(n, answer)
		})
	}
	all.Wait()
	return p.close()
}

// worker is a process that does Work. It can be killed and started again.
type worker struct {
	kind, redis string

	mu      sync.Mutex
	command *exec.Cmd // nil: it is down
	input   io.WriteCloser
	waiting map[int]chan string // for answers, by the number of the request
	ended   chan struct{}
}

func (w *worker) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(self, "-work", w.kind, "-redis", w.redis)
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		return err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.command, w.input, w.waiting, w.ended = command, input, make(map[int]chan string), make(chan struct{})
	go w.listen(output)
	return nil
}

// listen gives answers to those who wait for them, until there are no more.
func (w *worker) listen(output io.Reader) {
	for lines := bufio.NewScanner(output); lines.Scan(); {
		number, answer, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.Atoi(number)
		w.mu.Lock()
		if c := w.waiting[n]; c != nil {
			delete(w.waiting, n)
			c <- answer
		}
		w.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.waiting {
		close(c)
	}
	w.waiting = nil
	close(w.ended)
}

// ask sends a request and returns the answer; empty: there is none.
func (w *worker) ask(n int) string {
	answer := make(chan string, 1)
	w.mu.Lock()
	if w.waiting == nil {
		w.mu.Unlock()
		return ""
	}
	w.waiting[n] = answer
	_, _ = fmt.Fprintln(w.input, n) // who is not heard is not answered
	w.mu.Unlock()
	return <-answer
}

// settle sends a request until it is answered, and reports false if its caller has lost patience. A process that is down costs none.
func (w *worker) settle(n int) bool {
	var until time.Time
	for {
		answer := w.ask(n)
		if answer == "done" {
			return true
		}
		if answer != "" && until.IsZero() {
			until = time.Now().Add(patience)
		}
		if !until.IsZero() && time.Now().After(until) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// kill ends the process with no chance to do anything, and returns how many requests it had not answered.
func (w *worker) kill() int {
	w.mu.Lock()
	cut := len(w.waiting)
	_ = w.command.Process.Kill()
	w.mu.Unlock()
	<-w.ended
	_ = w.command.Wait() // killed
	return cut
}

func (w *worker) stop() error {
	_ = w.input.Close()
	<-w.ended
	return w.command.Wait()
}

// Once is what came of requests to a pattern whose process was killed again and again.
type Once struct {
	Requests int
	Cut      int // not answered when the process was killed
	Doubled  int // keys of more than one event
	Lost     int // keys without an event, although there was an answer or the caller has given up
	Refused  int // keys whose caller has given up
}

// Kills has callers send requests to a process that is killed so many times, at random, and started again.
func Kills(kind, address string, kills int) (o Once, err error) {
	if err := empty(address); err != nil {
		return o, err
	}
	w := &worker{kind: kind, redis: address}
	if err := w.start(); err != nil {
		return o, err
	}
	var next, answered atomic.Int64
	var over atomic.Bool
	var mu sync.Mutex
	gone := make(map[int]bool) // what callers have given up
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for !over.Load() {
				n := int(next.Add(1)) - 1
				if w.settle(n) {
					answered.Add(1)
					continue
				}
				mu.Lock()
				gone[n] = true
				mu.Unlock()
			}
		})
	}
	chance := rand.New(rand.NewPCG(1, 2))
	for range kills {
		began := time.Now()
		for before := answered.Load(); answered.Load() < before+500; time.Sleep(time.Millisecond) { // all callers are at it again
			if time.Since(began) > 10*time.Second {
				return o, errors.New("requests are not answered any more")
			}
		}
		time.Sleep(time.Duration(chance.IntN(20_000)) * time.Microsecond)
		o.Cut += w.kill()
		if err := w.start(); err != nil {
			return o, err
		}
	}
	over.Store(true)
	all.Wait()
	if err := w.stop(); err != nil {
		return o, err
	}
	o.Requests, o.Refused = int(next.Load()), len(gone)
	p, err := newPattern(kind, address)
	if err != nil {
		return o, err
	}
	ids, err := p.events(context.Background())
	events := make([]int, o.Requests)
	for _, id := range ids {
		var n int
		if _, err := fmt.Sscanf(id, "evt-%d-", &n); err != nil {
			return o, fmt.Errorf("event %q: %w", id, err)
		}
		events[n]++
	}
	for _, count := range events {
		if count > 1 {
			o.Doubled++
		}
		if count == 0 {
			o.Lost++
		}
	}
	return o, errors.Join(err, p.close(), empty(address))
}

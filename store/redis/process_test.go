package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/redis"
)

// asInstance is set in a process that is an instance of a service and not the tests: address and prefix.
const asInstance = "REDIS_TEST_INSTANCE"

func TestMain(m *testing.M) {
	if os.Getenv(asInstance) == "" {
		os.Exit(m.Run())
	}
	if err := instance(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// What the instances send.
const (
	instances    = 3
	instanceKeys = 900
	instanceCap  = 700 // fewer than there are keys
)

// answer is what an instance prints of a key.
type answer struct {
	Event    string // as it is stored; empty: refused
	Replayed bool
	Refused  bool
}

// instance appends an event of its own under each of the keys, from many goroutines, when its input says so.
func instance() error {
	address, rest, _ := strings.Cut(os.Getenv(asInstance), " ")
	prefix, number, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	client := goredis.NewClient(&goredis.Options{Addr: address})
	defer client.Close()
	s, err := redis.New(client, redis.Config{Prefix: prefix})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := client.Ping(context.Background()).Err(); err != nil {
		return err
	}
	fmt.Println("ready")
	var word string
	if _, err := fmt.Scanln(&word); err != nil {
		return err
	}
	answers, errs := make([]answer, instanceKeys), make([]error, instanceKeys)
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for i := worker; i < instanceKeys; i += 16 {
				i := (i + n*instanceKeys/instances) % instanceKeys // so that each creates some, whoever is fastest
				e := keyedEntry("acme", i)
				e.Event.ID = fmt.Sprintf("evt of %d by %d", i, n)
				e.Event.AgentID = "agent of " + number
				e.Cap = instanceCap
				got := s.Append(context.Background(), []humanhours.Entry{e})[0]
				answers[i], errs[i] = answer{Replayed: got.Replayed, Refused: got.QuotaExceeded}, got.Err
				if !got.QuotaExceeded {
					answers[i].Event = string(got.Event.AppendStored(nil))
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func TestProcesses(t *testing.T) {
	server := redistest.Start(t)
	client, prefix := server.Client(t), fresh()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	results := make([][]answer, instances)
	var ready, all sync.WaitGroup
	ready.Add(instances)
	for i := range instances {
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), asInstance+"="+fmt.Sprint(server.Addr(), " ", prefix, " ", i))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		all.Go(func() {
			var word string
			_, err := fmt.Fscanln(out, &word)
			ready.Done()
			ready.Wait() // all of them begin at once
			if err == nil {
				_, err = fmt.Fprintln(in, "go")
			}
			if err == nil {
				err = json.NewDecoder(out).Decode(&results[i])
			}
			if ended := cmd.Wait(); err == nil {
				err = ended
			}
			if err != nil {
				t.Errorf("instance %d: %v", i, err)
			}
		})
	}
	all.Wait()
	require.False(t, t.Failed())

	s := open(t, client, prefix)
	stored := make(map[string]bool)
	var events []humanhours.Event
	for e, err := range s.Events(ctx, humanhours.EventQuery{Org: "acme"}) {
		require.NoError(t, err)
		stored[string(e.AppendStored(nil))] = true
		events = append(events, e)
	}
	require.Len(t, stored, instanceCap)
	requireAgents(t, s, "acme", events)
	makers := make(map[byte]int)
	for key := range instanceKeys {
		event, created := "", 0
		for i := range instances {
			a := results[i][key]
			if a.Refused { // it came to the cap before the key was there, or there is none
				continue
			}
			if event == "" {
				event = a.Event
			}
			require.Equal(t, event, a.Event, "key %d: the answers differ", key)
			require.True(t, stored[a.Event])
			if !a.Replayed {
				created++
				makers[byte(i)]++
			}
		}
		if event != "" {
			require.Equal(t, 1, created, "key %d", key)
			delete(stored, event)
		}
	}
	require.Empty(t, stored, "every event is that of one key")
	require.Len(t, makers, instances, "they did not work at the same time")
	auditRaw(t, client, prefix, "acme", instanceCap)
}

package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
	"github.com/humanhours/humanhours-go/store/redis"
	"github.com/humanhours/humanhours-go/store/storetest"
)

func TestCluster(t *testing.T) {
	// A node that is away must not take the slots of the others along.
	c := redistest.StartCluster(t, 3, "--appendonly", "yes", "--appendfsync", "always", "--cluster-require-full-coverage", "no")
	t.Run("spread", func(t *testing.T) { orgsSpread(t, c) })
	t.Run("names", func(t *testing.T) { namesNeverCollide(t, c) })
	t.Run("a slot moves", func(t *testing.T) { slotMoves(t, c) })
	t.Run("amendments", func(t *testing.T) { amendedInACluster(t, c) })
	t.Run("the slot of the API keys moves", func(t *testing.T) { keySlotMoves(t, c) })
	t.Run("scripts are forgotten", func(t *testing.T) { scriptsForgotten(t, c) })
	t.Run("a node is killed", func(t *testing.T) { nodeKilled(t, c) })
}

// The disk has no part in the contract, and would make it slow.
func TestClusterConformance(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	one := c.Client(t)
	storetest.Run(t, func(tb testing.TB) humanhours.Store { return open(tb, one, fresh()) })
	storetest.RunShared(t, func(tb testing.TB, n int) []humanhours.Store {
		prefix, stores := fresh(), make([]humanhours.Store, n)
		for i := range stores {
			stores[i] = open(tb, c.Client(tb), prefix)
		}
		return stores
	})
	storetest.RunOrgs(t, func(tb testing.TB) humanhours.OrgStore { return open(tb, one, fresh()) })
	storetest.RunKeys(t, func(tb testing.TB) humanhours.KeyStore { return open(tb, one, fresh()) })
}

func orgsSpread(t *testing.T, c *redistest.Cluster) {
	const orgs = 40
	client, prefix := c.Client(t), fresh()
	s := open(t, client, prefix)
	var batch []humanhours.Entry
	for i := range orgs {
		batch = append(batch, keyedEntry("org"+strconv.Itoa(i), i))
	}
	for _, got := range s.Append(t.Context(), batch) {
		require.NoError(t, got.Err)
	}
	slots, nodes := make(map[int]bool), make(map[int]bool)
	for i := range orgs {
		base := prefix + "{org" + strconv.Itoa(i) + "}"
		slot := c.SlotOf(t, base)
		for _, name := range rawKeys(t, client, base) {
			require.Equal(t, slot, c.SlotOf(t, name), "%s is in another slot than its org", name)
		}
		slots[slot], nodes[c.Owner(t, slot)] = true, true
	}
	require.Greater(t, len(slots), orgs/2)
	require.Len(t, nodes, len(c.Nodes))
}

func namesNeverCollide(t *testing.T, c *redistest.Cluster) {
	s, ctx := open(t, c.Client(t), fresh()), t.Context()
	var all, reversed [255]byte
	for i := range all {
		all[i], reversed[i] = byte(i), byte(254-i)
	}
	orgs := []string{
		"a", "{a}", "{a", "a}", "{}", "{}a", "}a{", "a\n", "a\nb", "\n", "~YQ", "~", "a:e:1", "a}:e:1", "#keys", "{#keys}", ":k", "a:", "\x00", "\xff",
		string(all[:]), string(reversed[:]), strings.Repeat("{", 255), strings.Repeat("\n", 255), strings.Repeat("x", 255),
	}
	var batch []humanhours.Entry
	for i, org := range orgs {
		e := keyedEntry(org, 1) // one id and one key for all of them
		e.Event.AgentID = "agent of " + strconv.Itoa(i)
		batch = append(batch, e)
	}
	for i, got := range s.Append(ctx, batch) {
		require.NoError(t, got.Err)
		require.False(t, got.Replayed, "%q", orgs[i])
	}
	for i, org := range orgs {
		want := batch[i].Event
		got, found, err := s.Event(ctx, org, want.ID)
		require.NoError(t, err)
		require.True(t, found && got.Equal(&want), "%q", org)
		n := 0
		for got, err := range s.Events(ctx, humanhours.EventQuery{Org: org}) {
			require.NoError(t, err)
			require.True(t, got.Equal(&want), "%q", org)
			n++
		}
		require.Equal(t, 1, n, "%q", org)
		requireAgents(t, s, org, []humanhours.Event{want})
		replay, err := s.Replay(ctx, humanhours.ReplayQuery{Org: org, Key: batch[i].Key, At: batch[i].At})
		require.NoError(t, err)
		require.True(t, replay.Found && replay.Event.Equal(&want), "%q", org)
		_, created, err := s.PutKey(ctx, humanhours.APIKey{ID: "id" + strconv.Itoa(i), Org: org})
		require.NoError(t, err)
		require.True(t, created)
		keys, err := s.Keys(ctx, org)
		require.NoError(t, err)
		require.Len(t, keys, 1)
		_, err = s.UpdateOrg(ctx, org, func(o *humanhours.Org) ([]humanhours.Change, error) {
			o.Plan = "plan" + strconv.Itoa(i)
			return nil, nil
		})
		require.NoError(t, err)
	}
	for i, org := range orgs {
		got, found, err := s.Org(ctx, org)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, "plan"+strconv.Itoa(i), got.Plan)
	}
}

// refusedWhole proves on both nodes that the keys of the store's scripts keep Redis from running one in a slot that moves. The script here
// writes to a key that no node has to ask for.
func refusedWhole(t *testing.T, source, target *redistest.Server, base, key string) {
	t.Helper()
	const script = "redis.call('INCR', KEYS[1] .. ':probe') return 1"
	ctx := t.Context()
	err := source.Client(t).Eval(ctx, script, []string{base, base + key}).Err()
	require.Error(t, err)
	assert.Regexp(t, "^(TRYAGAIN|ASK) ", err.Error())
	client := goredis.NewClient(&goredis.Options{Addr: target.Addr(), MaxRetries: -1}) // a second try would not be ASKING
	defer client.Close()
	conn := client.Conn()
	defer conn.Close()
	require.NoError(t, conn.Do(ctx, "ASKING").Err())
	err = conn.Eval(ctx, script, []string{base, base + key}).Err()
	require.Error(t, err)
	assert.Regexp(t, "^TRYAGAIN ", err.Error())
}

// prompt runs a call and checks that it returns within its deadline.
func prompt(t *testing.T, what string, deadline time.Duration, f func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	start := time.Now()
	err := f(ctx)
	if took := time.Since(start); took > deadline+late {
		t.Errorf("%s took %v with a deadline of %v", what, took, deadline)
	}
	return err
}

// patient makes a store whose calls may take as long as their contexts allow.
func patient(t *testing.T, client goredis.UniversalClient, prefix string) *redis.Store {
	t.Helper()
	s, err := redis.New(client, redis.Config{Prefix: prefix, Timeout: 20 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func slotMoves(t *testing.T, c *redistest.Cluster) {
	const org, neighbour = "moving", "staying"
	client, prefix, ctx := c.Client(t), fresh(), t.Context()
	base := prefix + "{" + org + "}"
	stores := []*redis.Store{patient(t, client, prefix), patient(t, c.Client(t), prefix), patient(t, c.Client(t), prefix)}
	s := stores[0]
	update := func(ctx context.Context, s *redis.Store, tag string) error {
		_, err := s.UpdateOrg(ctx, org, func(o *humanhours.Org) ([]humanhours.Change, error) {
			o.Plan = tag
			return []humanhours.Change{{Subject: tag}}, nil
		})
		return err
	}
	require.NoError(t, update(ctx, s, "first"))
	wind := startStorm(t, stores, []string{org, neighbour}, 16, 250*time.Millisecond)
	wind.more(300)
	var some humanhours.Event
	wind.mu.Lock()
	for _, some = range wind.answered[org] {
		break
	}
	wind.mu.Unlock()
	slot := c.SlotOf(t, base)
	from := c.Owner(t, slot)
	to := (from + 1) % len(c.Nodes)
	calls := map[string]func(context.Context, *redis.Store) error{
		"Event": func(ctx context.Context, s *redis.Store) error {
			got, found, err := s.Event(ctx, org, some.ID)
			if err == nil && !(found && got.Equal(&some)) {
				err = errors.New("the wrong answer")
			}
			return err
		},
		"Events": func(ctx context.Context, s *redis.Store) error {
			n := 0
			for _, err := range s.Events(ctx, humanhours.EventQuery{Org: org}) {
				if err != nil {
					return err
				}
				n++
			}
			if n < 50 {
				return fmt.Errorf("the wrong answer: %d events", n)
			}
			return nil
		},
		"Replay": func(ctx context.Context, s *redis.Store) error {
			got, err := s.Replay(ctx, humanhours.ReplayQuery{Org: org, Key: "no such key", At: some.ReceivedAt})
			if err == nil && got.Found {
				err = errors.New("the wrong answer")
			}
			return err
		},
		"Usage": func(ctx context.Context, s *redis.Store) error {
			n, err := s.Usage(ctx, org, humanhours.MonthOf(some.ReceivedAt))
			if err == nil && n < 50 {
				err = fmt.Errorf("the wrong answer: %d", n)
			}
			return err
		},
		"Agents": func(ctx context.Context, s *redis.Store) error {
			list, err := s.Agents(ctx, org, false)
			if err == nil && len(list) != 7 {
				err = fmt.Errorf("the wrong answer: %d agents", len(list))
			}
			return err
		},
		"Org": func(ctx context.Context, s *redis.Store) error {
			got, found, err := s.Org(ctx, org)
			if err == nil && !(found && got.Plan != "") {
				err = errors.New("the wrong answer")
			}
			return err
		},
		"UpdateOrg": func(ctx context.Context, s *redis.Store) error { return update(ctx, s, "waited") },
	}
	var waiting sync.WaitGroup
	var waited []error
	var mu sync.Mutex
	updates, steps, told := 1, 0, 0
	before := wind.goods()[neighbour]
	c.MoveSlot(t, slot, to, func(step int) {
		steps++
		refusedWhole(t, c.Nodes[from], c.Nodes[to], base, ":m")
		var probes sync.WaitGroup
		for name, call := range calls {
			if name != "UpdateOrg" { // whose outcome an error would leave open
				probes.Go(func() {
					err := prompt(t, name, 250*time.Millisecond, func(ctx context.Context) error { return call(ctx, s) })
					if err != nil {
						assert.NotContains(t, err.Error(), "wrong answer", "%s at step %d", name, step)
						if strings.Contains(err.Error(), "TRYAGAIN") {
							mu.Lock()
							told++
							mu.Unlock()
						}
					}
				})
			}
			if name == "UpdateOrg" && step > 2 {
				continue
			}
			if name == "UpdateOrg" {
				updates++
			}
			waiting.Go(func() { // until the slot has moved
				err := prompt(t, name, 15*time.Second, func(ctx context.Context) error { return call(ctx, stores[1]) })
				mu.Lock()
				waited = append(waited, err)
				mu.Unlock()
			})
		}
		waiting.Go(func() {
			entry := keyedEntry(org, int(wind.made.Add(1)))
			var got humanhours.Appended
			_ = prompt(t, "Append", 15*time.Second, func(ctx context.Context) error {
				got = stores[2].Append(ctx, []humanhours.Entry{entry})[0]
				return nil
			})
			assert.NoError(t, got.Err)
			wind.mu.Lock()
			if got.Event != nil {
				wind.answered[org][entry.Key] = *got.Event
			}
			wind.mu.Unlock()
		})
		probes.Wait()
	})
	waiting.Wait()
	for _, err := range waited {
		require.NoError(t, err, "a call that had time until the slot had moved")
	}
	require.Greater(t, steps, 3)
	require.Positive(t, told, "no error says TRYAGAIN")
	require.Greater(t, wind.goods()[neighbour], before+50, "the others go on meanwhile")
	wind.more(200)
	wind.end(s, client, prefix)
	require.Positive(t, wind.bad[org], "the slot moved too fast to show anything")
	require.Empty(t, rawKeys(t, client, base+":probe"))
	history, err := s.History(ctx, humanhours.HistoryQuery{Org: org})
	require.NoError(t, err)
	require.Len(t, history, updates)
	got, _, err := s.Org(ctx, org)
	require.NoError(t, err)
	require.EqualValues(t, updates, got.Version)
}

func keySlotMoves(t *testing.T, c *redistest.Cluster) {
	client, prefix, ctx := c.Client(t), fresh(), t.Context()
	s := patient(t, client, prefix)
	base := prefix + "{#keys}"
	put := func(ctx context.Context, id string) error {
		_, created, err := s.PutKey(ctx, humanhours.APIKey{ID: id, Org: "acme"})
		if err == nil && !created {
			err = errors.New("the key was there already")
		}
		return err
	}
	for i := range 5 { // of several orgs, so that there are several keys of Redis
		_, _, err := s.PutKey(ctx, humanhours.APIKey{ID: "old" + strconv.Itoa(i), Org: "org" + strconv.Itoa(i)})
		require.NoError(t, err)
	}
	slot := c.SlotOf(t, base)
	from := c.Owner(t, slot)
	to := (from + 2) % len(c.Nodes)
	var waiting sync.WaitGroup
	want, last := 0, 0
	c.MoveSlot(t, slot, to, func(step int) {
		refusedWhole(t, c.Nodes[from], c.Nodes[to], base, ":k")
		want++
		waiting.Go(func() {
			assert.NoError(t, prompt(t, "PutKey", 15*time.Second, func(ctx context.Context) error { return put(ctx, "new"+strconv.Itoa(step)) }))
		})
		waiting.Go(func() {
			assert.NoError(t, prompt(t, "TouchKey", 15*time.Second, func(ctx context.Context) error {
				return s.TouchKey(ctx, "old1", storetest.Event("acme", step).ReceivedAt)
			}))
		})
		last = step
		require.Error(t, prompt(t, "PutKey", 200*time.Millisecond, func(ctx context.Context) error { return put(ctx, "never"+strconv.Itoa(step)) }))
		require.NoError(t, prompt(t, "Key", 5*time.Second, func(ctx context.Context) error {
			_, found, err := s.Key(ctx, "old1")
			if err == nil && !found {
				err = errors.New("the wrong answer")
			}
			return err
		}))
	})
	waiting.Wait()
	keys, err := s.Keys(ctx, "acme")
	require.NoError(t, err)
	require.Len(t, keys, want)
	key, _, err := s.Key(ctx, "old1")
	require.NoError(t, err)
	require.Equal(t, storetest.Event("acme", last).ReceivedAt, key.LastUsedAt)
	require.Empty(t, rawKeys(t, client, base+":probe"))
}

func scriptsForgotten(t *testing.T, c *redistest.Cluster) {
	client, prefix, ctx := c.Client(t), fresh(), t.Context()
	orgs := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	stores := []*redis.Store{patient(t, client, prefix), patient(t, c.Client(t), prefix)}
	wind := startStorm(t, stores, orgs, 16, 5*time.Second)
	for round := range 20 {
		for _, node := range c.Nodes {
			node.Must(t, "SCRIPT", "FLUSH")
		}
		var batch []humanhours.Entry
		for _, org := range orgs {
			batch = append(batch, keyedEntry(org, int(wind.made.Add(1))))
		}
		for i, got := range stores[round%2].Append(ctx, batch) { // a pipeline for each node
			require.NoError(t, got.Err)
			wind.mu.Lock()
			wind.answered[orgs[i]][batch[i].Key] = *got.Event
			wind.mu.Unlock()
		}
		wind.more(20)
	}
	wind.end(stores[0], client, prefix)
	require.Zero(t, wind.failures.Load(), wind.errors())
}

func nodeKilled(t *testing.T, c *redistest.Cluster) {
	client, prefix := c.Client(t), fresh()
	stores := []*redis.Store{patient(t, client, prefix), patient(t, c.Client(t), prefix)}
	var orgs, dead, others []string
	for i := 0; i < 9 || len(dead) == 0; i++ {
		orgs = append(orgs, "org"+strconv.Itoa(i))
		if c.Owner(t, c.SlotOf(t, prefix+"{"+orgs[i]+"}")) == 0 {
			dead = append(dead, orgs[i])
		} else {
			others = append(others, orgs[i])
		}
	}
	require.NotEmpty(t, others)
	wind := startStorm(t, stores, orgs, 2*len(orgs), 700*time.Millisecond)
	wind.more(500)
	c.Nodes[0].Kill()
	wind.fail(1)
	before := wind.goods()
	redistest.Eventually(t, func() error {
		now := wind.goods()
		for _, org := range others {
			if now[org] < before[org]+50 {
				return fmt.Errorf("%s has had %d answers since a node of others was killed", org, now[org]-before[org])
			}
		}
		return nil
	})
	for _, org := range dead {
		assert.Less(t, wind.goods()[org], before[org]+5, "%s is on the node that was killed", org)
	}
	wind.fail(int64(len(dead)))
	c.Nodes[0].Restart()
	c.WaitOK(t)
	before = wind.goods()
	redistest.Eventually(t, func() error {
		now := wind.goods()
		for _, org := range dead {
			if now[org] < before[org]+20 {
				return fmt.Errorf("%s has had %d answers since its node is back: %v", org, now[org]-before[org], wind.errors())
			}
		}
		return nil
	})
	wind.end(stores[0], client, prefix)
	for _, org := range others {
		assert.Zero(t, wind.bad[org], "%s is not on the node that was killed: %v", org, wind.errors())
	}
	for _, org := range dead {
		assert.Positive(t, wind.bad[org], "%s is on the node that was killed", org)
	}
}

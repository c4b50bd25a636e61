package redistest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Cluster is a Redis Cluster of masters without replicas.
type Cluster struct {
	Nodes []*Server
}

// StartCluster starts n servers, at least 3, and makes a cluster of them.
func StartCluster(tb testing.TB, n int, args ...string) *Cluster {
	tb.Helper()
	need(tb, "redis-cli")
	c := &Cluster{}
	create := []string{"--cluster", "create"}
	for range n {
		s := Start(tb, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-config-file", "nodes.conf"}, args...)...)
		c.Nodes = append(c.Nodes, s)
		create = append(create, s.Addr())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "redis-cli", append(create, "--cluster-replicas", "0", "--cluster-yes")...).CombinedOutput()
	if err != nil {
		tb.Fatalf("redis-cli --cluster create: %v\n%s", err, out)
	}
	c.WaitOK(tb)
	return c
}

// WaitOK waits until every node says that the cluster is complete.
func (c *Cluster) WaitOK(tb testing.TB) {
	tb.Helper()
	for _, node := range c.Nodes {
		Eventually(tb, func() error {
			client := goredis.NewClient(&goredis.Options{Addr: node.Addr(), MaxRetries: -1})
			defer client.Close()
			info, err := client.ClusterInfo(context.Background()).Result()
			if err == nil && !strings.Contains(info, "cluster_state:ok") {
				err = errors.New("the cluster is not complete")
			}
			return err
		})
	}
}

// Client returns a client of the cluster, closed at the end of the test.
func (c *Cluster) Client(tb testing.TB) *goredis.ClusterClient {
	options := &goredis.ClusterOptions{}
	for _, node := range c.Nodes {
		options.Addrs = append(options.Addrs, node.Addr())
	}
	client := goredis.NewClusterClient(options)
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// SlotOf is the hash slot of a key.
func (c *Cluster) SlotOf(tb testing.TB, key string) int {
	slot, err := strconv.Atoi(c.Nodes[0].Must(tb, "CLUSTER", "KEYSLOT", key))
	if err != nil {
		tb.Fatal(err)
	}
	return slot
}

// Owner is the index of the node that has a slot.
func (c *Cluster) Owner(tb testing.TB, slot int) int {
	tb.Helper()
	for i, node := range c.Nodes {
		client := goredis.NewClient(&goredis.Options{Addr: node.Addr()})
		text, err := client.ClusterNodes(context.Background()).Result()
		_ = client.Close()
		if err != nil {
			tb.Fatal(err)
		}
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) < 9 || !strings.Contains(fields[2], "myself") {
				continue
			}
			for _, r := range fields[8:] {
				first, last, ok := strings.Cut(r, "-")
				if !ok {
					last = first
				}
				a, errA := strconv.Atoi(first)
				b, errB := strconv.Atoi(last)
				if errA == nil && errB == nil && a <= slot && slot <= b {
					return i
				}
			}
		}
	}
	tb.Fatalf("nobody has slot %d", slot)
	return 0
}

// MoveSlot moves a slot to another node, key by key as redis-cli does. It calls during before the first key, after each few keys, and when all
// are there but the slot is still said to be moving.
func (c *Cluster) MoveSlot(tb testing.TB, slot, to int, during func(step int)) {
	tb.Helper()
	from := c.Owner(tb, slot)
	source, target := c.Nodes[from], c.Nodes[to]
	sourceID, targetID := source.Must(tb, "CLUSTER", "MYID"), target.Must(tb, "CLUSTER", "MYID")
	target.Must(tb, "CLUSTER", "SETSLOT", slot, "IMPORTING", sourceID)
	source.Must(tb, "CLUSTER", "SETSLOT", slot, "MIGRATING", targetID)
	client := goredis.NewClient(&goredis.Options{Addr: source.Addr()})
	defer client.Close()
	step := 0
	during(step)
	for {
		keys, err := client.ClusterGetKeysInSlot(context.Background(), slot, 3).Result()
		if err != nil {
			tb.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		args := []any{"MIGRATE", "127.0.0.1", target.port, "", 0, int(patience / time.Millisecond), "KEYS"}
		for _, key := range keys {
			args = append(args, key)
		}
		source.Must(tb, args...)
		step++
		during(step)
	}
	during(step + 1)
	for _, node := range append([]*Server{target, source}, c.Nodes...) {
		node.Must(tb, "CLUSTER", "SETSLOT", slot, "NODE", targetID)
	}
	Eventually(tb, func() error {
		if got := c.Owner(tb, slot); got != to {
			return fmt.Errorf("slot %d is with node %d, not %d", slot, got, to)
		}
		return nil
	})
}

package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/internal/redistest"
)

// answer is what the service says.
type answer struct {
	Event    string      `json:"event"`
	Again    bool        `json:"again"`
	NetSaved json.Number `json:"net_saved"`
}

func classify(t *testing.T, base, id string) (int, answer) {
	t.Helper()
	response, err := http.Post(base+"/tickets/"+id+"/classify", "", nil)
	require.NoError(t, err)
	defer response.Body.Close()
	var a answer
	if response.StatusCode == http.StatusOK {
		require.NoError(t, json.NewDecoder(response.Body).Decode(&a))
	}
	return response.StatusCode, a
}

// start runs an instance. stop tells it to stop and returns how it did.
func start(t *testing.T, url string) (base string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, url, listener) }()
	return "http://" + listener.Addr().String(), func() error {
		cancel()
		return <-done
	}
}

// TestTwoInstances: a ticket counts once, whichever instance it comes to, and whatever becomes of Redis meanwhile.
func TestTwoInstances(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	one, stopOne := start(t, server.URL())
	two, stopTwo := start(t, server.URL())

	status, first := classify(t, one, "4711")
	require.Equal(t, http.StatusOK, status)
	require.False(t, first.Again)
	require.Equal(t, "0.72", first.NetSaved.String()) // 1 minute - 1.8 s = 0.016 h x 45
	status, second := classify(t, two, "4711")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, answer{Event: first.Event, Again: true, NetSaved: first.NetSaved}, second)

	server.Kill()
	began := time.Now()
	status, _ = classify(t, two, "4712")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Less(t, time.Since(began), 8*time.Second)
	server.Restart()
	status, third := classify(t, one, "4712")
	require.Equal(t, http.StatusOK, status)
	require.NotEqual(t, first.Event, third.Event)
	status, again := classify(t, two, "4711")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, second, again)

	require.NoError(t, stopOne())
	require.NoError(t, stopTwo())
}

func TestNobodyThere(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	require.ErrorContains(t, run(t.Context(), server.URL(), listener), "connection refused")
	err = run(t.Context(), "redis://:secret@[::1:6379", listener)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

// TestDocumentedUser serves as the restricted user of docs/operations.md, on a single server and on a cluster.
func TestDocumentedUser(t *testing.T) {
	docs, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	line := regexp.MustCompile(`(?m)^ACL SETUSER hours on >password ~hh:\* (.*)$`).FindSubmatch(docs)
	require.NotNil(t, line)
	setUser := []any{"ACL", "SETUSER", "hours", "on", ">password", "~tickets:*"}
	for rule := range strings.FieldsSeq(string(line[1])) {
		setUser = append(setUser, rule)
	}
	// serve uses what there is twice, and looks at what was refused.
	serve := func(client goredis.UniversalClient, nodes ...*redistest.Server) {
		for range 2 {
			s, err := newService(t.Context(), client)
			require.NoError(t, err)
			_, err = s.tracker.UpdateOrg(t.Context(), "help-desk", func(org *humanhours.Org) ([]humanhours.Change, error) {
				org.Plan = "enterprise"
				return []humanhours.Change{{At: time.Now(), Subject: "plan", New: "enterprise"}}, nil
			})
			require.NoError(t, err)
			server := httptest.NewServer(s.routes())
			for id := range 300 { // more than one chunk, and with that all commands of the scripts
				status, _ := classify(t, server.URL, strconv.Itoa(id))
				require.Equal(t, http.StatusOK, status)
			}
			server.Close()
			for event, err := range s.store.Events(t.Context(), humanhours.EventQuery{Org: "help-desk", Limit: 2}) {
				require.NoError(t, err)
				event, err = s.tracker.RedactEvent(t.Context(), humanhours.Caller{Org: "help-desk"}, event.ID, "asked for")
				require.NoError(t, err)
				require.True(t, event.Redacted())
				event, err = s.tracker.VoidEvent(t.Context(), humanhours.Caller{Org: "help-desk"}, event.ID, "a test")
				require.NoError(t, err)
				require.True(t, event.Voided())
			}
			events := 0
			for _, descending := range []bool{false, true} {
				now := time.Now()
				q := humanhours.EventQuery{Org: "help-desk", From: now.Add(-time.Hour), To: now.Add(time.Hour), Descending: descending}
				for _, err := range s.store.Events(t.Context(), q) {
					require.NoError(t, err)
					events++
				}
			}
			require.Equal(t, 2*300, events)
			_, err = s.store.Usage(t.Context(), "help-desk", humanhours.MonthOf(time.Now()))
			require.NoError(t, err)
			_, err = s.store.History(t.Context(), humanhours.HistoryQuery{Org: "help-desk"})
			require.NoError(t, err)
			keys := humanhours.NewKeys(s.store, humanhours.KeysConfig{})
			key, _, err := keys.Create(t.Context(), "help-desk", false, 0)
			require.NoError(t, err)
			_, err = keys.Revoke(t.Context(), key.ID)
			require.NoError(t, err)
			require.NoError(t, s.store.TouchKey(t.Context(), key.ID, time.Now()))
			_, err = s.tracker.Agents(t.Context(), humanhours.Caller{Org: "help-desk"}, false)
			require.NoError(t, err)
			_, err = keys.List(t.Context(), "help-desk")
			require.NoError(t, err)
			require.NoError(t, s.close(t.Context()))
		}
		for _, node := range nodes {
			for _, refused := range regexp.MustCompile(`object:(\S+)`).FindAllStringSubmatch(node.Must(t, "ACL", "LOG"), -1) {
				require.Contains(t, refused[1], "client|", "the user may not do something that is needed")
			}
		}
	}

	server := redistest.Start(t)
	server.Must(t, setUser...)
	client, err := newClient("redis://hours:password@" + server.Addr())
	require.NoError(t, err)
	defer client.Close()
	serve(client, server)

	cluster := redistest.StartCluster(t, 3)
	options := &goredis.ClusterOptions{Username: "hours", Password: "password", ContextTimeoutEnabled: true}
	for _, node := range cluster.Nodes {
		node.Must(t, setUser...)
		options.Addrs = append(options.Addrs, node.Addr())
	}
	clusterClient := goredis.NewClusterClient(options)
	defer clusterClient.Close()
	serve(clusterClient, cluster.Nodes...)
}

// Command redis is a service of many instances that records what its agent does, through a Redis that the instances share. It
// shows what to set on the client, what to make from it, and in which order to stop.
//
//	go run ./examples/redis redis://127.0.0.1:6379
//	curl -X POST http://127.0.0.1:8082/tickets/4711/classify
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
	"github.com/humanhours/humanhours-go/pricebook"
	"github.com/humanhours/humanhours-go/store/redis"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logging.Disable() // what go-redis would print of its connections, calls return as errors
	url := "redis://127.0.0.1:6379"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	listener, err := net.Listen("tcp", "127.0.0.1:8082")
	if err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, url, listener); err != nil {
		log.Fatal(err)
	}
}

// newClient returns a client of the service's Redis. The service may use it for other things as well: the store never closes it.
// For a cluster it is goredis.NewClusterClient, with Sentinel goredis.NewFailoverClient, and the same settings.
func newClient(url string) (*goredis.Client, error) {
	options, err := goredis.ParseURL(url)
	if err != nil {
		return nil, errors.New("the URL of Redis cannot be read") // the error would repeat it, with its password
	}
	// A call ends with the context of its request. Without this a server that hangs keeps a connection until ReadTimeout.
	options.ContextTimeoutEnabled = true
	// Below redis.Config.Timeout, 5 seconds, so that within it another connection can be tried.
	options.DialTimeout = time.Second
	options.ReadTimeout = 2 * time.Second
	options.WriteTimeout = 2 * time.Second
	// Concurrent Appends share a call, so the store needs few connections, however many requests there are. Reads use one each.
	options.PoolSize = 32
	// To see whose connection it is in CLIENT LIST.
	options.ClientName = "tickets"
	return goredis.NewClient(options), nil
}

// service sorts tickets with an agent.
type service struct {
	tracker *humanhours.Tracker
	store   *redis.Store
	limiter *redis.Limiter
}

// newService makes a service on a client, which stays the caller's.
func newService(ctx context.Context, client goredis.UniversalClient) (*service, error) {
	store, err := redis.New(client, redis.Config{Prefix: "tickets:"})
	if err != nil {
		return nil, err
	}
	// Says now what would come with the first request, and warns of settings that lose events.
	if err := store.Check(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	limiter, err := redis.NewLimiter(client, redis.LimiterConfig{
		Prefix: "tickets:",
		// While Redis is away each instance limits by itself. The log says so; this is for the metric that somebody is woken by.
		OnFailure: redis.FallbackLocal,
		OnChange:  func(err error) { slog.Info("limits", "shared", err == nil) },
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	tracker, err := humanhours.New(store, humanhours.Config{
		Orgs: store, Limiter: limiter, Prices: pricebook.Snapshot(), Rates: pricebook.SnapshotRates(),
		OrgDefaults: humanhours.Org{Plan: "pro"},
	})
	if err != nil {
		return nil, errors.Join(err, store.Close(), limiter.Close())
	}
	return &service{tracker: tracker, store: store, limiter: limiter}, nil
}

// close ends what newService made, when no request is under way any more.
func (s *service) close(ctx context.Context) error {
	return errors.Join(s.tracker.Shutdown(ctx), s.store.Close(), s.limiter.Close())
}

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tickets/{id}/classify", s.classify)
	return mux
}

// classify lets the agent sort a ticket and records what that saved.
func (s *service) classify(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	const took, queue = 1800 * time.Millisecond, "billing" // stands for the agent
	// The agent's work is done, so its record may take a moment, and does not depend on a client that has left.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
	defer cancel()
	result, err := s.tracker.Track(ctx, humanhours.Caller{Org: "help-desk"}, humanhours.TrackRequest{
		AgentID: "ticket-sorter", TaskType: "ticket_triage", Outcome: humanhours.OutcomeSuccess, AgentDuration: humanhours.Seconds(took),
		// If the ticket comes again within a day, to whichever instance, it still counts once.
		IdempotencyKey: "classify-" + id,
	})
	if err != nil {
		slog.Error("a ticket was sorted, but it is not known whether that is recorded", "ticket", id, "error", err)
		w.WriteHeader(httpadapter.Status(err)) // the caller sends the ticket again
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"ticket": id, "queue": queue, "event": result.Event.ID, "again": result.Replayed,
		"net_saved": json.RawMessage(humanhours.AppendDecimal(nil, result.Event.NetSaved)),
	})
}

// run serves until ctx ends, and then stops in this order: requests, what they left to the tracker, store and limiter, client.
func run(ctx context.Context, url string, listener net.Listener) (err error) {
	client, err := newClient(url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	s, err := newService(ctx, client)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Printf("Tickets are sorted at http://%s/tickets/ID/classify\n", listener.Addr())
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(stopping), s.close(stopping))
}

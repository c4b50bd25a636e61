package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
	"github.com/humanhours/humanhours-go/pricebook"
	"github.com/humanhours/humanhours-go/store"
	"github.com/humanhours/humanhours-go/store/memory"
	redisstore "github.com/humanhours/humanhours-go/store/redis"
	"github.com/humanhours/humanhours-go/store/sqlite"
)

// Kinds of servers.
const (
	Bare   = "bare" // net/http and encoding/json alone
	Memory = "memory"
	SQLite = "sqlite"
	Redis  = "redis"
)

// Serve serves until its standard input ends, and says its address and an API key on the standard output: a process of its own, so that the system counts what it
// takes. For each line of the input it says how large its heap is and how many goroutines it has.
func Serve(kind, folder, redis string) error {
	handler, key, stop, err := handler(kind, folder, redis)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	fmt.Println(listener.Addr(), key)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(liveHeap(), runtime.NumGoroutine())
	}
	_ = server.Close()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return stop()
}

func handler(kind, folder, redis string) (h http.Handler, key string, stop func() error, err error) {
	if kind == Bare {
		return bare(), "none", nothing, nil
	}
	var s humanhours.Store
	stop = nothing
	switch kind {
	case Memory:
		s = memory.New()
	case SQLite:
		dir, err := os.MkdirTemp(folder, "serve")
		if err != nil {
			return nil, "", nil, err
		}
		db, err := sqlite.Open(filepath.Join(dir, "hours.db"), sqlite.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, "", nil, err
		}
		g := store.NewGroup(db, store.GroupConfig{})
		s, stop = g, func() error { return errors.Join(g.Close(), db.Close(), os.RemoveAll(dir)) }
	case Redis:
		client := goredis.NewClient(&goredis.Options{Addr: redis})
		r, err := redisstore.New(client, redisstore.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, "", nil, err
		}
		s, stop = r, func() error {
			return errors.Join(r.Close(), client.FlushAll(context.Background()).Err(), client.Close())
		}
	default:
		return nil, "", nil, fmt.Errorf("there is no server %q", kind)
	}
	quiet, began := slog.New(slog.DiscardHandler), time.Now()
	clock := func() time.Time { return start.Add(time.Since(began)) } // it goes on, as some things are done now and then
	t, err := humanhours.New(s, humanhours.Config{Clock: clock, Prices: pricebook.Snapshot(), Rates: pricebook.SnapshotRates(), Logger: quiet})
	if err != nil {
		return nil, "", nil, err
	}
	keyring := humanhours.NewKeys(memory.New(), humanhours.KeysConfig{Clock: clock})
	_, secret, err := keyring.Create(context.Background(), "acme", false, 0)
	if err != nil {
		return nil, "", nil, err
	}
	api, err := httpadapter.New(t, httpadapter.Config{Keys: keyring, Logger: quiet})
	if err != nil {
		return nil, "", nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", api)
	return mux, secret.Reveal(), stop, nil
}

// bare decodes requests and encodes answers of the same size with encoding/json, and does nothing between.
func bare() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/track", func(w http.ResponseWriter, r *http.Request) {
		var request requestJSON
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(request.answer())
	})
	mux.HandleFunc("POST /v1/track/batch", func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Events []requestJSON `json:"events"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<20)).Decode(&request); err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		type one struct {
			Status int        `json:"status"`
			Event  answerJSON `json:"event"`
		}
		var answer struct {
			Results []one `json:"results"`
		}
		for i := range request.Events {
			answer.Results = append(answer.Results, one{http.StatusCreated, request.Events[i].answer()})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
	return mux
}

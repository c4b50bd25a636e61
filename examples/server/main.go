// Command server runs HumanHours as a service of its own.
//
//	go run ./examples/server
//
// It keeps its events, orgs and keys in humanhours.db (-db FILE; -db :memory: keeps nothing), and prints a first API key and a curl to
// paste while there is no key in it. "server keys" makes, lists, rotates and revokes keys. With -orgs FILE it serves the orgs of a file instead:
//
//	{"orgs": [{
//	  "id": "acme", "plan": "pro", "currency": "USD", "hourly_rate": 60,
//	  "keys": ["hh_live_<8 characters>_<48 characters>"],
//	  "revoked_keys": []
//	}]}
//
// The file is applied at every start: it creates or updates those orgs and keys, deletes nothing, and never un-revokes a
// key. Plans are free, pro and enterprise; an org without a plan has no limits.
//
// With -refresh-prices it fetches prices and exchange rates at the start and then daily, and keeps them beside the database.
//
// With -admin-token-file FILE keys can be managed over HTTP too, under /admin/keys, by who sends "Authorization: Bearer" and the text in
// that file.
//
// With -redis URL the data is in Redis, and the rate limits too: any number of servers, on any number of machines, are one service.
//
//	go run ./examples/server -redis redis://127.0.0.1:6379
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // reports know every zone, also where the system has no list of them

	"github.com/redis/go-redis/v9/logging"

	"github.com/humanhours/humanhours-go"
	"github.com/humanhours/humanhours-go/httpadapter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the next one ends the program at once, for those who do not want to wait.
	context.AfterFunc(ctx, stop)
	logging.Disable() // what go-redis would print of its connections, calls return as errors
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "server: "+err.Error())
		os.Exit(1)
	}
}

// errUsage: the flags were wrong, and package flag has said so already.
var errUsage = errors.New("wrong usage")

// shutdownTimeout is how long requests in flight may take when the server is told to stop.
const shutdownTimeout = 20 * time.Second

// run is main without the process: it serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "keys" {
		return runKeys(ctx, args[1:], stdout, stderr)
	}
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "`host:port` to listen on")
	var w where
	check := w.flags(flags, "database `file`, made if there is none; "+inMemory+" keeps nothing")
	var pf priceFlags
	checkPrices := pf.flags(flags)
	orgsFile := flags.String("orgs", "", "JSON `file` of orgs and API keys to create or update at start; default: a first org with a fresh key, if the database has no key")
	adminTokenFile := flags.String("admin-token-file", "", "`file` with a secret of at least 32 characters that opens /admin/keys; default: there is no such endpoint")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return errUsage
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	}
	if err := errors.Join(check(), checkPrices()); err != nil {
		return err
	}
	adminToken, err := readAdminToken(*adminTokenFile)
	if err != nil {
		return err
	}

	logger := slog.New(slog.NewTextHandler(stderr, nil))
	// The port comes first: a server that cannot listen must not leave a database whose first key nobody has seen.
	listener, err := net.Listen("tcp", *addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program; choose another address with -addr", *addr)
	case err != nil:
		return fmt.Errorf("cannot listen on %s: %w; choose another address with -addr", *addr, err)
	}
	defer listener.Close()
	b, err := openBackend(ctx, w, true, logger)
	if err != nil {
		return err
	}
	file := b.create.db
	if w.redis != "" {
		file = ""
	}
	p, err := newPrices(pf, file, logger)
	if err != nil {
		return errors.Join(err, b.close())
	}
	if pf.refresh {
		refreshing, stop := context.WithCancel(ctx)
		wait := p.start(refreshing)
		defer func() { stop(); wait() }()
	}
	return errors.Join(runServer(ctx, b, p, listener, *orgsFile, adminToken, stdout, stderr, logger), b.close())
}

// runServer serves what is in b.
func runServer(
	ctx context.Context, b *backend, p *prices, listener net.Listener, orgsFile, adminToken string, stdout, stderr io.Writer, logger *slog.Logger,
) error {
	tracker, err := humanhours.New(b.events, humanhours.Config{
		Orgs: b.orgs, Prices: p.book, Rates: p.rates, Limiter: b.limiter, Logger: logger,
	})
	if err != nil {
		return err
	}
	keys := humanhours.NewKeys(b.keys, humanhours.KeysConfig{Logger: logger})
	api, err := httpadapter.New(tracker, httpadapter.Config{Keys: keys, Logger: logger})
	if err != nil {
		return err
	}

	// Before anything is served: whoever is answered finds the orgs and keys in place.
	var org humanhours.Org
	var secret humanhours.Secret
	var found bool
	if orgsFile != "" {
		err = applyOrgsFile(ctx, orgsFile, tracker, keys, stderr)
	} else if found, err = b.hasKeys(ctx); err == nil && !found {
		org, secret, err = firstOrg(ctx, tracker, keys)
	}
	if err != nil {
		return err
	}

	url := "http://" + listener.Addr().String()
	fmt.Fprintf(stdout, "HumanHours listens on %s\n", url)
	fmt.Fprintf(stdout, "  events      %s\n", b.where)
	fmt.Fprintf(stdout, "  price book  %s\n", describe(p.book.Info(), "models", time.Now()))
	fmt.Fprintf(stdout, "  rates       %s\n", describe(p.rates.Info(), "currencies", time.Now()))
	if adminToken != "" {
		fmt.Fprintf(stdout, "  admin       %s/admin/keys\n", url)
	}
	switch {
	case orgsFile != "":
	case !found:
		printFirstKey(stdout, url, org, secret)
	default:
		id := firstOrgID
		if list, err := keys.List(ctx, id); err != nil || len(list) == 0 {
			id = "ID" // the keys are of other orgs
		}
		fmt.Fprintf(stdout, "  keys        as before; another one: %s\n", createCommand(id, b.create))
	}

	var admin http.Handler = api // which has no such endpoint, and says so
	if adminToken != "" {
		admin, err = httpadapter.NewAdmin(httpadapter.AdminConfig{Keys: keys, Authorize: adminOnly(adminToken), Logger: logger})
		if err != nil {
			return err
		}
	}
	// No ServeMux: that would redirect unclean paths, and a client would send its request and its key twice.
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"status":"ok"}`+"\n")
		case strings.HasPrefix(r.URL.Path, "/admin/"):
			admin.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
	return serve(ctx, listener, handler, tracker, keys, logger)
}

// defaultDB is the database of a server that was started without -db, in the working folder.
const defaultDB = "humanhours.db"

// firstOrgID is the org of a server that was started without -orgs.
const firstOrgID = "first-org"

// firstOrg makes the org of a newcomer, with a key. An org that is there already keeps its plan.
func firstOrg(ctx context.Context, tracker *humanhours.Tracker, keys *humanhours.Keys) (humanhours.Org, humanhours.Secret, error) {
	org, err := tracker.UpdateOrg(ctx, firstOrgID, func(org *humanhours.Org) ([]humanhours.Change, error) {
		if org.Version > 0 && org.Plan != "" {
			return nil, nil
		}
		entry := orgEntry{Plan: "pro", by: "first start"}
		return entry.update(org)
	})
	if err != nil {
		return humanhours.Org{}, humanhours.Secret{}, errors.New(message(err))
	}
	_, secret, err := keys.Create(ctx, firstOrgID, false, 0)
	if err != nil {
		return humanhours.Org{}, humanhours.Secret{}, errors.New(message(err))
	}
	return org, secret, nil
}

func printFirstKey(w io.Writer, url string, org humanhours.Org, secret humanhours.Secret) {
	fmt.Fprintf(w, `
A first org, %q, is on the %s plan. This is its API key; it is not shown again:

  %s

Try it:

  curl -i %s/v1/track \
    -H "Authorization: Bearer %[3]s" \
    -H "Content-Type: application/json" \
    -H "Idempotency-Key: my-first-task" \
    -d '{"agent_id":"support-classifier","task_type":"email_classification","outcome":"success","agent_duration_seconds":4}'

Press Ctrl-C to stop.
`, org.ID, org.Plan, secret.Reveal(), url)
}

// serve serves until ctx ends, and then until the requests in flight are answered.
func serve(
	ctx context.Context, listener net.Listener, handler http.Handler, tracker *humanhours.Tracker, keys *humanhours.Keys, logger *slog.Logger,
) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second, // of a batch of 8 MiB on a slow line
		WriteTimeout:      60 * time.Second, // counted from the end of the header, so it includes the reading
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("stopped serving: %w", err)
	case <-ctx.Done():
	}
	logger.Info("stopping; requests in flight are finished first", "at_most", shutdownTimeout)
	// The context that told us to stop has ended, so the rest has one of its own.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("some requests were still running after %s: %w", shutdownTimeout, err)
	}
	return errors.Join(tracker.Shutdown(ctx), keys.Flush(ctx))
}

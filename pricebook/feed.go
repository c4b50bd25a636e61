package pricebook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// What prices and exchange rates have in common: how an edition is fetched, kept and replaced.

// Report says what a refresh did.
type Report struct {
	At      time.Time // when it began, by Config.Clock
	Changed bool      // another edition is in use than before
	Info    Info      // the edition in use after it
	// How many models are new, gone, or priced differently; of rates, how many days. Zero unless Changed.
	New, Gone, Repriced int
	Held                []Held // what was not taken from the feed although the rest was, sorted
	// Err says why the last good edition is still in use, or, with an Info that was fetched at At, why the new one was not written to the
	// file; nil: the refresh did all that it should.
	Err error
}

// edition is what a feed keeps. It is immutable.
type edition[T any] interface {
	Info() Info
	renewed(at time.Time) T
	encode() []byte
}

// feed keeps an edition up to date. Its methods are safe for concurrent use.
type feed[T edition[T]] struct {
	options
	name    string // of what it feeds, for logs
	decode  func([]byte) (T, error)
	read    func(ctx context.Context, get getter, old T, at time.Time) (T, Report, error)
	current atomic.Pointer[T]
	turn    chan struct{} // held by the refresh that is under way
	etag    string        // of the edition in use, when all of it was taken; only with turn
}

// getter fetches the body of an address. Of the first address it fetches, it answers errNotModified if that has not changed.
type getter func(ctx context.Context, address string) ([]byte, error)

var errNotModified = errors.New("the feed has not changed")

// options are the fields of Config and RatesConfig that a feed needs, with their defaults.
type options struct {
	url       string
	client    *http.Client
	interval  time.Duration
	maxBytes  int64
	file      string
	onRefresh func(Report)
	logger    *slog.Logger
	clock     func() time.Time
	jitter    func(n int64) int64
}

const (
	defaultInterval = 24 * time.Hour
	defaultMaxBytes = 32 << 20
	defaultTimeout  = 30 * time.Second
	userAgent       = "humanhours-go (+https://github.com/humanhours/humanhours-go)"
	firstPause      = time.Minute // before a refresh that failed is tried again
)

func (o options) withDefaults(url string) options {
	o.url = cmp.Or(o.url, url)
	o.interval = cmp.Or(o.interval, defaultInterval)
	o.maxBytes = cmp.Or(o.maxBytes, defaultMaxBytes)
	if o.client == nil {
		o.client = &http.Client{Timeout: defaultTimeout}
	}
	if o.logger == nil {
		o.logger = slog.Default()
	}
	if o.clock == nil {
		o.clock = time.Now
	}
	if o.jitter == nil {
		o.jitter = rand.Int64N
	}
	return o
}

func (o options) validate() error {
	address, err := url.Parse(o.url)
	switch {
	case err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https":
		return fmt.Errorf("pricebook: Config.URL must be an http or https address, not %q", o.url)
	case o.interval < 0:
		return fmt.Errorf("pricebook: Config.Interval must not be negative, and is %s", o.interval)
	case o.maxBytes < 0:
		return fmt.Errorf("pricebook: Config.MaxBytes must not be negative, and is %d", o.maxBytes)
	}
	return nil
}

// open puts the first edition in use: the one of the file, unless base was fetched after that.
func (f *feed[T]) open(base T) {
	f.turn = make(chan struct{}, 1)
	f.current.Store(&base)
	if f.file == "" {
		return
	}
	data, err := os.ReadFile(f.file)
	if errors.Is(err, fs.ErrNotExist) {
		return // the first start
	}
	var kept T
	if err == nil {
		kept, err = f.decode(data)
	}
	switch {
	case err != nil:
		f.logger.Warn("pricebook: the file of the last edition is not used, an older one is", "of", f.name, "file", f.file, "error", err)
	case !kept.Info().Fetched.Before(base.Info().Fetched):
		f.current.Store(&kept)
	}
}

func (f *feed[T]) edition() T { return *f.current.Load() }

func (f *feed[T]) age() time.Duration { return f.clock().Sub(f.edition().Info().Fetched) }

// start refreshes at once and then at every interval, until ctx ends. It returns a channel that is closed after that.
func (f *feed[T]) start(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		retry := min(firstPause, f.interval)
		for ctx.Err() == nil {
			_, fetched := f.refresh(ctx)
			pause := f.interval
			if fetched {
				retry = min(firstPause, f.interval)
			} else {
				pause, retry = retry, min(2*retry, f.interval)
			}
			timer := time.NewTimer(f.jittered(pause))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
	}()
	return done
}

// jittered moves d by up to a tenth, so that many instances do not ask at the same moment.
func (f *feed[T]) jittered(d time.Duration) time.Duration {
	tenth := d / 10
	return d - tenth + time.Duration(f.jitter(int64(2*tenth)+1))
}

// refresh fetches an edition and puts it in use; false if that failed. It waits for a refresh that is under way.
func (f *feed[T]) refresh(ctx context.Context) (report Report, fetched bool) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return Report{At: f.clock(), Info: f.edition().Info(), Err: ctx.Err()}, false
	}
	report, fetched = f.refreshInTurn(ctx)
	<-f.turn
	if errors.Is(report.Err, context.Canceled) && ctx.Err() != nil {
		return report, fetched // whoever gave up knows
	}
	f.tell(ctx, report)
	return report, fetched
}

func (f *feed[T]) refreshInTurn(ctx context.Context) (Report, bool) {
	old, at := f.edition(), f.clock().UTC()
	request := fetch{options: &f.options, left: f.maxBytes, etag: f.etag}
	next, report, err := f.read(ctx, request.get, old, at)
	if errors.Is(err, errNotModified) {
		next, report, err = old.renewed(at), Report{}, nil
	}
	report.At = at
	if err != nil {
		report.Info, report.Err = old.Info(), fmt.Errorf("pricebook: %s: %w", f.name, err)
		return report, false
	}
	// Where something was held back, or more than one page was read, an unchanged first page does not settle it.
	f.etag = ""
	if len(report.Held) == 0 && request.requests == 1 {
		f.etag = request.answered
	}
	f.current.Store(&next)
	report.Info = next.Info()
	report.Changed = report.Info.Version != old.Info().Version
	if f.file != "" {
		if err := writeFile(f.file, next.encode()); err != nil {
			report.Err = fmt.Errorf("pricebook: %s: the edition is in use, but not kept: %w", f.name, err)
		}
	}
	return report, true
}

// tell logs a report and gives it to the hook.
func (f *feed[T]) tell(ctx context.Context, r Report) {
	attrs := []any{"of", f.name, "version", r.Info.Version, "date", r.Info.Date.Format(time.DateOnly)}
	switch {
	case r.Err != nil && r.Info.Fetched.Equal(r.At):
		f.logger.ErrorContext(ctx, "pricebook: refreshed, but not kept for the next start", append(attrs, "error", r.Err)...)
	case r.Err != nil:
		f.logger.ErrorContext(ctx, "pricebook: the refresh failed", append(attrs, "age", r.At.Sub(r.Info.Fetched), "error", r.Err)...)
	default:
		f.logger.InfoContext(ctx, "pricebook: refreshed", append(attrs, "changed", r.Changed, "new", r.New, "gone", r.Gone,
			"repriced", r.Repriced, "held", len(r.Held))...)
	}
	for i, h := range r.Held {
		if i == 10 {
			f.logger.WarnContext(ctx, "pricebook: more rows were held back", "of", f.name, "more", len(r.Held)-i)
			break
		}
		f.logger.WarnContext(ctx, "pricebook: a row was held back", "of", f.name, "model", h.Model, "reason", h.Reason)
	}
	if f.onRefresh != nil {
		f.guard("OnRefresh", func() { f.onRefresh(r) })
	}
}

// guard calls a hook. Somebody else's panic does not end the process that counts on the prices.
func (o *options) guard(hook string, call func()) {
	defer func() {
		if p := recover(); p != nil {
			o.logger.Error("pricebook: a hook panicked", "hook", hook, "panic", fmt.Sprint(p))
		}
	}()
	call()
}

// fetch is the requests of one refresh, which share one bound on what they read.
type fetch struct {
	*options
	left     int64
	etag     string // of the edition in use
	requests int
	answered string // the ETag of the last answer
}

func (r *fetch) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	conditional := r.requests == 0 && r.etag != ""
	if conditional {
		req.Header.Set("If-None-Match", r.etag)
	}
	r.requests++
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	// Closing without reading the rest drops the connection, which is right for a body that does not end.
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusNotModified && conditional:
		r.answered = r.etag
		return nil, errNotModified
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the feed answered with status %d", resp.StatusCode)
	}
	if resp.ContentLength > r.left {
		return nil, r.tooLarge()
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.left+1))
	switch {
	case int64(len(body)) > r.left:
		return nil, r.tooLarge()
	case err != nil:
		return nil, fmt.Errorf("the answer broke off after %d bytes: %w", len(body), err)
	}
	r.left -= int64(len(body))
	r.answered = resp.Header.Get("ETag")
	return body, nil
}

func (r *fetch) tooLarge() error { return fmt.Errorf("the answer is larger than %d bytes", r.maxBytes) }

// writeFile replaces a file at once: after a crash there is the old content or the new.
func writeFile(name string, data []byte) (err error) {
	dir := filepath.Dir(name)
	tmp, err := os.CreateTemp(dir, filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	// The new name lasts once the folder is on the disk. Some file systems cannot say so; the content is safe either way.
	if d, openErr := os.Open(dir); openErr == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

package pricebook

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/humanhours/humanhours-go"
)

var _ humanhours.PriceBook = (*Book)(nil)

// DefaultURL is OpenRouter's public list of models, of all kinds. It needs no key.
const DefaultURL = "https://openrouter.ai/api/v1/models?output_modalities=all"

// Config sets up a Book. The zero value is right for most.
type Config struct {
	// URL of a list of models in the format of OpenRouter's. Defaults to DefaultURL.
	URL string
	// Client fetches the list. One of your own should have a Timeout. Defaults to a client with a timeout of 30 seconds.
	Client *http.Client
	// Interval between two refreshes of Start, each moved by up to 10 % at random. Defaults to 24 hours.
	Interval time.Duration
	// MaxBytes is the most that is read of one list, all its pages together, unpacked. Defaults to 32 MiB.
	MaxBytes int64
	// File keeps the last good edition for the next start. It is written in one step, after each refresh that succeeds, and belongs to
	// one Book. Defaults to "": nothing is kept.
	File string
	// Base is the edition to start from, unless File has one that was fetched later. For a list that is not OpenRouter's, give one of
	// ParseListing, or &Static{}: a first list with fewer than two thirds of Base's models would be refused. Defaults to Snapshot().
	Base *Static
	// AcceptJump is asked about each model of which a price rose or fell by more than 100 times, or became or ceased to be zero. If it
	// says no, the model keeps its last good prices, until the feed has believable ones or a Base of a later day has others. It is called
	// by the refresh, which waits for it. Defaults to no.
	AcceptJump func(model string, old, new humanhours.Price) bool
	// OnRefresh is told of every refresh but those whose context was cancelled, after it. Defaults to nobody.
	OnRefresh func(Report)
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Clock tells the time. Defaults to time.Now.
	Clock func() time.Time
	// Jitter returns a random number from 0 to n-1, n > 0. It must be safe for concurrent use. Defaults to rand.Int64N of math/rand/v2.
	Jitter func(n int64) int64
}

// Book is a price book that keeps itself up to date. It is safe for concurrent use. It has nothing to close.
type Book struct {
	feed feed[*Static]
}

// New returns a book with the newest edition at hand: that of Config.Base or that of Config.File. It makes no request. A file that is
// damaged is logged and otherwise ignored; the error is of a Config that makes no sense.
func New(c Config) (*Book, error) {
	o := options{
		url: c.URL, client: c.Client, interval: c.Interval, maxBytes: c.MaxBytes, file: c.File, onRefresh: c.OnRefresh,
		logger: c.Logger, clock: c.Clock, jitter: c.Jitter,
	}.withDefaults(DefaultURL)
	if err := o.validate(); err != nil {
		return nil, err
	}
	base := c.Base
	if base == nil {
		base = Snapshot()
	}
	b := &Book{feed: feed[*Static]{options: o, name: "prices"}}
	b.feed.decode = func(data []byte) (*Static, error) {
		file, err := ParseSnapshot(data)
		if err != nil {
			return nil, err
		}
		return file.settled(base), nil
	}
	accept := c.AcceptJump
	if accept != nil {
		accept = func(model string, old, new humanhours.Price) (ok bool) {
			b.feed.guard("AcceptJump", func() { ok = c.AcceptJump(model, old, new) })
			return ok
		}
	}
	b.feed.read = func(ctx context.Context, get getter, old *Static, at time.Time) (*Static, Report, error) {
		l, err := readListing(ctx, o.url, get)
		if err != nil {
			return nil, Report{}, err
		}
		next, diff, held, err := l.merge(old, at, accept)
		return next, Report{New: len(diff.New), Gone: len(diff.Gone), Repriced: len(diff.Changed), Held: held}, err
	}
	b.feed.open(base)
	return b, nil
}

// Quote implements humanhours.PriceBook, by the edition in use: see Static.Quote. It never fails, and never waits for a refresh.
func (b *Book) Quote(_ context.Context, q humanhours.PriceQuery) (quote humanhours.Quote, err error) {
	b.Edition().quote(&q, &quote)
	return quote, nil
}

// Edition returns the edition in use.
func (b *Book) Edition() *Static { return b.feed.edition() }

// Info returns which edition is in use.
func (b *Book) Info() Info { return b.Edition().Info() }

// Age returns how long ago the edition in use was last seen at its source.
func (b *Book) Age() time.Duration { return b.feed.age() }

// Start refreshes the book in the background, at once and then every Config.Interval, until ctx ends; after a failure it tries again in
// a minute, then in two, and so on up to the interval. It returns at once. The channel is closed when the last refresh has ended. Call it
// once.
func (b *Book) Start(ctx context.Context) (done <-chan struct{}) { return b.feed.start(ctx) }

// Refresh fetches the list now. It waits for a refresh that is under way, and then makes one of its own. The error is that of the
// Report: the last good edition is still in use, or the new one could not be written to Config.File.
func (b *Book) Refresh(ctx context.Context) (Report, error) {
	r, _ := b.feed.refresh(ctx)
	return r, r.Err
}

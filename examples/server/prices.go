package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"github.com/humanhours/humanhours-go/pricebook"
)

// priceFlags say where prices and exchange rates come from.
type priceFlags struct {
	refresh             bool
	pricesURL, ratesURL string
}

// flags defines the flags. Once they are parsed, the returned function says what is wrong with them.
func (p *priceFlags) flags(f *flag.FlagSet) (check func() error) {
	f.BoolVar(&p.refresh, "refresh-prices", false, "fetch prices and exchange rates at the start and then daily; default: those that the program came with, or the last ones that were fetched")
	f.StringVar(&p.pricesURL, "prices-url", pricebook.DefaultURL, "`address` of the price list, in the format of OpenRouter's")
	f.StringVar(&p.ratesURL, "rates-url", pricebook.DefaultRatesURL, "`address` of the exchange rates, in the format of the ECB's reference rates")
	return func() error {
		var err error
		f.Visit(func(given *flag.Flag) {
			if (given.Name == "prices-url" || given.Name == "rates-url") && !p.refresh {
				err = errors.New("-" + given.Name + " needs -refresh-prices: nothing is fetched without it")
			}
		})
		return err
	}
}

// prices are the price book and the exchange rates of a server.
type prices struct {
	book  *pricebook.Book
	rates *pricebook.RateBook
	first chan struct{} // gets one for the first refresh of each
}

// newPrices starts from what the program came with, or from what an earlier run has fetched and kept beside the database; file is the
// database, empty if there is none. It makes no request.
func newPrices(p priceFlags, file string, logger *slog.Logger) (*prices, error) {
	s := &prices{first: make(chan struct{}, 2)}
	keep := func(suffix string) string {
		if file == "" {
			return ""
		}
		return file + suffix
	}
	refreshed := func(pricebook.Report) {
		select {
		case s.first <- struct{}{}:
		default: // nobody waits any more
		}
	}
	var err error
	s.book, err = pricebook.New(pricebook.Config{URL: p.pricesURL, File: keep(".prices.json"), OnRefresh: refreshed, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("-prices-url: %w", err)
	}
	s.rates, err = pricebook.NewRates(pricebook.RatesConfig{URL: p.ratesURL, File: keep(".rates.json"), OnRefresh: refreshed, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("-rates-url: %w", err)
	}
	return s, nil
}

// firstRefresh is how long the start of the server waits for fresh prices. It goes on without them; they come when they come.
const firstRefresh = 5 * time.Second

// start refreshes from now on, until ctx ends, and waits a little for the first time. The returned function waits for the end.
func (s *prices) start(ctx context.Context) (wait func()) {
	doneBook, doneRates := s.book.Start(ctx), s.rates.Start(ctx)
	patience, stop := context.WithTimeout(ctx, firstRefresh)
	defer stop()
	for range 2 {
		select {
		case <-s.first:
		case <-patience.Done():
		}
	}
	return func() {
		<-doneBook
		<-doneRates
	}
}

// describe says in a line which edition is in use.
func describe(info pricebook.Info, what string, now time.Time) string {
	return fmt.Sprintf("%s %s of %s, %d %s, fetched %s", info.Source, info.Version, info.Date.Format(time.DateOnly), info.Models, what, ago(now.Sub(info.Fetched)))
}

// ago is an age for people.
func ago(age time.Duration) string {
	switch {
	case age < time.Minute:
		return "just now"
	case age < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(age.Minutes()))
	case age < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(age.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(age.Hours()/24))
}

package pricebook

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go"
)

// BenchmarkQuote compares a quote with reading the price from a plain map, and shows that refreshes do not make readers wait. The
// difference to the map is what a Price costs to copy.
func BenchmarkQuote(b *testing.B) {
	const id = "anthropic/claude-haiku-4.5"
	q := humanhours.PriceQuery{Org: "o", Model: id, At: today, Usage: humanhours.Usage{TokensIn: n(1000)}}
	plain := map[string]humanhours.Price{}
	for id := range Snapshot().Models() {
		got, err := Snapshot().Quote(b.Context(), humanhours.PriceQuery{Model: id, At: today})
		require.NoError(b, err)
		plain[id] = got.Price
	}
	var listing strings.Builder
	for id, r := range Snapshot().rows {
		listing.WriteString(`{"id":"` + id + `","pricing":` + r.text + "},")
	}
	body := list(strings.TrimSuffix(listing.String(), ","))
	book, err := New(Config{Logger: slog.New(slog.DiscardHandler), Client: &http.Client{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, ContentLength: -1, Body: io.NopCloser(strings.NewReader(body))}, nil
	})}})
	require.NoError(b, err)
	_, err = book.Refresh(b.Context())
	require.NoError(b, err)

	b.Run("map", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if p := plain[id]; !p.Input.Valid {
				b.Fatal("no price")
			}
		}
	})
	quotes := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if got, _ := book.Quote(b.Context(), q); got.Unpriced != "" {
				b.Fatal(got.Unpriced)
			}
		}
	}
	b.Run("book", quotes)
	b.Run("book during refreshes", func(b *testing.B) {
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				_, _ = book.Refresh(ctx)
			}
		}()
		quotes(b)
		cancel()
		<-done
	})
	b.Run("refresh", func(b *testing.B) {
		for b.Loop() {
			if _, err := book.Refresh(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

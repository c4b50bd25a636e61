package httpadapter

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/humanhours/humanhours-go/internal/instant"
)

// priceBookJSON is the answer of GET /v1/price-book.
type priceBookJSON struct {
	Source     string         `json:"source,omitempty"`
	Version    string         `json:"version,omitempty"`
	Date       string         `json:"date,omitempty"`
	FetchedAt  string         `json:"fetched_at,omitempty"`
	AgeSeconds *int64         `json:"age_seconds,omitempty"`
	Models     int            `json:"models,omitempty"`
	Model      *modelJSON     `json:"model,omitempty"` // the one that was asked for
	Unpriced   []unpricedJSON `json:"unpriced"`
}

type modelJSON struct {
	ID    string          `json:"id"`
	Price json.RawMessage `json:"price"`
}

type unpricedJSON struct {
	Model  string `json:"model,omitempty"`
	Reason string `json:"unpriced_reason"`
	Events int64  `json:"events"`
	Last   string `json:"last_received_at"`
}

// priceBook answers GET /v1/price-book.
func (a *API) priceBook(ctx context.Context, req request) (reply, error) {
	query, err := req.query()
	if err != nil {
		return reply{}, err
	}
	state, err := a.tracker.PriceBook(ctx, req.caller)
	if err != nil {
		return reply{}, err
	}
	body := priceBookJSON{
		Source: state.Info.Source, Version: state.Info.Version, Models: state.Info.Models,
		Unpriced: make([]unpricedJSON, len(state.Unpriced)),
	}
	if !state.Info.Date.IsZero() {
		body.Date = state.Info.Date.UTC().Format(time.DateOnly)
	}
	if !state.Info.Fetched.IsZero() {
		age := int64(state.Age / time.Second)
		body.FetchedAt, body.AgeSeconds = state.Info.Fetched.UTC().Format(instant.Layout), &age
	}
	for i, u := range state.Unpriced {
		body.Unpriced[i] = unpricedJSON{Model: u.Model, Reason: string(u.Reason), Events: u.Events, Last: u.Last.Format(instant.Layout)}
	}
	if query.Has("model") {
		id := query.Get("model")
		quote, err := a.tracker.Quote(ctx, req.caller, id)
		if err != nil {
			return reply{}, err
		}
		body.Model = &modelJSON{ID: id, Price: quote.AppendJSON(nil)}
	}
	return reply{status: http.StatusOK, body: encode(body)}, nil
}

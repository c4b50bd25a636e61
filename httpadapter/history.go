package httpadapter

import (
	"context"
	"net/http"
	"strconv"
)

// How many lines GET /v1/history gives.
const (
	historyDefault = 100
	historyMost    = 1000
)

// changeJSON is one line of GET /v1/history.
type changeJSON struct {
	Seq     int     `json:"seq"` // 1 is the oldest
	At      string  `json:"at"`
	KeyID   *string `json:"key_id"` // null: changed in process, or by the operator
	Subject string  `json:"subject"`
	Old     *string `json:"old"` // null: there was none
	New     *string `json:"new"` // null: removed
	Reason  string  `json:"reason,omitempty"`
}

// history answers GET /v1/history, newest first.
func (a *API) history(ctx context.Context, req request) (reply, error) {
	query, err := req.query()
	if err != nil {
		return reply{}, err
	}
	limit, before := historyDefault, 0
	for _, n := range []struct {
		name  string
		to    *int
		limit int
	}{{"limit", &limit, historyMost}, {"before", &before, 1 << 31}} {
		if text := query.Get(n.name); text != "" {
			value, err := strconv.Atoi(text)
			if err != nil || value < 1 || value > n.limit {
				return reply{}, invalid(n.name, n.name+" must be a whole number from 1 to "+strconv.Itoa(n.limit))
			}
			*n.to = value
		}
	}
	changes, err := a.tracker.History(ctx, req.caller)
	if err != nil {
		return reply{}, err
	}
	last := len(changes)
	if before > 0 {
		last = min(last, before-1)
	}
	first := max(0, last-limit)
	body := struct {
		History []changeJSON `json:"history"`
		Before  int          `json:"next_before,omitempty"` // before of the next page; left out: that was all
	}{History: make([]changeJSON, 0, last-first)}
	for i := last - 1; i >= first; i-- {
		c := &changes[i]
		body.History = append(body.History, changeJSON{
			Seq: i + 1, At: instantJSON(c.At), KeyID: textJSON(c.KeyID), Subject: c.Subject, Old: textJSON(c.Old), New: textJSON(c.New), Reason: c.Reason,
		})
	}
	if first > 0 {
		body.Before = first + 1
	}
	return reply{status: http.StatusOK, body: encode(body)}, nil
}

// textJSON is null for the empty text.
func textJSON(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
